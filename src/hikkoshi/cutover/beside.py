"""What else would write the weights that a cutover writes: a deployment in which the traffic of the
service is shifted, and another cutover. Each side looks for the other, and tells of itself first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from hikkoshi.aws.access import Access, urgently
from hikkoshi.aws.marks import Marks
from hikkoshi.base.errors import CannotRun
from hikkoshi.cutover.place import Place
from hikkoshi.model.cutover_mark import CutoverMark

Beside = Callable[[], str | None]
"""The deployment that shifts traffic now, in words; None if there is none. Raises AwsRefused."""


def nothing_beside() -> str | None:
    return None


def shifting(service: Mapping[str, Any]) -> str | None:
    """Of a service as DescribeServices has it. Pure."""
    if (service.get("deploymentController") or {}).get("type") == "CODE_DEPLOY":
        sets = service.get("taskSets") or []
        return f"CodeDeploy has {len(sets)} task sets of it at work" if len(sets) > 1 else None
    strategy = (service.get("deploymentConfiguration") or {}).get("strategy", "ROLLING")
    if strategy == "ROLLING":
        return None
    for each in service.get("deployments") or []:
        if each["status"] == "PRIMARY" and each.get("rolloutState") == "IN_PROGRESS":
            name = str(each["taskDefinition"]).rpartition("/")[2]
            since = f"{each['createdAt'].astimezone():%Y-%m-%d %H:%M:%S}"
            return f"the {strategy} deployment {each['id']} of {name} is in progress since {since}"
    return None


def look_beside(access: Access, cluster: str, service: str) -> Beside:
    ecs = access.client("ecs", is_urgent=True)

    def look() -> str | None:
        found = urgently(
            "ecs:DescribeServices", ecs.describe_services, cluster=cluster, services=[service]
        )["services"]
        return shifting(found[0]) if found else None

    return look


class DeploymentInTheWay(CannotRun):
    """Nothing was changed by a cutover that had not begun; one that had goes back."""

    def __init__(self, words: str) -> None:
        super().__init__(
            f"{words}, and shifts the traffic of the service by the same weights",
            fix="`hikkoshi wait` for its end, or stop it with `hikkoshi rollback`; then again",
        )


class Sign(Protocol):
    """How others are told of a cutover. name: the cutover's."""

    is_shown: bool

    def need_free(self) -> None:
        """Raises CannotRun if another cutover is marked."""

    def show(self, name: str, owner: str) -> None:
        """Raises CannotRun if another one was faster."""

    def take_away(self, name: str) -> None: ...


class NoSign:
    is_shown = False

    def need_free(self) -> None:
        return None

    def show(self, name: str, owner: str) -> None:
        return None

    def take_away(self, name: str) -> None:
        return None


NO_SIGN = NoSign()


def need_unmarked(marks: Marks, name: str = "") -> None:
    """CannotRun if another cutover than this one is marked."""
    for mark in marks.read().values():
        if mark.cutover != name:
            raise CannotRun(
                f"{mark.words}, of a target group that this one would move",
                fix="wait for its end, or `hikkoshi cutover back` where it was begun; if it is "
                f"known to be gone: {marks.command()}",
            )


class TagSign:
    """A tag on both target groups of the place."""

    is_shown = True

    def __init__(self, access: Access, place: Place) -> None:
        self._marks = Marks(access, (place.old, place.new))

    def need_free(self) -> None:
        need_unmarked(self._marks)

    def show(self, name: str, owner: str) -> None:
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._marks.set(CutoverMark(name, owner, since))
        need_unmarked(self._marks, name)

    def take_away(self, name: str) -> None:
        self._marks.remove(name)
