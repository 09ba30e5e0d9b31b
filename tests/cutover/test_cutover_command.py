"""`hikkoshi cutover` against a real HAProxy: forwards, back, killed, and disturbed by others."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cutover_house import Load, Sides, wait

from hikkoshi.cutover.journal import Journal

START = ("start", "--from", "web-old", "--to", "web-new")
FAST = ("--hold", "1s", "--hold-at-most", "20s", "--abort-on", "errors>1%", "--least-requests", "5")


def phase(sides: Sides) -> str:
    """As the journal has it."""
    return Journal(sides.project / ".hikkoshi" / "cutover").state().phase.value


def test_forwards_with_no_request_lost_then_finished(sides: Sides) -> None:
    with Load(sides) as load:
        code, out, err = sides.run(*START, "--steps", "50,100", *FAST)
        assert code == 0, out + err
        assert sides.weights() == {"old": 0, "new": 100}
    assert load.failed == []
    assert len(load.statuses) > 30
    for words in ("OK", "NOT CHECKED", "scheduled jobs", "on to 100 %", "Cut over"):
        assert words in out
    code, out, err = sides.run("finish")
    assert code == 0 and "kept warm" in out, out + err
    assert sides.weights() == {"old": 0, "new": 100}
    code, out, err = sides.run("finish", "--warm", "0", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["phase"] == "finished"
    assert "web-old" in document["can_be_retired"][0]["what"]
    assert sides.weights() == {"new": 1}
    assert sides.elb.describe_target_groups(Names=["web-old"])["TargetGroups"]
    names = [json.loads(x)["event"] for x in Path(document["journal"]).read_text().splitlines()]
    assert names[0] == "begun" and names[-1] == "finished" and "checklist" in names


def test_back_by_itself_when_the_new_side_has_no_healthy_target(sides: Sides) -> None:
    with Load(sides) as load:
        process = sides.start(*START, "--steps", "25,100", "--hold", "60s")
        wait(lambda: sides.weights() == {"old": 75, "new": 25}, "the first step")
        sides.backends["new"].status = 500
        t_fault = time.time()
        out, err = process.communicate(timeout=30)
        took = time.time() - t_fault
    assert process.returncode == 1, out + err
    assert "Went back" in out and "no target" in out
    assert took < 10
    assert sides.weights() == {"old": 1}
    assert phase(sides) == "back"
    # The targets still answer requests; only their health check says that they are ill.
    assert load.failed == []


def test_back_by_itself_for_errors_that_the_counters_tell(sides: Sides, tmp_path: Path) -> None:
    """The targets stay healthy: only the requests fail."""
    with Load(sides):
        process = sides.start(*START, "--steps", "50,100", "--hold", "60s")
        wait(lambda: sides.weights() == {"old": 50, "new": 50}, "the first step")
        t_fault = time.time()
        while process.poll() is None:
            assert time.time() - t_fault < 10
            for _ in range(4):
                sides.ask("/garbage")
            time.sleep(0.02)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 1, out + err
    assert "Went back" in out and "errors" in out
    assert sides.weights() == {"old": 1}


def test_synthetic_tests_send_it_back(sides: Sides, tmp_path: Path) -> None:
    file = tmp_path / "tests.yaml"
    file.write_text(
        "tests:\n- name: home\n  steps:\n  - request: GET /x\n    expect: {body: {contains: old}}\n"
    )
    code, out, err = sides.run(*START, "--steps", "100", "--hold", "60s", "--synthetic", str(file))
    assert code == 1, out + err
    assert "synthetic failed: home" in out
    assert sides.weights() == {"old": 1}


def test_step_by_step_with_hold_and_back(sides: Sides) -> None:
    with Load(sides):
        code, out, err = sides.run(*START, "--steps", "10,50,100", *FAST, "--stepwise")
        assert code == 0, out + err
        assert sides.weights() == {"old": 90, "new": 10}
        assert phase(sides) == "resting"
        code, out, err = sides.run("advance")
        assert code == 0, out + err
        assert sides.weights() == {"old": 50, "new": 50}
        assert sides.run("status")[0] == 0
        assert sides.weights() == {"old": 50, "new": 50}
        assert sides.run("back")[0] == 0
    assert sides.weights() == {"old": 1}
    assert sides.run("advance")[0] == 2


def test_another_process_is_told(sides: Sides) -> None:
    with Load(sides):
        process = sides.start(*START, "--steps", "10,50,100", "--hold", "60s")
        wait(lambda: sides.weights() == {"old": 90, "new": 10}, "the first step")
        code, _, err = sides.run(*START)
        assert code == 3 and "another process" in err
        assert sides.run("advance")[0] == 0
        wait(lambda: sides.weights() == {"old": 50, "new": 50}, "the second step")
        assert sides.run("back")[0] == 0
        out, err = process.communicate(timeout=30)
    assert process.returncode == 1 and "as asked" in out
    assert sides.weights() == {"old": 1}


def test_a_change_by_someone_else_is_refused_and_shown(sides: Sides) -> None:
    with Load(sides):
        process = sides.start(*START, "--steps", "10,100", "--hold", "60s")
        wait(lambda: sides.weights() == {"old": 90, "new": 10}, "the first step")
        sides.set_weights(70, 30)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 3, out
    assert "web-old 70, web-new 30" in err and "web-old 90, web-new 10" in err
    assert sides.weights() == {"old": 70, "new": 30}
    code, _, err = sides.run("status")
    assert code == 3 and "someone else" in err
    assert sides.weights() == {"old": 70, "new": 30}
    assert sides.run("back", "--force")[0] == 0
    assert sides.weights() == {"old": 1}


def test_interrupted_it_goes_back_first(sides: Sides) -> None:
    with Load(sides):
        process = sides.start(*START, "--steps", "10,100", "--hold", "60s")
        wait(lambda: sides.weights() == {"old": 90, "new": 10}, "the first step")
        process.terminate()
        out, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "Went back" in out and "interrupted" in err
    assert sides.weights() == {"old": 1}
    assert phase(sides) == "back"


def test_what_cannot_be_started(sides: Sides) -> None:
    code, _, err = sides.run("start", "--from", "web-old")
    assert code == 2 and "--to" in err
    code, _, err = sides.run("start", "--from", "web-old", "--to", "no-such")
    assert code == 2 and "no-such" in err
    code, _, err = sides.run("start", "--from", "web-new", "--to", "web-old")
    assert code == 2 and "no rule" in err
    assert sides.weights() == {"old": 1}


def test_the_counters_are_cloudwatchs(sides: Sides) -> None:
    """GetMetricData by boto3, as anyone would ask it."""
    for _ in range(20):
        assert sides.ask("/x") == 200
    for _ in range(3):
        assert sides.ask("/garbage") == 502
    balancer = sides.balancer.partition(":loadbalancer/")[2]
    group = {"Name": "TargetGroup", "Value": sides.old.rpartition(":")[2]}
    whole = {"Name": "LoadBalancer", "Value": balancer}

    def query(name: str, metric: str, stat: str, dimensions: list[dict[str, str]]) -> dict:
        asked = {"Namespace": "AWS/ApplicationELB", "MetricName": metric, "Dimensions": dimensions}
        return {"Id": name, "MetricStat": {"Metric": asked, "Period": 60, "Stat": stat}}

    now = datetime.now(UTC)
    cloudwatch = sides.client("cloudwatch")

    def ask() -> dict[str, list[float]]:
        found = cloudwatch.get_metric_data(
            MetricDataQueries=[
                query("answered", "HTTPCode_Target_2XX_Count", "Sum", [whole, group]),
                query("failed", "HTTPCode_ELB_502_Count", "Sum", [whole]),
                query("p99", "TargetResponseTime", "p99", [group, whole]),
                query("other", "RequestCount", "Sum", [{**whole, "Value": "app/no/such"}]),
            ],
            StartTime=now - timedelta(minutes=3),
            EndTime=now + timedelta(minutes=1),
        )
        return {each["Id"]: each["Values"] for each in found["MetricDataResults"]}

    wait(lambda: sum(ask()["failed"]) >= 3 and sum(ask()["answered"]) >= 20, "the counts")
    assert ask()["other"] == []
    assert all(0 <= value < 5 for value in ask()["p99"]) and ask()["p99"]
