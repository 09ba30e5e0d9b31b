"""Wrong use and bad input: one message with the place and the fix, exit code 2, nothing started."""

from __future__ import annotations

import json
import re
import socket

import pytest


def edit(file, old, new):
    text = file.read_text()
    assert old in text, f"{file} has changed: no {old!r}"
    file.write_text(text.replace(old, new, 1))


def edit_json(file, change):
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document, indent=2))


def assert_nothing_was_started(hikkoshi, project):
    assert not (project / ".hikkoshi").exists()
    assert hikkoshi.regions() == []


def set_cpu(document):
    document["cpu"] = "300"


def set_memory(document):
    document["memory"] = "8192"


def rename_balanced(document):
    document["loadBalancers"][0]["containerName"] = "gemba"


def add_unknown(document):
    document["containerDefinitions"][0]["enviroment"] = []


CASES = {
    "broken YAML": (
        lambda p: edit(p / "hikkoshi.yaml", "synthetic: synthetic.yaml", "synthetic: [a, b"),
        r"hikkoshi\.yaml:\d+:\d+: ",
    ),
    "a tab in YAML": (
        lambda p: edit(p / "hikkoshi.yaml", "  target_group: genba", "\ttarget_group: genba"),
        r"hikkoshi\.yaml:\d+:\d+: .*\n  fix: .*spaces",
    ),
    "broken JSON": (
        # The article's own mistake.
        lambda p: edit(p / "ecs-task-def.json", '"family": "genba",', '"family": "genba"'),
        r"ecs-task-def\.json:2:20: a comma is missing after `\"family\": \"genba\"`\n  fix: .",
    ),
    "an unknown key": (
        lambda p: edit(p / "hikkoshi.yaml", "load_balancer:", "load_balancr:"),
        r"hikkoshi\.yaml:\d+ \(load_balancr\): .*\n  fix: did you mean 'load_balancer'\?",
    ),
    "an unknown key deep down": (
        lambda p: edit(p / "hikkoshi.yaml", "recovery: 15s", "recovry: 15s"),
        r"hikkoshi\.yaml:\d+ \(limits\.recovry\): .*\n  fix: did you mean 'recovery'\?",
    ),
    "an unknown key of AWS's": (
        lambda p: edit_json(p / "ecs-task-def.json", add_unknown),
        r"ecs-task-def\.json:\d+ \(containerDefinitions\[0\]\.enviroment\): "
        r"(.|\n)*fix: .*environment",
    ),
    "a duration that is none": (
        lambda p: edit(p / "hikkoshi.yaml", "recovery: 15s", "recovery: soon"),
        r"hikkoshi\.yaml:\d+ \(limits\.recovery\): .*'soon' is not a duration; write 30s",
    ),
    "a missing file": (
        lambda p: (p / "sql" / "seed.sql").unlink(),
        r"hikkoshi\.yaml:\d+ \(database\.schema\[1\]\): there is no .*seed\.sql\n  fix: ",
    ),
    "no task definition": (
        lambda p: (p / "ecs-task-def.json").unlink(),
        r"there is no file .*ecs-task-def\.json, which hikkoshi\.yaml names\n  fix: ",
    ),
    "no hikkoshi.yaml": (
        lambda p: (p / "hikkoshi.yaml").unlink(),
        r"there is no file .*hikkoshi\.yaml.*\n  fix: ",
    ),
    "a cpu that Fargate lacks": (
        lambda p: edit_json(p / "ecs-task-def.json", set_cpu),
        r"ecs-task-def\.json:7 \(cpu\): No Fargate configuration.*\n  fix: .*cpu 512, memory 1024",
    ),
    "a memory that this cpu cannot have": (
        lambda p: edit_json(p / "ecs-task-def.json", set_memory),
        r"ecs-task-def\.json:8 \(memory\): No Fargate configuration.*\n  fix: .*1024 to 4096",
    ),
    "a container that the task lacks": (
        lambda p: edit_json(p / "ecs-service-def.json", rename_balanced),
        r"ecs-service-def\.json:\d+ \(loadBalancers\[0\]\.containerName\): .*'gemba'(.|\n)*'?genba",
    ),
    "a database image": (
        lambda p: edit(p / "hikkoshi.yaml", "  instances: 2", "  image: r.example/pg:16"),
        r"hikkoshi\.yaml:\d+ \(database\.image\): .*r\.example/pg:16.*cannot be reached"
        r"(.|\n)*fix: ",
    ),
    "a database that is not played": (
        lambda p: edit(p / "hikkoshi.yaml", "engine: aurora-postgresql", "engine: oracle-ee"),
        r"hikkoshi\.yaml:\d+ \(database\.engine\): .*oracle-ee(.|\n)*fix: ",
    ),
    "a secret without a value": (
        lambda p: edit(p / "hikkoshi.yaml", "genba/database-url:", "genba/database-uri:"),
        r"ecs-task-def\.json:\d+ \(.*secrets\[0\]\.valueFrom\): .*genba/database-url(.|\n)*fix: ",
    ),
    "bad targets": (
        lambda p: edit(p / "targets.http", "POST http://genba/reports\n", "PSOT\n"),
        r"targets\.http:\d+: .*\n  fix: ",
    ),
    "a body file that is not there": (
        lambda p: (p / "new-report.json").unlink(),
        r"targets\.http:\d+: .*new-report\.json",
    ),
    "bad synthetic tests": (
        lambda p: edit(p / "synthetic.yaml", "request: GET /health", "requst: GET /health"),
        r"synthetic\.yaml:\d+.*requst.*\n  fix: .*request",
    ),
    "an old home without one": (
        lambda p: (p.parent / "before" / "hikkoshi.yaml").write_text("cluster: [\n"),
        r"before/hikkoshi\.yaml:\d+:\d+: ",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_told_with_place_and_fix_and_nothing_starts(hikkoshi, genba, name):
    spoil, pattern = CASES[name]
    project = genba / "after"
    spoil(project)
    said = hikkoshi("rehearse", project, "--quick")
    assert said.code == 2, said.all
    assert said.out == ""
    assert re.search(pattern, said.err), said.err
    assert said.err.startswith("error: ")
    assert said.err.count("error:") == 1
    assert "Traceback" not in said.err
    assert_nothing_was_started(hikkoshi, project)
    checked = hikkoshi("check", project)
    if name not in ("bad targets", "a body file that is not there", "bad synthetic tests"):
        assert (checked.code, checked.err) == (2, said.err), "check says the same"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "steady,kil-task"], "there is no trial 'kil-task'"),
        (["--skip", "everything"], "the trials are synthetic, one-by-one"),
        (["--only", "steady", "--skip", "steady"], "no trial is left"),
        (["--only", ","], "names no trial"),
        (["--engine", "podman"], "'podman' is not one of"),
        (["--quik"], "--quick"),
    ],
)
def test_wrong_use_of_rehearse(hikkoshi, genba, arguments, words):
    said = hikkoshi("rehearse", genba / "after", *arguments)
    assert (said.code, said.out) == (2, "")
    assert words in said.err
    assert_nothing_was_started(hikkoshi, genba / "after")


