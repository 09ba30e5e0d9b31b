"""Registering, finding and stopping: the calls about one deployment that several commands make."""

from __future__ import annotations

import time

from hikkoshi.base.errors import AwsRefused
from hikkoshi.ship import changes as changing
from hikkoshi.ship import normal
from hikkoshi.ship.calls import Calls, code_of, short
from hikkoshi.ship.home import Home
from hikkoshi.ship.judge import Ours
from hikkoshi.ship.watch import Show


def registered(calls: Calls, home: Home, show: Show) -> str:
    """The ARN of the family's newest revision if it is the files' own, else of a new one."""
    newest = calls.definition(home.family)
    if (
        newest is not None
        and newest.get("status") == "ACTIVE"
        and changing.is_same_task(newest, home.task_definition)
        and normal.tags(newest) == normal.tags(home.task_definition)
    ):
        show.say(f"{short(newest['taskDefinitionArn'])} is registered already")
        return str(newest["taskDefinitionArn"])
    made = calls("RegisterTaskDefinition", **home.task_definition)["taskDefinition"]
    show.say(f"registered {short(made['taskDefinitionArn'])}")
    return str(made["taskDefinitionArn"])


def find_record(calls: Calls, ours: Ours) -> Ours:
    """With the service deployment that belongs to it; as it was where ECS does not tell.

    The newest that is not older than the deployment: ECS makes it a moment later."""
    for _ in range(10):
        try:
            found = calls.service_deployments(most=5)
        except AwsRefused as error:
            if "may not call" in error.what or code_of(error) == "UnsupportedFeatureException":
                return ours
            raise
        for each in found[:1]:
            if each["createdAt"].timestamp() >= ours.created_at - 5:
                return Ours(ours.id, each["serviceDeploymentArn"], ours.created_at)
        time.sleep(0.2 if calls.access.is_local else 1.0)
    return ours


def stop_deployment(calls: Calls, ours: Ours) -> bool:
    """StopServiceDeployment with ROLLBACK. False: there is nothing to go back to."""
    if ours.record is None:
        return False
    try:
        calls("StopServiceDeployment", serviceDeploymentArn=ours.record, stopType="ROLLBACK")
    except AwsRefused as error:
        if code_of(error) in ("ConflictException", "InvalidParameterException"):
            record = calls.service_deployment(ours.record)
            return record is not None and "ROLLBACK" in str(record["status"])
        raise
    return True
