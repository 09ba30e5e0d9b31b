"""What the generator writes: the example's app, other projects', and what it refuses."""

from __future__ import annotations

import ast
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from iac_projects import EXAMPLE, everything_exists, genba, with_iac, worker

from hikkoshi.base.errors import BadInput
from hikkoshi.iac.app import write_app
from hikkoshi.iac.code import Call, Name, identifier, source
from hikkoshi.model.project import ExistingNetwork, Iac, Project

PROJECTS = [genba, everything_exists, worker]


def test_the_example_is_what_the_generator_writes() -> None:
    there = {
        str(path.relative_to(EXAMPLE / "cdk")): path.read_text("utf-8")
        for path in (EXAMPLE / "cdk").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and "cdk.out" not in path.parts
    }
    assert there == write_app(genba()).files, "run: hikkoshi iac examples/genba/after --force"


@pytest.mark.parametrize("make", PROJECTS)
def test_what_is_written_is_clean_python_json_and_yaml(
    make: Callable[[], Project], tmp_path: Path
) -> None:
    for name, text in write_app(make()).files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        if name.endswith(".py"):
            ast.parse(text)
        if name.endswith(".json"):
            json.loads(text)
        if name.endswith(".yml"):
            assert isinstance(yaml.safe_load(text), dict)
    (tmp_path / "ruff.toml").write_text(
        'line-length = 100\ntarget-version = "py311"\n[lint]\n'
        'select = ["E", "F", "W", "I", "B", "UP", "SIM", "C4", "PIE", "RET", "RUF"]\n'
        'ignore = ["RUF001", "RUF002", "RUF003"]\n'
    )
    ruff = [str(Path(sys.executable).parent / "ruff")]
    for verb in (["check"], ["format", "--check", "--diff"]):
        done = subprocess.run(
            [*ruff, *verb, "--no-cache", "."], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_exists_is_imported_and_not_made() -> None:
    files = write_app(everything_exists()).files
    assert "stacks/database.py" not in files
    assert "ec2.Vpc(" not in files["stacks/network.py"]
    assert "from_vpc_attributes" in files["stacks/network.py"]
    assert "elbv2.ApplicationLoadBalancer(" not in files["stacks/load_balancer.py"]
    assert "settings.OLD_TARGET_GROUP_ARN" in files["stacks/load_balancer.py"]
    # Who serves today goes on serving until the cutover.
    assert "NEW_HOME_WEIGHT = 0" in files["settings.py"]
    assert "rds.DatabaseCluster(" not in "".join(files.values())


def test_a_vpc_alone_is_looked_up() -> None:
    project = with_iac(genba(), Iac(network=ExistingNetwork("vpc-0a1b2c3d4e5f60718")))
    assert "Vpc.from_lookup(self, " in write_app(project).files["stacks/network.py"]


def test_no_source_no_code_pipeline_but_github_actions() -> None:
    files = write_app(with_iac(genba(), Iac())).files
    assert "stacks/pipeline.py" not in files
    assert "docker build" in files["github/deploy.yml"]


def test_what_is_not_carried_over_is_said() -> None:
    assert write_app(genba()).left_out == ()
    assert write_app(worker()).left_out == ("container class: repositoryCredentials",)


def test_a_secret_s_rehearsal_value_is_never_written() -> None:
    project = genba()
    settings = dataclasses.replace(
        project.settings,
        secrets=dict(project.settings.secrets) | {"genba/datadog-api-key": "hunter2hunter2"},
    )
    files = write_app(dataclasses.replace(project, settings=settings)).files
    assert "hunter2" not in "".join(files.values())


@pytest.mark.parametrize(
    ("iac", "words"),
    [
        (Iac(directory="../elsewhere"), "iac.directory"),
        (Iac(maximum_tasks=1), "iac.maximum_tasks"),
        (
            Iac(network=ExistingNetwork("vpc-1", ("a",), (), ("subnet-1", "subnet-2"))),
            "2 private subnets and 1 zones",
        ),
    ],
)
def test_settings_that_contradict_themselves_are_refused(iac: Iac, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        write_app(with_iac(genba(), iac))


def test_a_service_whose_name_no_stack_can_have_is_refused() -> None:
    with pytest.raises(BadInput, match="CloudFormation"):
        write_app(dataclasses.replace(genba(), service="under_score"))


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        'a "b" c',
        "a 'b' c",
        "a \\ b",
        "a\nb",
        "é日本",
        "both ' and \"",
        "{x}",
        "\x7f\u2028",
    ],
)
def test_text_comes_back_as_it_was(text: str) -> None:
    long = text * 40
    assert ast.literal_eval(source(text)) == text
    assert ast.literal_eval(source(long)) == long
    assert ast.literal_eval(source({text: [long, (1, None, True)]})) == {
        text: [long, (1, None, True)]
    }


def test_calls_leave_out_what_is_none() -> None:
    call = Call("f", (Name("self"), 1), {"a": None, "b": [2.5]})
    assert source(call) == "f(self, 1, b=[2.5])"


@pytest.mark.parametrize(
    ("words", "name"),
    [("log-router", "log_router"), ("class", "class_"), ("2nd", "the_2nd"), ("日本", "it")],
)
def test_names_become_identifiers(words: str, name: str) -> None:
    assert identifier(words) == name
