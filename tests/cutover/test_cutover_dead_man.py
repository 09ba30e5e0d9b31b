"""The account's own way back: its clock, the function, the stack that has both.

Nobody here plays EventBridge Scheduler going off: the test takes what the schedule holds, as it
would, and calls the very function that Lambda runs, against a real load balancer's API.
"""

from __future__ import annotations

import calendar
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cutover_house import Load, Sides, wait

import hikkoshi.region.cloudformation.moto_engine  # noqa: F401 moto cannot import its own
from hikkoshi.aws.access import Access
from hikkoshi.cutover.account import put_back
from hikkoshi.cutover.dead_man import DeadMansClock, WentOff, due_after, template, undo_of
from hikkoshi.cutover.journal import Journal
from hikkoshi.cutover.place import Place
from hikkoshi.cutover.values import ClockHome

START = ("start", "--from", "web-old", "--to", "web-new", "--abort-on", "errors>1%",
         "--least-requests", "1", "--hold-at-most", "60s", "--dead-man", "dead-man")  # fmt: skip
HOME = ClockHome(
    "dead-man",
    "arn:aws:lambda:ap-northeast-1:123456789012:function:dead-man-put-back",
    "arn:aws:iam::123456789012:role/dead-man-SchedulerRole",
)


@pytest.fixture(scope="module")
def stack(both_sides: Sides) -> Iterator[None]:
    """Its outputs and its group; moto makes no schedule groups by CloudFormation."""
    both_sides.client("scheduler").create_schedule_group(Name=HOME.group)
    outputs = {"Group": HOME.group, "FunctionArn": HOME.function, "SchedulerRoleArn": HOME.role}
    both_sides.client("cloudformation").create_stack(
        StackName="dead-man",
        TemplateBody=json.dumps(
            {
                "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
                "Outputs": {name: {"Value": value} for name, value in outputs.items()},
            }
        ),
    )
    yield


@pytest.fixture
def in_lambda(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that boto3 finds there."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", sides.url)
    monkeypatch.setenv("AWS_REGION", "ap-northeast-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")


def schedules(sides: Sides) -> list[str]:
    found = sides.client("scheduler").list_schedules(GroupName=HOME.group)["Schedules"]
    return [each["Name"] for each in found]


# The whole


def test_after_a_kill_the_account_goes_back_by_itself(
    sides: Sides, stack: None, in_lambda: None
) -> None:
    with Load(sides) as load:
        process = sides.start(*START, "--steps", "10,100", "--hold", "60s")
        wait(lambda: sides.weights() == {"old": 90, "new": 10}, "the first step")
        process.kill()
        _, err = process.communicate()
        name = Journal(sides.project / ".hikkoshi" / "cutover").id
        assert schedules(sides) == [name], err
        clock = sides.client("scheduler").get_schedule(Name=name, GroupName=HOME.group)
        due = calendar.timegm(time.strptime(clock["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)"))
        assert due % 60 == 0
        assert 0 < due - time.time() <= 180
        assert clock["ScheduleExpressionTimezone"] == "UTC"
        assert clock["FlexibleTimeWindow"] == {"Mode": "OFF"}
        assert (clock["Target"]["Arn"], clock["Target"]["RoleArn"]) == (HOME.function, HOME.role)
        assert put_back.handler(json.loads(clock["Target"]["Input"]), None) == "put back"
        assert sides.weights() == {"old": 1}
        code, out, err = sides.run("status")
    assert code == 1 and "Recovered" in out, out + err
    assert sides.weights() == {"old": 1}
    assert load.failed == []
    assert schedules(sides) == []


def test_it_runs_only_while_somebody_should_watch(sides: Sides, stack: None) -> None:
    with Load(sides):
        stepwise = (*START, "--steps", "50,100", "--hold", "0s", "--stepwise")
        code, out, err = sides.run(*stepwise)
        assert code == 0, out + err
        assert "NOT PLAYED" in out and "the account goes back by itself" in out
        assert schedules(sides) == []
        code, out, err = sides.run("advance")
        assert code == 0 and "Cut over" in out, out + err
        assert schedules(sides) == []
        assert sides.run("back")[0] == 0
        process = sides.start(*START, "--steps", "10,100", "--hold", "60s")
        wait(lambda: sides.weights() == {"old": 90, "new": 10}, "the first step")
        assert len(schedules(sides)) == 1
        assert f"{schedules(sides)[0]} of dead-man" in sides.run("status")[1]
        process.terminate()
        process.communicate()
    assert sides.weights() == {"old": 1}
    assert schedules(sides) == []


def test_without_its_stack_nothing_is_begun(sides: Sides) -> None:
    code, _, err = sides.run(*START[:-1], "no-such")
    assert code == 2 and "no-such" in err and "hikkoshi cutover dead-man" in err
    assert sides.weights() == {"old": 1}


# The clock


@pytest.mark.parametrize(
    ("now", "due"), [(0.0, 120.0), (0.1, 180.0), (59.0, 180.0), (60.0, 180.0), (61.0, 240.0)]
)
def test_it_is_due_two_to_three_minutes_ahead(now: float, due: float) -> None:
    assert due_after(now) == due


def test_a_clock_that_is_pushed_and_one_that_has_gone_off(sides: Sides, stack: None) -> None:
    now = [1_796_000_010.0]
    clock = DeadMansClock(Access(sides.url, "ap-northeast-1"), HOME, lambda: now[0])
    scheduler = sides.client("scheduler")

    def due() -> str:
        found = scheduler.get_schedule(Name="one", GroupName=HOME.group)
        assert found["Target"]["Input"]
        return str(found["ScheduleExpression"])

    place = Place("lb", sides.listener, None, sides.old, sides.new)
    clock.start("one", place, [])
    first = due()
    clock.push()
    assert due() == first
    now[0] += 60
    clock.push()
    assert due() > first
    # One that a process which was killed has left, and the next one sets anew.
    clock.start("one", place, [])
    scheduler.delete_schedule(Name="one", GroupName=HOME.group)
    now[0] += 60
    with pytest.raises(WentOff):
        clock.push()
    clock.stop("one")


# The function


def forward(*groups: tuple[str, int]) -> list[dict[str, Any]]:
    shares = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in groups]
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": shares}}]


