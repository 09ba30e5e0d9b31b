"""The written apps, through the CDK itself, cdk-nag and cfn-lint. Wants the extra (`make iac`)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from iac_projects import everything_exists, genba, worker

from hikkoshi.cutover.dead_man import template
from hikkoshi.iac.app import write_app
from hikkoshi.iac.check import CFN_LINT, Checked, check_app, what_is_missing
from hikkoshi.model.project import Project

MISSING = what_is_missing()
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"NOT CHECKED, run `make iac`: {'; '.join(MISSING)}"),
    pytest.mark.slow,
]


def put(make: Callable[[], Project], directory: Path) -> Path:
    for name, text in write_app(make()).files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return directory


def checked(make: Callable[[], Project], tmp_path: Path) -> tuple[Checked, dict[str, Any]]:
    out = tmp_path / "out"
    found = check_app(put(make, tmp_path / "app"), out)
    templates = {
        path.name.removesuffix(".template.json"): json.loads(path.read_text("utf-8"))["Resources"]
        for path in out.glob("*.template.json")
    }
    return found, templates


def of(resources: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [r["Properties"] for r in resources.values() if r["Type"] == kind]


def test_the_example_is_without_error_and_says_what_its_definitions_say(tmp_path: Path) -> None:
    found, stacks = checked(genba, tmp_path)
    assert [f for f in found.findings if f.level == "error"] == []
    assert set(stacks) == {
        f"genba-{name}" for name in ("network", "images", "database", "service", "pipeline")
    }
    (task,) = of(stacks["genba-service"], "AWS::ECS::TaskDefinition")
    wanted = genba().task_definition
    made = {c["Name"]: c for c in task["ContainerDefinitions"]}
    for container in wanted["containerDefinitions"]:
        mine = made[container["name"]]
        assert mine["Essential"] is container["essential"]
        environment = {e["Name"]: e["Value"] for e in mine.get("Environment", [])}
        assert environment == {e["name"]: e["value"] for e in container.get("environment", [])}
    app, router = made["genba"], made["log-router"]
    assert app["LogConfiguration"]["LogDriver"] == "awsfirelens"
    assert app["LogConfiguration"]["Options"]["Host"] == "http-intake.logs.ap1.datadoghq.com"
    assert app["LogConfiguration"]["SecretOptions"][0]["Name"] == "apikey"
    assert router["FirelensConfiguration"]["Options"]["config-file-value"] == (
        "/fluent-bit/configs/genba.conf"
    )
    assert router["RestartPolicy"] == {"Enabled": True, "RestartAttemptPeriod": 60}
    assert app["DependsOn"] == [{"Condition": "START", "ContainerName": "log-router"}]
    (service,) = of(stacks["genba-service"], "AWS::ECS::Service")
    breaker = service["DeploymentConfiguration"]["DeploymentCircuitBreaker"]
    assert breaker == {"Enable": True, "Rollback": True}
    kinds = sorted(
        g["TargetType"]
        for g in of(stacks["genba-service"], "AWS::ElasticLoadBalancingV2::TargetGroup")
    )
    assert kinds == ["instance", "ip"]
    (listener,) = of(stacks["genba-service"], "AWS::ElasticLoadBalancingV2::Listener")
    weights = listener["DefaultActions"][0]["ForwardConfig"]["TargetGroups"]
    assert [g["Weight"] for g in weights] == [0, 100]
    (pipeline,) = of(stacks["genba-pipeline"], "AWS::CodePipeline::Pipeline")
    assert [s["Name"] for s in pipeline["Stages"]] == ["Source", "Build", "Rehearse", "Deploy"]


def test_nothing_that_exists_is_made_again(tmp_path: Path) -> None:
    found, stacks = checked(everything_exists, tmp_path)
    assert [f for f in found.findings if f.level == "error"] == []
    kinds = {r["Type"] for resources in stacks.values() for r in resources.values()}
    assert not kinds & {
        "AWS::EC2::VPC",
        "AWS::EC2::Subnet",
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
        "AWS::ElasticLoadBalancingV2::Listener",
        "AWS::RDS::DBCluster",
    }
    (rule,) = of(stacks["genba-service"], "AWS::ElasticLoadBalancingV2::ListenerRule")
    weights = rule["Actions"][0]["ForwardConfig"]["TargetGroups"]
    assert [g["Weight"] for g in weights] == [100, 0]


def test_a_worker_without_load_balancer_is_without_error(tmp_path: Path) -> None:
    found, stacks = checked(worker, tmp_path)
    assert [f for f in found.findings if f.level == "error"] == []
    (task,) = of(stacks["mail-worker-service"], "AWS::ECS::TaskDefinition")
    assert (task["Cpu"], task["Memory"]) == ("1024", "2048")
    assert task["ContainerDefinitions"][0]["Command"] == ["run", "--shape={a: 'b'}", 'say "hi"']


def test_the_dead_man_s_stack_is_without_a_word_from_cfn_lint(tmp_path: Path) -> None:
    file = tmp_path / "dead-man.yaml"
    file.write_text(template(), "utf-8")
    said = subprocess.run(
        [*CFN_LINT, "--include-checks", "W", "I", "--", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stdout) == (0, ""), said.stdout + said.stderr


def test_what_breaks_a_rule_is_found_with_file_and_cure(tmp_path: Path) -> None:
    app = put(worker, tmp_path / "app")
    source = app / "stacks" / "watch.py"
    text = source.read_text("utf-8")
    assert "enforce_ssl=True" in text
    source.write_text(text.replace(", enforce_ssl=True", ""), "utf-8")
    found = check_app(app, tmp_path / "out")
    errors = [f for f in found.findings if f.level == "error"]
    assert [(f.tool, f.rule, f.where) for f in errors] == [
        ("cdk-nag", "AwsSolutions-SNS3", str(source))
    ]
    assert "acknowledge" in errors[0].cure or errors[0].cure


def test_an_app_that_does_not_run_is_one_finding_at_its_line(tmp_path: Path) -> None:
    app = put(worker, tmp_path / "app")
    (app / "app.py").write_text("import settings\n\nraise SystemError('no')\n", "utf-8")
    (finding,) = check_app(app, tmp_path / "out").findings
    assert (finding.tool, finding.what) == ("synth", "SystemError: no")
    assert finding.where.endswith("app.py:3")
