"""A deployment that a CloudWatch alarm fails, with moto's CloudWatch, from the command line."""

from __future__ import annotations

import json

import pytest

from hikkoshi.ship.checks import Mark
from hikkoshi.ship.verify_alarms import judge

pytestmark = pytest.mark.region


@pytest.mark.parametrize(
    ("state", "mark"),
    [(None, Mark.WRONG), ("ALARM", Mark.WRONG), ("OK", Mark.OK), ("INSUFFICIENT_DATA", Mark.OK)],
)
def test_what_is_said_of_an_alarm(state, mark):
    assert judge("errors", state).mark is mark


def watched(files, *names: str) -> None:
    path = files.directory / "ecs-service-def.json"
    service = json.loads(path.read_text())
    service["deploymentConfiguration"]["alarms"] = {
        "alarmNames": list(names), "enable": True, "rollback": True
    }  # fmt: skip
    path.write_text(json.dumps(service))


def leaves(said) -> dict[str, str]:
    def walk(node):
        yield node
        for child in node.get("children", ()):
            yield from walk(child)

    return {node["name"]: node["mark"] for node in walk(json.loads(said.out))}


def test_an_alarm_takes_a_rolling_deployment_back(files):
    cloudwatch = files.region.client("cloudwatch")

    def state(value: str) -> None:
        cloudwatch.set_alarm_state(AlarmName="ship-errors", StateValue=value, StateReason="a test")

    watched(files, "ship-errors")
    refused = files.hikkoshi("deploy")
    assert refused.code == 3, refused.all
    assert "do not exist: ship-errors" in refused.err
    assert leaves(files.hikkoshi("verify", "--json"))["alarm ship-errors"] == "WRONG"
    cloudwatch.put_metric_alarm(
        AlarmName="ship-errors", Namespace="Test", MetricName="Errors", Statistic="Sum", Period=60,
        EvaluationPeriods=1, Threshold=1.0, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    state("OK")
    assert leaves(files.hikkoshi("verify", "--json"))["alarm ship-errors"] == "OK"
    assert files.hikkoshi("deploy").code == 0
    assert files.hikkoshi("diff").code == 0

    # It rings while the deployment is under way, or bakes: it goes back.
    files.write("trap 'exit 0' TERM; : two; sleep 600 & wait")
    watched(files, "ship-errors")
    assert files.hikkoshi("deploy", "--no-wait").code == 0
    state("ALARM")
    said = files.hikkoshi("wait")
    assert said.code == 4, said.all
    assert "alarm detected: ship-errors" in said.all
    assert files.deployed() == "1"
    newest = files.region.client("ecs").list_service_deployments(
        cluster=files.cluster, service="web"
    )["serviceDeployments"][0]
    assert newest["status"] == "ROLLBACK_SUCCESSFUL"

    # It rings already: the deployment is not watched, and verify says so beforehand.
    assert leaves(files.hikkoshi("verify", "--json"))["alarm ship-errors"] == "WRONG"
    assert files.hikkoshi("deploy").code == 0