@pytest.mark.parametrize(
    ("weights", "done", "left"),
    [
        ({"old": 75, "new": 25}, "put back", {"old": 1}),
        ({"old": 100, "new": 0}, "put back", {"old": 1}),
        ({"old": 0, "new": 100}, "put back", {"old": 1}),
        ({"old": 1}, "was back already", {"old": 1}),
        ({"new": 1}, "left", {"new": 1}),
    ],
)
@pytest.mark.parametrize("of", ["the default action", "a rule"])
def test_the_function(
    sides: Sides, in_lambda: None, weights: dict[str, int], done: str, left: dict[str, int], of: str
) -> None:
    groups = {"old": sides.old, "new": sides.new}
    actions = forward(*((groups[name], weight) for name, weight in weights.items()))
    rule_arn = None
    if of == "a rule":
        rule_arn = sides.elb.create_rule(
            ListenerArn=sides.listener,
            Priority=7,
            Conditions=[{"Field": "path-pattern", "Values": ["/y"]}],
            Actions=actions,
        )["Rules"][0]["RuleArn"]
    else:
        sides.elb.modify_listener(ListenerArn=sides.listener, DefaultActions=actions)
    place = Place(sides.balancer, sides.listener, rule_arn, sides.old, sides.new)
    try:
        event = undo_of(place, [{"Type": "forward", "TargetGroupArn": sides.old}])
        assert put_back.handler(json.loads(json.dumps(event)), None) == done
        found = put_back.read(sides.elb, event["rule"])
        names = {arn: name for name, arn in groups.items()}
        assert {names[arn]: n for arn, n in put_back.weights(found[0]).items()} == left
    finally:
        if rule_arn is not None:
            sides.elb.delete_rule(RuleArn=rule_arn)


def test_a_rule_that_does_something_else_by_now_is_left(sides: Sides, in_lambda: None) -> None:
    gone = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}]
    sides.elb.modify_listener(ListenerArn=sides.listener, DefaultActions=gone)
    place = Place(sides.balancer, sides.listener, None, sides.old, sides.new)
    event = undo_of(place, [{"Type": "forward", "TargetGroupArn": sides.old}])
    assert put_back.handler(event, None) == "left"
    assert put_back.read(sides.elb, event["rule"])[0]["Type"] == "fixed-response"


# The stack


class Tagged(yaml.SafeLoader):
    """!Sub x → {"!Sub": x}."""


def _tagged(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {tag: loader.construct_scalar(node)}
    return {tag: loader.construct_sequence(node, deep=True)}  # type: ignore[arg-type]


Tagged.add_multi_constructor("!", _tagged)


def test_the_template_has_the_very_function_and_may_change_one_listener() -> None:
    document = yaml.load(template(), Tagged)
    resources = document["Resources"]
    code = resources["Function"]["Properties"]["Code"]["ZipFile"]
    assert code == Path(put_back.__file__).read_text("utf-8")
    compile(code, "index.py", "exec")
    policy = resources["FunctionRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    allowed = {str(each["Action"]): each["Resource"] for each in policy["Statement"]}
    for actions, resource in allowed.items():
        assert resource != "*" or "Describe" in actions, actions
    assert allowed["elasticloadbalancing:ModifyListener"] == {"Ref": "ListenerArn"}
    assert set(document["Outputs"]) == {"Group", "FunctionArn", "SchedulerRoleArn"}
