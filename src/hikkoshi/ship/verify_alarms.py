"""Verifying the CloudWatch alarms that are to fail a deployment."""

from __future__ import annotations

from functools import partial
from typing import Any

from hikkoshi.aws.access import Access, calling
from hikkoshi.ship.checks import Check, asking, branch, ok, wrong

Document = dict[str, Any]


def check_alarms(access: Access, service: Document) -> list[Check]:
    """None for a service whose deployments no alarm is to fail."""
    alarms = (service.get("deploymentConfiguration") or {}).get("alarms") or {}
    names = list(dict.fromkeys(alarms.get("alarmNames") or ()))
    if not alarms.get("enable") or not names:
        return []
    return [asking("alarms", partial(_look, access, names))]


def _look(access: Access, names: list[str]) -> Check:
    cloudwatch = access.client("cloudwatch")
    found = calling(
        "cloudwatch:DescribeAlarms", cloudwatch.describe_alarms, AlarmNames=names,
        AlarmTypes=["MetricAlarm", "CompositeAlarm"],
    )  # fmt: skip
    known = [*found.get("MetricAlarms", ()), *found.get("CompositeAlarms", ())]
    states = {each["AlarmName"]: str(each["StateValue"]) for each in known}
    return branch("alarms", *(judge(name, states.get(name)) for name in names))


def judge(name: str, state: str | None) -> Check:
    """state: CloudWatch's; None: there is no such alarm. Pure."""
    title = f"alarm {name}"
    if state is None:
        return wrong(
            title, "there is none, in this account and region",
            "make it (`aws cloudwatch put-metric-alarm`), or take it out of alarmNames",
        )  # fmt: skip
    if state == "ALARM":
        return wrong(
            title, "is in ALARM: a deployment that begins now is not watched by any alarm",
            "end what it tells of first; `aws cloudwatch describe-alarm-history` shows it",
        )  # fmt: skip
    return ok(title, f"is {state}")
