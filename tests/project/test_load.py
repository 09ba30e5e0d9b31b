"""A whole project directory, right and wrong: nothing is started for any of these."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hikkoshi.base.errors import BadInput
from hikkoshi.lint.task_definition import lint_task_definition
from hikkoshi.project.load import load_project

GENBA = Path(__file__).parent.parent.parent / "examples" / "genba"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("after", "before"):
        shutil.copytree(GENBA / name, tmp_path / name, ignore=shutil.ignore_patterns(".hikkoshi"))
    return tmp_path / "after"


def edit(file: Path, change: Callable[[Any], None]) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document, indent=2))


def refusal(project: Path) -> BadInput:
    with pytest.raises(BadInput) as caught:
        load_project(project)
    return caught.value


@pytest.mark.parametrize(("name", "rate"), [("before", 60), ("after", 120)])
def test_the_example_is_right(name: str, rate: float) -> None:
    loaded = load_project(GENBA / name)
    assert len(loaded.task_definition["containerDefinitions"]) == 3
    assert loaded.settings.load is not None
    assert loaded.settings.load.rate == rate


def test_an_answer_of_aws_is_taken_as_a_definition(project: Path) -> None:
    """As `aws ecs describe-task-definition` prints it, and people keep it."""
    shown = {
        "taskDefinitionArn": "arn:aws:ecs:ap-northeast-1:123456789012:task-definition/genba:7",
        "revision": 7, "status": "ACTIVE", "compatibilities": ["EC2", "FARGATE"],
        "requiresAttributes": [{"name": "ecs.capability.task-eni"}],
        "registeredAt": "2026-11-01T00:00:00+09:00", "registeredBy": "arn:aws:iam::1:root",
    }  # fmt: skip
    file = project / "ecs-task-def.json"
    before = json.loads(file.read_text())
    file.write_text(json.dumps({"taskDefinition": before | shown}))
    assert load_project(project).task_definition == before
    (found,) = [
        problem
        for rule, problem in lint_task_definition(before | shown | {"revison": 7})
        if rule == "aws-has-no-such-key"
    ]
    assert found.path == ("revison",)


def test_after_is_compared_with_before() -> None:
    loaded = load_project(GENBA / "after")
    assert loaded.old_home is not None
    assert loaded.old_home.settings.old_home is not None


def test_an_unknown_key_gets_the_nearest_known_one(project: Path) -> None:
    file = project / "hikkoshi.yaml"
    file.write_text(file.read_text().replace("deregistration_delay:", "deregistraton_delay:"))
    error = refusal(project)
    assert "deregistraton_delay" in error.what
    assert "deregistration_delay" in str(error.fix)
    line = (
        file.read_text()
        .splitlines()
        .index(next(x for x in file.read_text().splitlines() if "deregistraton" in x))
    )
    assert f"hikkoshi.yaml:{line + 1}" in str(error.where)


@pytest.mark.parametrize(
    ("change", "words", "where"),
    [
        (lambda d: d.update(cpu="300"), "No Fargate configuration exists", "ecs-task-def.json"),
        (lambda d: d.update(memory="1500"), "No Fargate configuration exists", "ecs-task-def.json"),
        (lambda d: d["containerDefinitions"][0].update(essentail=True), "essentail", "essentail"),
        (lambda d: d["containerDefinitions"][0].update(essential="yes"), "true or false",
         "containerDefinitions[0].essential"),
        (lambda d: d["containerDefinitions"][0]["dependsOn"][0].update(condition="READY"), "READY",
         "condition"),
        (lambda d: d["containerDefinitions"][0]["dependsOn"][0].update(containerName="nobody"),
         "nobody", "dependsOn"),
        (lambda d: d["containerDefinitions"][0].pop("image"), "image", "containerDefinitions[0]"),
        (lambda d: d.pop("containerDefinitions"), "containerDefinitions", "ecs-task-def.json"),
        (lambda d: d["containerDefinitions"][0]["secrets"][0].update(valueFrom="no/such"),
         "no/such", "secrets[0].valueFrom"),
    ],
)  # fmt: skip
def test_mistakes_in_the_task_definition(
    project: Path, change: Callable[[Any], None], words: str, where: str
) -> None:
    edit(project / "ecs-task-def.json", change)
    error = refusal(project)
    assert words in error.what
    assert where in str(error.where)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["loadBalancers"][0].update(containerName="gemba"), "gemba"),
        (lambda d: d["loadBalancers"][0].update(containerPort=80), "does not map port 80"),
        (lambda d: d["loadBalancers"][0].update(targetGroupArn="arn:aws:elasticloadbalancing:x:1:"
                                                "targetgroup/other/1"), "other"),
        (lambda d: d.update(desiredCount="two"), "a whole number"),
        (lambda d: d.update(launchTyp="FARGATE"), "launchTyp"),
    ],
)  # fmt: skip
def test_mistakes_in_the_service_definition(
    project: Path, change: Callable[[Any], None], words: str
) -> None:
    edit(project / "ecs-service-def.json", change)
    error = refusal(project)
    assert words in error.what
    assert "ecs-service-def.json:" in str(error.where)


def test_the_articles_own_example_is_refused(project: Path) -> None:
    """A comma is missing, and the roles of router and application are swapped."""
    file = project / "ecs-task-def.json"
    good = file.read_text()
    file.write_text(good.replace('"essential": true,', '"essential": true', 1))
    error = refusal(project)
    assert "a comma is missing" in error.what
    line = good.splitlines().index('      "essential": true,') + 1
    assert f"ecs-task-def.json:{line}:" in str(error.where)

    def swap(document: Any) -> None:
        app, router = document["containerDefinitions"][:2]
        app["firelensConfiguration"] = router.pop("firelensConfiguration")
        router["logConfiguration"] = app.pop("logConfiguration")
        app.pop("dependsOn")

    file.write_text(good)
    edit(file, swap)
    error = refusal(project)
    assert "ecs-task-def.json:" in str(error.where)
    assert "firelens" in error.what.lower()


def test_a_router_that_logs_to_itself_is_refused(project: Path) -> None:
    def change(document: Any) -> None:
        app, router = document["containerDefinitions"][:2]
        router["logConfiguration"] = app["logConfiguration"]

    edit(project / "ecs-task-def.json", change)
    error = refusal(project)
    assert "awsfirelens" in error.what


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("targets: targets.http", "targets: target.http", "there is no"),
        ("engine: aurora-postgresql", "engine: mysql", "plays no 'mysql'"),
        ("instances: 2", "instances: 9", "1 to 3 instances"),
        ("instances: 2", "image: mysql:8", "cannot be reached"),
        ("rate: 120/s", "rate: lots", "is not a rate"),
        ("compare_with: ../before", "compare_with: ../nowhere", "there is no"),
        ("copy: { app: /app", "copy: { ap: /app", "there is no"),
    ],
)
def test_mistakes_in_the_settings(project: Path, old: str, new: str, words: str) -> None:
    file = project / "hikkoshi.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    error = refusal(project)
    assert words in error.what
    assert "hikkoshi.yaml:" in str(error.where)


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    assert "there is no directory" in refusal(tmp_path / "nowhere").what
    assert "hikkoshi.yaml" in refusal(tmp_path).what
