"""Is the new side worse, and have we seen enough to tell? The statistics of a cutover. Pure.

Errors: the new side breaches when so many of its requests failed that, if its true share were the
limit (or the old side's share in the same time, where that is higher), chance alone would show as
many in less than one look of a thousand: the exact upper tail of the binomial distribution; and at
least three, so that one broken client is no verdict.

p99: the new side breaches when its p99 is more than the limit's multiple of the old side's, over at
least 300 requests on each side, and by more than 50 ms: a multiple of next to nothing is nothing.

Enough: 3 / limit requests on the new side. With none failed in so many, the true share is below
the limit with 95 % confidence (the rule of three). For a p99: 300.
"""

from __future__ import annotations

import math

from hikkoshi.base.units import format_duration, format_share
from hikkoshi.cutover.values import Limits, Side, Window

CHANCE = 0.001
LEAST_ERRORS = 3
LEAST_FOR_P99 = 300
P99_MARGIN_S = 0.05


def chance_of(errors: int, requests: int, share: float) -> float:
    """P(at least so many errors in so many requests, each failing with this probability)."""
    if errors <= 0:
        return 1.0
    if errors > requests or share <= 0:
        return 0.0
    if share >= 1 or errors <= requests * share:
        # At or below what is expected: the tail is large, and how large does not matter.
        return 1.0
    log_term = (
        math.lgamma(requests + 1)
        - math.lgamma(errors + 1)
        - math.lgamma(requests - errors + 1)
        + errors * math.log(share)
        + (requests - errors) * math.log1p(-share)
    )
    total = term = 1.0
    odds = share / (1 - share)
    for k in range(errors, requests):
        term *= (requests - k) / (k + 1) * odds
        total += term
        if term < total * 1e-12:
            break
    return min(1.0, math.exp(log_term) * total)


def requests_to_tell(limits: Limits) -> int:
    """How many requests the new side needs, in one step, before its step can be passed."""
    needed = 1
    if limits.errors is not None:
        needed = max(needed, math.ceil(3 / limits.errors - 1e-9) if limits.errors else 300)
    if limits.p99_times is not None or limits.p99_s is not None:
        needed = max(needed, LEAST_FOR_P99)
    return needed


def breach(limits: Limits, window: Window, reference: Side) -> str | None:
    """A sentence with the numbers, if the new side is worse than it may be; else None.

    reference stands in for the old side where that has too little traffic to compare with."""
    old = window.old if window.old.requests >= LEAST_FOR_P99 else reference
    return (
        _too_many_errors(limits, window.new, old)
        or _too_many_of_nobody(limits, window, reference)
        or _too_slow(limits, window.new, old)
    )


def _too_many_errors(limits: Limits, new: Side, old: Side) -> str | None:
    if limits.errors is None or not is_beyond(new.errors, new.requests, limits.errors, old.share):
        return None
    return (
        f"errors: {new.errors} of {new.requests} requests failed on the new side "
        f"({format_share(new.share)}), {format_share(old.share)} on the old side; "
        f"the limit is {format_share(limits.errors)}"
    )


def is_beyond(errors: int, requests: int, limit: float, old_share: float) -> bool:
    expected = max(limit, old_share)
    least = 1 if limit == 0 else LEAST_ERRORS
    return errors >= least and chance_of(errors, requests, expected) < CHANCE


def _too_many_of_nobody(limits: Limits, window: Window, reference: Side) -> str | None:
    """The load balancer's own 5xx, over all requests."""
    if limits.errors is None:
        return None
    requests = window.new.requests + window.old.requests + window.nobodys
    if not is_beyond(window.nobodys, requests, limits.errors, reference.share):
        return None
    return (
        f"errors: the load balancer itself answered {window.nobodys} of {requests} requests with "
        f"a 5xx; the limit is {format_share(limits.errors)}"
    )


def _too_slow(limits: Limits, new: Side, old: Side) -> str | None:
    if new.p99_s is None or new.requests < LEAST_FOR_P99:
        return None
    said = f"p99: {format_duration(new.p99_s)} on the new side"
    if limits.p99_s is not None and new.p99_s > limits.p99_s:
        return f"{said}; the limit is {format_duration(limits.p99_s)}"
    if limits.p99_times is None or old.p99_s is None or old.requests < LEAST_FOR_P99:
        return None
    is_slower = new.p99_s > limits.p99_times * old.p99_s
    if not is_slower or new.p99_s - old.p99_s <= P99_MARGIN_S:
        return None
    return (
        f"{said}, {format_duration(old.p99_s)} on the old side; the limit is "
        f"{limits.p99_times:g} times as much"
    )
