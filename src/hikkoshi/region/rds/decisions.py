"""What to do with a cluster, decided from a snapshot of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemberView:
    """received: the position in the log up to which a reader has everything, in bytes."""

    name: str
    zone: str
    status: str
    is_writer: bool
    is_in_sync: bool = False
    promotion_tier: int = 1
    received: int = 0


@dataclass(frozen=True, slots=True)
class Promote:
    target: str
    because: str


@dataclass(frozen=True, slots=True)
class RestartInPlace:
    because: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """fault: which of RDS's faults it is, `instance` (unknown) or `state` (not ready)."""

    fault: str
    because: str


Choice = Promote | RestartInPlace | Refuse


def choose_failover(
    cluster: str, status: str, members: Sequence[MemberView], wanted: str | None
) -> Choice:
    """Where the writer goes. Without a wanted target: the ready reader of the lowest promotion
    tier, then the one that has received most. A cluster of one instance restarts in place."""
    if status != "available":
        return Refuse("state", f"DB cluster {cluster} is not in the available state ({status}).")
    writer = next((member for member in members if member.is_writer), None)
    if writer is None:
        return Refuse("state", f"DB cluster {cluster} has no instances to fail over to.")
    by_name = {member.name: member for member in members}
    readers = [member for member in members if not member.is_writer]
    if wanted is not None:
        found = by_name.get(wanted)
        if found is None:
            return Refuse("instance", f"DB instance {wanted} is not in the DB cluster {cluster}.")
        if found.is_writer:
            return Refuse(
                "state", f"Cannot fail over to {wanted}: it is already the writer of {cluster}."
            )
        if not _is_ready(found):
            return Refuse("state", f"DB instance {wanted} is not ready ({found.status}).")
        return Promote(wanted, "asked for")
    ready = [member for member in readers if _is_ready(member)]
    if ready:
        best = min(ready, key=lambda member: (member.promotion_tier, -member.received, member.name))
        return Promote(best.name, f"ready, in promotion tier {best.promotion_tier}")
    if readers:
        return Refuse("state", f"No reader of DB cluster {cluster} is ready to take over.")
    return RestartInPlace("the cluster has no reader")


def readers_behind_names(members: Sequence[MemberView]) -> list[str]:
    """The instances behind the reader endpoint: the readers that serve, else the writer."""
    readers = [m.name for m in members if not m.is_writer and m.status == "available"]
    return readers or [m.name for m in members if m.is_writer]


def has_diverged(received: int, promoted_at: int) -> bool:
    """Whether a reader took in more than the promoted one had: it can only be copied anew."""
    return received > promoted_at


def parse_position(text: str | None) -> int:
    """PostgreSQL's `16/B374D848` as a number of bytes; None as 0."""
    if not text:
        return 0
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def _is_ready(member: MemberView) -> bool:
    return member.status == "available" and member.is_in_sync
