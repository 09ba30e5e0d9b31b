"""Files that people write, and every complaint about them with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import GENBA, Command

from hikkoshi.base.errors import BadInput
from hikkoshi.lint.complaint import Severity
from hikkoshi.lint.files import lint_paths
from hikkoshi.lint.github import to_annotation
from hikkoshi.lint.rules import RULES
from hikkoshi.lint.sarif import to_sarif

ROUTER = "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/aws-for-fluent-bit:2.32.0"


def container(name, image="registry/app:1", **more):
    return {"name": name, "image": image, **more}


def definition(*containers, **more):
    return {
        "family": "f",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": "arn:aws:iam::123456789012:role/e",
        "containerDefinitions": list(containers),
        **more,
    }


SENDER = container(
    "app",
    logConfiguration={"logDriver": "awsfirelens", "options": {"Name": "stdout"}},
    portMappings=[{"containerPort": 80}],
    healthCheck={"command": ["CMD", "true"]},
)
GOOD_ROUTER = container(
    "log-router", ROUTER, essential=False, firelensConfiguration={"type": "fluentbit"}
)


def lint(tmp_path, **files):
    """name → text or data; the complaints as (file, line, column, rule)."""
    for name, content in files.items():
        path = tmp_path / name.replace("__", ".")
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    found = lint_paths([tmp_path / name.replace("__", ".") for name in files])
    return [(Path(c.file).name, c.line, c.column, c.rule) for c in found.complaints]


# As a blog post of November 2020 has it, in our words: a comma missing, and the roles swapped.
SWAPPED = """{
  "family": "service",
  "containerDefinitions": [
    {
      "essential": true
      "name": "log_router",
      "image": "906394416424.dkr.ecr.ap-northeast-1.amazonaws.com/aws-for-fluent-bit:2.7.0",
      "logConfiguration": {
        "logDriver": "awsfirelens",
        "options": {"Name": "datadog"}
      }
    },
    {
      "name": "service",
      "image": "service:1",
      "firelensConfiguration": {"type": "fluentbit"}
    }
  ]
}
"""


def test_one_reading_shows_the_missing_comma_and_both_swapped_roles(tmp_path):
    found = lint(tmp_path, task__json=SWAPPED)
    assert ("task.json", 5, 24, "is-not-json") in found
    assert ("task.json", 9, 9, "swaps-the-firelens-roles") in found
    assert ("task.json", 16, 7, "swaps-the-firelens-roles") in found


@pytest.mark.parametrize("form", ["list", "one", "bare", "objects"])
def test_a_part_of_a_definition_is_held_to_the_same_rules(tmp_path, form):
    containers = json.loads(SWAPPED.replace("true\n", "true,\n"))["containerDefinitions"]
    text = {
        "list": json.dumps(containers),
        "one": json.dumps(containers[0]),
        "bare": '"containerDefinitions": ' + json.dumps(containers),
        "objects": ",\n".join(json.dumps(c) for c in containers),
    }[form]
    rules = [rule for *_, rule in lint(tmp_path, part__json=text)]
    assert rules.count("swaps-the-firelens-roles") == (1 if form == "one" else 2)
    assert ("is-not-json" in rules) == (form in ("bare", "objects"))
    assert "aws-has-no-such-key" not in rules
    assert "is-refused-by-fargate" not in rules


def test_a_router_is_known_by_its_name_too(tmp_path):
    sender = container("log_router", "mine:1", logConfiguration={"logDriver": "awsfirelens"})
    app = container("web", "web:1", firelensConfiguration={"type": "fluentbit"})
    rules = [rule for *_, rule in lint(tmp_path, task__json=definition(sender, app))]
    assert rules.count("swaps-the-firelens-roles") == 2


def test_a_sound_definition_has_no_complaint(tmp_path):
    assert lint(tmp_path, task__json=definition(SENDER, GOOD_ROUTER)) == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"cpu": "300"}, "is-refused-by-fargate"),
        ({"memory": "9000"}, "is-refused-by-fargate"),
        ({"cpus": "256"}, "aws-has-no-such-key"),
        ({"networkMode": "bride"}, "aws-has-no-such-key"),
    ],
)
def test_what_aws_refuses(tmp_path, change, rule):
    found = lint(tmp_path, task__json=definition(SENDER, GOOD_ROUTER, **change))
    assert [r for *_, r in found] == [rule]
    key = next(iter(change))
    line = next(
        number
        for number, text in enumerate((tmp_path / "task.json").read_text().splitlines(), 1)
        if f'"{key}"' in text
    )
    assert found[0][1] in (line, 1)


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        (GOOD_ROUTER | {"essential": True}, "sidecar-is-essential"),
        (
            {k: v for k, v in GOOD_ROUTER.items() if k != "essential"},
            "sidecar-is-essential",
        ),
        (GOOD_ROUTER | {"image": ROUTER.replace("2.32.0", "latest")}, "names-an-image-that-moves"),
        (
            GOOD_ROUTER | {"environment": [{"name": "DD_API_KEY", "value": "0123456789abcdef"}]},
            "keeps-a-secret-in-the-open",
        ),
        (
            GOOD_ROUTER
            | {"environment": [{"name": "DATABASE", "value": "postgres://u:secret@db/x"}]},
            "keeps-a-secret-in-the-open",
        ),
    ],
)
def test_what_hurts_one_day_is_a_warning(tmp_path, changed, rule):
    assert [r for *_, r in lint(tmp_path, task__json=definition(SENDER, changed))] == [rule]
    assert RULES[rule][0] is Severity.WARNING


def test_a_secret_is_never_repeated(tmp_path):
    secret = GOOD_ROUTER | {"environment": [{"name": "API_TOKEN", "value": "hunter2hunter2"}]}
    (tmp_path / "t.json").write_text(json.dumps(definition(SENDER, secret)))
    found = lint_paths([tmp_path / "t.json"])
    assert [c.rule for c in found.complaints] == ["keeps-a-secret-in-the-open"]
    assert "hunter2" not in repr(found)


def test_a_service_definition(tmp_path):
    assert lint(tmp_path, s__json={"serviceName": "s", "desiredCount": 2}) == [
        ("s.json", 1, 1, "deploys-without-a-circuit-breaker")
    ]
    careless = {
        "serviceName": "s",
        "loadBalancers": [{"targetGroupArn": "a", "containerName": "c", "containerPort": 1}],
        "deploymentConfiguration": {
            "minimumHealthyPercent": 0,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        },
    }
    assert {r for *_, r in lint(tmp_path, s__json=careless)} == {
        "lets-a-deploy-stop-everything",
        "gives-no-time-to-start",
    }


FLUENT_BIT = """[SERVICE]
    Grace 30
