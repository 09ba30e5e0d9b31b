"""A dead man's clock in the account: if the tool dies at a step, the account itself goes back.

A one-time schedule of EventBridge Scheduler holds the rule as it was, and calls a function that
puts it back (account/put_back.py). While the tool watches, it pushes the schedule before it; when
the cutover is over, or rests, it takes it away. So whatever befalls the tool's machine, its network
or its credentials, a step that nobody watches is held for some minutes at most.

A schedule goes off somewhere in its minute (docs.aws.amazon.com/scheduler/latest/UserGuide/
schedule-types.html: "60 second precision"), so it is set to whole minutes, 2 to 3 of them ahead.
"""

from __future__ import annotations

import json
import math
import textwrap
import time
from collections.abc import Callable
from importlib import resources
from typing import Any, Protocol

import yaml
from botocore.exceptions import ClientError

from hikkoshi.aws.access import Access, calling, urgently
from hikkoshi.base.errors import AwsRefused, BadInput, HikkoshiError
from hikkoshi.cutover.actions import Actions, to_ask
from hikkoshi.cutover.place import Place
from hikkoshi.cutover.values import ClockHome

SILENCE_S = 120.0
"""For so long at least the tool must give no sign of life. More than it may be blind for."""


class WentOff(HikkoshiError):
    """The clock has gone off while the tool still lived: it was stopped, asleep or cut off."""


class Clock(Protocol):
    """name: of the cutover."""

    @property
    def home(self) -> ClockHome | None:
        """What a journal keeps of it, so that another process can stop it."""

    def start(self, name: str, place: Place, original: Actions) -> None: ...

    def push(self) -> None: ...

    def stop(self, name: str) -> None: ...


class NoClock:
    home = None

    def start(self, name: str, place: Place, original: Actions) -> None:
        return None

    def push(self) -> None:
        return None

    def stop(self, name: str) -> None:
        return None


NO_CLOCK = NoClock()


def find_home(access: Access, stack: str) -> ClockHome:
    """BadInput if there is no such stack, or it is another one."""
    cloudformation = access.client("cloudformation")
    fix = (
        "`hikkoshi cutover dead-man > dead-man.yaml` writes its template, and `aws cloudformation "
        f"deploy --stack-name {stack} --template-file dead-man.yaml --capabilities CAPABILITY_IAM "
        "--parameter-overrides ListenerArn=…` makes it"
    )
    try:
        found = calling(
            "cloudformation:DescribeStacks", cloudformation.describe_stacks, StackName=stack
        )["Stacks"][0]
    except AwsRefused as error:
        if isinstance(error.__cause__, ClientError) and "does not exist" in error.what:
            raise BadInput(f"there is no stack {stack!r}", where="--dead-man", fix=fix) from error
        raise
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", ())}
    try:
        return ClockHome(outputs["Group"], outputs["FunctionArn"], outputs["SchedulerRoleArn"])
    except KeyError as error:
        raise BadInput(
            f"the stack {stack!r} has no output {error}", where="--dead-man", fix=fix
        ) from error


class DeadMansClock:
    """One schedule. now: epoch seconds. Raises AwsRefused, within seconds."""

    def __init__(
        self, access: Access, home: ClockHome, now: Callable[[], float] = time.time
    ) -> None:
        self._scheduler = access.client("scheduler", is_urgent=True)
        self._now = now
        self._name = ""
        self._due = 0.0
        self._target: dict[str, Any] = {}
        self.home = home

    def start(self, name: str, place: Place, original: Actions) -> None:
        """From now on it runs. One of that name that is left from before is set anew."""
        self._name = name
        self._target = {
            "Arn": self.home.function,
            "RoleArn": self.home.role,
            "Input": json.dumps(undo_of(place, original)),
        }
        due = due_after(self._now())
        try:
            self._call("CreateSchedule", self._scheduler.create_schedule, due)
        except AwsRefused as error:
            if _code(error) != "ConflictException":
                raise
            self._call("UpdateSchedule", self._scheduler.update_schedule, due)
        self._due = due

    def push(self) -> None:
        """A sign of life; a call once a minute. Raises WentOff."""
        due = due_after(self._now())
        if due <= self._due:
            return
        try:
            self._call("UpdateSchedule", self._scheduler.update_schedule, due)
        except AwsRefused as error:
            if _code(error) == "ResourceNotFoundException":
                raise WentOff(
                    "the dead man's clock has gone off: the tool had been stopped or cut off"
                ) from error
            raise
        self._due = due

    def stop(self, name: str) -> None:
        """Also one that another process has started; and one that is not there is stopped."""
        try:
            urgently(
                "scheduler:DeleteSchedule",
                self._scheduler.delete_schedule,
                Name=name,
                GroupName=self.home.group,
            )
        except AwsRefused as error:
            if _code(error) != "ResourceNotFoundException":
                raise

    def _call(self, operation: str, call: Callable[..., Any], due: float) -> None:
        urgently(
            f"scheduler:{operation}",
            call,
            Name=self._name,
            GroupName=self.home.group,
            ScheduleExpression=time.strftime("at(%Y-%m-%dT%H:%M:%S)", time.gmtime(due)),
            ScheduleExpressionTimezone="UTC",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target=self._target,
        )


def due_after(now: float) -> float:
    """The first whole minute that lies SILENCE_S ahead."""
    return math.ceil((now + SILENCE_S) / 60.0) * 60.0


def undo_of(place: Place, original: Actions) -> dict[str, Any]:
    """What the function is called with."""
    if place.rule_arn is None:
        rule = {"ListenerArn": place.listener}
    else:
        rule = {"RuleArn": place.rule_arn}
    return {"rule": rule, "original": to_ask(original), "old": place.old, "new": place.new}


def template() -> str:
    """The CloudFormation template, with the function's code in it."""
    account = resources.files("hikkoshi.cutover") / "account"
    text = (account / "dead_man.yaml").read_text("utf-8")
    code = (account / "put_back.py").read_text("utf-8")
    return text.replace("          @CODE@\n", textwrap.indent(code, " " * 10))


def template_document() -> dict[str, Any]:
    """The same, with CloudFormation's short tags (`!Ref`) as the functions that they stand for."""
    document: dict[str, Any] = yaml.load(template(), _Tags)
    return document


class _Tags(yaml.SafeLoader):
    """YAML with CloudFormation's tags. docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/
    intrinsic-function-reference.html"""

    def function(self, suffix: str, node: yaml.Node) -> dict[str, Any]:
        name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
        if isinstance(node, yaml.ScalarNode):
            value: Any = self.construct_scalar(node)
            if suffix == "GetAtt":
                value = str(value).split(".", 1)
        elif isinstance(node, yaml.SequenceNode):
            value = self.construct_sequence(node, deep=True)
        else:
            assert isinstance(node, yaml.MappingNode)
            value = self.construct_mapping(node, deep=True)
        return {name: value}


_Tags.add_multi_constructor("!", _Tags.function)


def _code(error: AwsRefused) -> str:
    cause = error.__cause__
    return cause.response["Error"]["Code"] if isinstance(cause, ClientError) else ""
