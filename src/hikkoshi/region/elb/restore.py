"""What ELBv2 held when the region was killed, and how that is journaled.

Targets are not kept: they died with the region, and ECS registers those that it starts anew. A
certificate and its key are a file that HAProxy reads; where it outlived the region, so does the
HTTPS listener.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from hikkoshi.region.elb.model import Holdings, Listener, LoadBalancer, Rule, TargetGroup
from hikkoshi.region.journal import Line, restored

_KINDS: dict[str, type] = {
    "load_balancers": LoadBalancer,
    "target_groups": TargetGroup,
    "listeners": Listener,
    "rules": Rule,
    "tags": dict[str, str],
}

_log = logging.getLogger(__name__)


def everything(held: Holdings) -> Iterator[Line]:
    for kind in _KINDS:
        for arn, value in getattr(held, kind).items():
            yield kind, arn, value


def changed(before: Holdings, after: Holdings) -> Iterator[Line]:
    """The lines that make of the one the other."""
    for kind in _KINDS:
        old, new = getattr(before, kind), getattr(after, kind)
        for arn in old.keys() | new.keys():
            if old.get(arn) != new.get(arn):
                yield kind, arn, new.get(arn)


def held_before(lines: Iterable[Line]) -> Holdings:
    """Without what cannot come back; the descriptors in listeners are the dead region's."""
    found: dict[str, dict[str, object]] = {kind: {} for kind in _KINDS}
    for kind, arn, value in restored(lines, _KINDS):
        found[kind][arn] = value
    held = Holdings(**found)  # type: ignore[arg-type]
    for listener in list(held.listeners.values()):
        lost = [arn for arn, file in listener.certificates if not Path(file).is_file()]
        if lost or listener.load_balancer_arn not in held.load_balancers:
            what = f"the key of {lost[0]} is gone" if lost else "its load balancer is gone"
            _log.warning("%s does not come back: %s", listener.arn, what)
            held = held.having("listeners", listener.arn, None)
    for rule in list(held.rules.values()):
        if rule.listener_arn not in held.listeners:
            held = held.having("rules", rule.arn, None)
    return held


def with_sockets(held: Holdings, sockets: dict[str, tuple[int, int, int]]) -> Holdings:
    """sockets: by the listener's ARN, as Keeper.open_sockets answers."""
    for arn, (door_fd, door_port, inside_fd) in sockets.items():
        opened = replace(
            held.listeners[arn], door_fd=door_fd, door_port=door_port, inside_fd=inside_fd
        )
        held = held.having("listeners", arn, opened)
    return held
