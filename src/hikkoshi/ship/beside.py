"""A cutover beside a deploy: both would write the same weights of a load balancer's rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hikkoshi.aws.access import Access
from hikkoshi.aws.marks import Marks
from hikkoshi.base.errors import AwsRefused, CannotRun
from hikkoshi.ship import blue_green, codedeploy

Document = dict[str, Any]
KnownHere = Callable[[], str | None]
"""The cutover that this machine's journal says is under way, in words."""


def shifts_weights(service: Document) -> str | None:
    """By what a deployment of the service (or of its definition) writes weights; None: it rolls."""
    if codedeploy.is_codedeploy(service):
        return codedeploy.CONTROLLER
    return blue_green.strategy_of(service) if blue_green.shifts_traffic(service) else None


def refuse_beside_a_cutover(
    access: Access, service: Document, known_here: KnownHere, say: Callable[[str], None]
) -> None:
    """CannotRun for a service whose deployments shift traffic. One that rolls writes no weights:
    it is only said. Who may not read tags is told that it is not known."""
    how = shifts_weights(service)
    marks = Marks(access, blue_green.target_groups(service.get("loadBalancers") or []))
    words, gone = known_here(), ""
    if words is None and marks.groups:
        try:
            found = list(marks.read().values())
        except AwsRefused as error:
            say(f"whether a cutover is under way is not known: {error.what}; {error.fix or ''}")
            return
        words = found[0].words if found else None
        gone = f"; if it is known to be gone: {marks.command()}"
    if words is None:
        return
    if how is None:
        say(f"{words}: this deploy changes the side that it watches")
        return
    raise CannotRun(
        f"{words}, and a {how} deployment would write the same weights",
        fix="end it first, where it was begun: `hikkoshi cutover back`, or `hikkoshi cutover "
        f"finish` once it is cut over{gone}",
    )
