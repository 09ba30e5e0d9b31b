"""How a cutover tells others of itself, and what it sees of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cutover_house import Sides, wait

from hikkoshi.cutover.account.put_back import is_a_cutovers
from hikkoshi.cutover.actions import only_to, shared_by, weights_of, with_weights
from hikkoshi.cutover.beside import shifting
from hikkoshi.model.cutover_mark import CutoverMark

START = ("start", "--from", "web-old", "--to", "web-new", "--steps", "10,100",
         "--abort-on", "errors>1%")  # fmt: skip
RESTS = (*START, "--stepwise", "--hold", "0s", "--hold-at-most", "0.1s", "--too-few", "advance")


def service(strategy: str, rollout: str, **more: Any) -> dict[str, Any]:
    front = {
        "id": "ecs-svc/1", "status": "PRIMARY", "rolloutState": rollout,
        "taskDefinition": "arn:aws:ecs:r:1:task-definition/web:7",
        "createdAt": datetime(2026, 11, 30, tzinfo=UTC),
    }  # fmt: skip
    return {
        "deploymentConfiguration": {"strategy": strategy}, "deployments": [front], **more
    }  # fmt: skip


@pytest.mark.parametrize(
    ("found", "is_in_the_way"),
    [
        (service("BLUE_GREEN", "IN_PROGRESS"), True),
        (service("LINEAR", "IN_PROGRESS"), True),
        (service("CANARY", "IN_PROGRESS"), True),
        (service("BLUE_GREEN", "COMPLETED"), False),
        (service("BLUE_GREEN", "FAILED"), False),
        (service("ROLLING", "IN_PROGRESS"), False),
        ({"deployments": []}, False),
        ({"deploymentController": {"type": "CODE_DEPLOY"}, "taskSets": [{}]}, False),
        ({"deploymentController": {"type": "CODE_DEPLOY"}, "taskSets": [{}, {}]}, True),
    ],
)
def test_which_deployments_are_in_the_way(found: dict[str, Any], is_in_the_way: bool) -> None:
    assert (shifting(found) is not None) is is_in_the_way


def test_a_mark_is_a_tag_value_and_back() -> None:
    mark = CutoverMark("20261130-160000-000-ab12", "ana (dev)@host", "2026-11-30T16:00:00Z")
    assert mark.value == "ana__dev_@host 2026-11-30T16:00:00Z 20261130-160000-000-ab12"
    assert CutoverMark.read(mark.value).cutover == mark.cutover
    assert CutoverMark.read("") == CutoverMark("unknown", "someone", "unknown")


def test_groups_that_get_nothing_stay_in_the_rule() -> None:
    """Both groups of a blue/green service have to be in its production rule."""
    groups = [{"TargetGroupArn": name, "Weight": w} for name, w in (("old", 3), ("alt", 0))]
    rule = [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]
    assert shared_by(rule) == {"old"}
    assert weights_of(with_weights(rule, "old", "new", 25)) == {"old": 75, "new": 25, "alt": 0}
    assert weights_of(only_to(rule, "old", "new")) == {"new": 1, "alt": 0}
    assert is_a_cutovers(with_weights(rule, "old", "new", 25), "old", "new")
    assert not is_a_cutovers(rule, "old", "new")
    groups[1]["Weight"] = 1
    assert not is_a_cutovers([*rule, *rule], "old", "new")
    assert shared_by(rule) == {"old", "alt"}


def test_two_starts_from_two_machines(sides: Sides) -> None:
    """The second one is told of the first, whose journal it cannot see."""
    first, second = sides.project / "first", sides.project / "second"
    first.mkdir()
    second.mkdir()
    sides.project = first
    process = sides.start(*START, "--hold", "60s")
    wait(lambda: sides.weights() == {"old": 90, "new": 10}, "the first step")
    assert len(sides.marks()) == 2
    sides.project = second
    code, out, err = sides.run("start", "--from", "web-old", "--to", "web-new", "--steps", "100")
    assert code == 3 and "is under way since" in err, out + err
    assert not list((second / ".hikkoshi" / "cutover").glob("2*.jsonl"))
    assert sides.weights() == {"old": 90, "new": 10}
    process.kill()
    process.communicate()
    assert len(sides.marks()) == 2, "a killed one still holds it: its step is set"
    sides.project = first
    assert sides.run("status")[0] == 1
    assert sides.marks() == []
    assert sides.weights() == {"old": 1}


def test_the_mark_goes_with_the_cutover(sides: Sides) -> None:
    top = sides.project
    for number, (ending, code) in enumerate(
        ((("back",), 0), (("back", "--leave"), 0), (("back", "--force"), 0))
    ):
        sides.project = top / str(number)
        sides.project.mkdir()
        assert sides.run(*RESTS)[0] == 0
        assert len(sides.marks()) == 2
        assert sides.run(*ending)[0] == code
        assert sides.marks() == []
        sides.as_it_was()
    sides.project = top / "unmarked"
    sides.project.mkdir()
    assert sides.run(*RESTS, "--no-mark")[0] == 0
    assert sides.marks() == []
    assert sides.run("back")[0] == 0


def test_where_nothing_can_be_moved_the_rules_are_shown(sides: Sides) -> None:
    """And the default action has a name, by which it is chosen."""
    code, _, err = sides.run("start", "--from", "web-new", "--to", "web-new")
    assert code == 2 and "the old side and the new side are both web-new" in err
    code, _, err = sides.run(*START, "--rule", "arn:nosuch")
    assert code == 2 and "there is no rule arn:nosuch there" in err
    code, _, err = sides.run(*START, "--listener", f"{sides.listener[:-3]}abc")
    assert code == 3 and "--listener wants the ARN" in err
    code, _, err = sides.run("start", "--to", "web-old", "--listener", sides.listener)
    assert code == 2 and "forwards everything to it already" in err
    assert "web port 8000, default action → forward web-old 1" in err
    code, out, err = sides.run(*RESTS, "--listener", sides.listener, "--rule", "default")
    assert code == 0, out + err
    assert sides.weights() == {"old": 90, "new": 10}
    assert sides.run("back")[0] == 0