[FILTER]
    Name   grep
    Match  {match}
    Exclude log /health
[OUTPUT]
    Name   {output}
    Match  {match}
"""


def test_fluent_bit_every_section_is_told(tmp_path):
    text = "[FILTER]\n    Name grep\n    Match *\n    Regexp log x\n[OUTPUT]\n    Match *\n"
    assert lint(tmp_path, router__conf=text) == [
        ("router.conf", 4, 1, "is-not-interpreted-here"),
        ("router.conf", 5, 1, "is-refused-by-fluent-bit"),
    ]


def test_fluent_bit_a_match_that_fits_nothing(tmp_path):
    text = FLUENT_BIT.format(match="web-firelens*", output="stdout")
    found = lint(tmp_path, router__conf=text, task__json=definition(SENDER, GOOD_ROUTER))
    assert [f for f in found if f[0] == "router.conf"] == [
        ("router.conf", 5, 1, "is-matched-by-nothing"),
        ("router.conf", 9, 1, "is-matched-by-nothing"),
    ]


@pytest.mark.parametrize(("output", "is_twice"), [("stdout", True), ("null", False)])
def test_an_output_beside_the_task_definitions_own_delivers_twice(tmp_path, output, is_twice):
    text = FLUENT_BIT.format(match="*", output=output)
    found = lint(tmp_path, router__conf=text, task__json=definition(SENDER, GOOD_ROUTER))
    assert [r for *_, r in found] == (["delivers-each-line-twice"] if is_twice else [])


def test_variables_of_the_routers_container_are_taken_as_set(tmp_path):
    text = "[OUTPUT]\n    Name datadog\n    Match *\n    apikey ${DD_KEY}\n    Host ${DD_HOST}\n"
    assert lint(tmp_path, router__conf=text) == []


def test_the_examples_have_no_complaint():
    assert lint_paths([GENBA]).complaints == ()


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(BadInput, match="no file of a known kind"):
        lint_paths([tmp_path])
    (found,) = lint_paths([tmp_path / "none.json"]).complaints
    assert found.rule == "cannot-be-read"
    (tmp_path / "x.json").write_text('{"a": [1, 2}')
    (found,) = lint_paths([tmp_path / "x.json"]).complaints
    assert (found.line, found.column, found.rule) == (1, 12, "is-not-json")
    (tmp_path / "y.yaml").write_text("a: [1\nb: 2\n")
    (found,) = lint_paths([tmp_path / "y.yaml"]).complaints
    assert (found.line, found.rule) == (2, "is-not-yaml")


def test_an_unknown_rule_is_refused():
    with pytest.raises(BadInput, match="no rule 'nonsense'"):
        lint_paths([GENBA], ["nonsense"])


def test_forms_of_output(tmp_path):
    (tmp_path / "a b.json").write_text(SWAPPED)
    complaints = lint_paths([tmp_path / "a b.json"]).complaints
    run = to_sarif(complaints, "1")["runs"][0]
    assert len(run["results"]) == len(complaints)
    first = run["results"][0]
    rules = [r["id"] for r in run["tool"]["driver"]["rules"]]
    assert rules[first["ruleIndex"]] == first["ruleId"]
    assert "a%20b.json" in json.dumps(first)
    comma = next(c for c in complaints if c.rule == "is-not-json")
    said = to_annotation(comma)
    assert said.startswith("::error file=")
    assert "line=5,col=24" in said
    assert "%0AFix: put a comma there" in said


def test_the_command(tmp_path):
    hikkoshi = Command(tmp_path / "home")
    (tmp_path / "task.json").write_text(SWAPPED)
    said = hikkoshi("lint", tmp_path / "task.json")
    assert said.code == 1
    assert f"{tmp_path}/task.json:5:24: error: a comma is missing after" in said.out
    assert "\x1b" not in said.all
    assert hikkoshi("lint", GENBA).code == 0
    document = json.loads(hikkoshi("lint", tmp_path / "task.json", "--json").out)
    assert {c["rule"] for c in document["complaints"]} >= {"swaps-the-firelens-roles"}
    (tmp_path / "s.json").write_text('{"serviceName": "s", "desiredCount": 1}')
    assert hikkoshi("lint", tmp_path / "s.json").code == 0
    assert hikkoshi("lint", tmp_path / "s.json", "--strict").code == 1
    assert hikkoshi("lint", tmp_path / "s.json", "--ignore", "nonsense").code == 2


def test_the_name_of_a_file_cannot_steer_the_terminal(tmp_path):
    (tmp_path / "a\nb\x1b[2J.json").write_text("{")
    said = Command(tmp_path / "home")("lint", tmp_path / "a\nb\x1b[2J.json")
    assert said.code == 1
    assert "a\\nb\\x1b[2J.json:1:2: error: " in said.out
