"""Whether a service is to be scaled, and to how many tasks (target tracking). Pure.

Rules: Application Auto Scaling User Guide, "How target tracking scaling works". AWS keeps its
arithmetic to itself; this is the proportion that its guide describes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

POINTS_TO_SCALE_OUT = 3
"""The high alarm that AWS makes: 3 datapoints of a minute above the target."""
POINTS_TO_SCALE_IN = 15
"""The low alarm that AWS makes: 15 datapoints of a minute below 90 % of the target."""
LOW_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Policy:
    """points: the newest last, one an interval; None where there was no data. Cooldowns in s."""

    name: str
    target_value: float
    points: tuple[float | None, ...] = ()
    is_scale_in_disabled: bool = False
    scale_out_cooldown_s: float = 300.0
    scale_in_cooldown_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Target:
    """running: tasks over which the metrics are averages. Times are seconds since the epoch."""

    minimum: int
    maximum: int
    desired: int
    running: int
    policies: tuple[Policy, ...] = ()
    is_scale_out_suspended: bool = False
    is_scale_in_suspended: bool = False
    scaled_out_at: float | None = None
    scaled_in_at: float | None = None


@dataclass(frozen=True, slots=True)
class Scaling:
    """policy: the name of the one that asked; None: a bound did."""

    desired: int
    cause: str
    policy: str | None = None
    is_high: bool = False


def decide(target: Target, now: float) -> Scaling | None:
    """Out as soon as one policy wants it, in only when all that may want it do."""
    if target.desired < target.minimum and not target.is_scale_out_suspended:
        return Scaling(target.minimum, f"minimum capacity was set to {target.minimum}")
    if target.desired > target.maximum and not target.is_scale_in_suspended:
        return Scaling(target.maximum, f"maximum capacity was set to {target.maximum}")
    return _out(target, now) or _in(target, now)


def _out(target: Target, now: float) -> Scaling | None:
    if target.is_scale_out_suspended:
        return None
    best: Scaling | None = None
    for policy in target.policies:
        recent = _recent(policy.points, POINTS_TO_SCALE_OUT)
        if recent is None or not all(point > policy.target_value for point in recent):
            continue
        wanted = min(_proportion(target, policy, recent[-1]), target.maximum)
        # In the cooldown only what goes beyond the last scaling counts: that is in `desired`.
        is_cooling = _is_within(target.scaled_out_at, policy.scale_out_cooldown_s, now)
        if is_cooling and target.running < target.desired:
            continue
        if wanted > target.desired and (best is None or wanted > best.desired):
            best = Scaling(wanted, "high", policy.name, is_high=True)
    return best


def _in(target: Target, now: float) -> Scaling | None:
    willing = [policy for policy in target.policies if not policy.is_scale_in_disabled]
    if target.is_scale_in_suspended or not willing:
        return None
    wanted, name = target.minimum, willing[0].name
    for policy in willing:
        recent = _recent(policy.points, POINTS_TO_SCALE_IN)
        if recent is None or not all(p < policy.target_value * LOW_SHARE for p in recent):
            return None
        for at in (target.scaled_in_at, target.scaled_out_at):
            if _is_within(at, policy.scale_in_cooldown_s, now):
                return None
        needs = _proportion(target, policy, recent[-1])
        if needs > wanted:
            wanted, name = needs, policy.name
    return Scaling(wanted, "low", name) if wanted < target.desired else None


def _proportion(target: Target, policy: Policy, value: float) -> int:
    return math.ceil(round(target.running * value / policy.target_value, 6))


def _recent(points: Sequence[float | None], count: int) -> list[float] | None:
    """The newest `count`, or None if one of them is missing."""
    found = [point for point in points[-count:] if point is not None]
    return found if len(found) == count else None


def _is_within(at: float | None, seconds: float, now: float) -> bool:
    return at is not None and now - at < seconds