def test_a_directory_that_is_not_there(hikkoshi, tmp_path):
    said = hikkoshi("rehearse", tmp_path / "nowhere")
    assert said.code == 2
    assert "there is no directory" in said.err
    assert "fix: " in said.err


def test_a_file_instead_of_a_directory(hikkoshi, genba):
    said = hikkoshi("rehearse", genba / "after" / "hikkoshi.yaml")
    assert said.code == 2
    assert "is a file" in said.err


def test_bad_input_with_json_leaves_stdout_empty(hikkoshi, genba):
    (genba / "after" / "hikkoshi.yaml").write_text("cluster: [\n")
    said = hikkoshi("rehearse", genba / "after", "--json")
    assert (said.code, said.out) == (2, "")
    assert "hikkoshi.yaml:" in said.err


def test_check_says_its_outcome_as_json(hikkoshi, genba):
    said = hikkoshi("check", genba / "after", "--json")
    assert said.code == 0
    assert json.loads(said.out) == {
        "ok": True,
        "service": "genba",
        "containers": ["genba", "log-router", "xray-daemon"],
    }
    (genba / "after" / "ecs-task-def.json").write_text("{")
    said = hikkoshi("check", genba / "after", "--json")
    answer = json.loads(said.out)
    assert said.code == 2
    assert answer["ok"] is False
    assert "ecs-task-def.json:1:" in answer["where"]


@pytest.mark.parametrize("which", ["before", "after"])
def test_both_examples_pass_the_check(hikkoshi, genba, which):
    said = hikkoshi("check", genba / which)
    assert said.code == 0, said.err
    assert "nothing wrong found" in said.out
    assert_nothing_was_started(hikkoshi, genba / which)


def test_a_port_in_use(hikkoshi):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = hikkoshi("up", "-d", "--port", port)
    assert said.code == 2, said.all
    assert f"port {port} is in use" in said.err
    assert "--port" in said.err
    assert hikkoshi.regions() == []


def test_a_variable_without_a_value(hikkoshi, genba):
    said = hikkoshi("run", "--local", genba / "after", "--env", "MODE", "--", "true")
    assert (said.code, said.out) == (2, "")
    assert said.err == "error: --env: 'MODE' has no value\n  fix: write NAME=VALUE\n"
