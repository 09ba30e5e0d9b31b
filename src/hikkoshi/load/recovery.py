"""How a service came through a spike: before, in it, and how long until it was as before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hikkoshi.base.units import format_duration, format_share
from hikkoshi.load.timeline import Slice, Timeline

# As before: no slower than this many times its p99 then, with some milliseconds of grace.
_FACTOR, _GRACE_S = 1.5, 0.005


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds and shares. recovery_s: from the end of the spike until everything that was due
    later was as before; None if it never was."""

    p99_before_s: float | None
    p99_spike_s: float | None
    failed_spike: float
    limit_s: float | None
    recovery_s: float | None


def recovery_of(timeline: Timeline, spike_from_s: float, spike_to_s: float) -> Recovery:
    def within(start: float, end: float) -> Slice:
        whole = Slice()
        for at, each in enumerate(timeline.slices):
            if start <= at * timeline.slice_s and (at + 1) * timeline.slice_s <= end + 1e-9:
                whole.add(each)
        return whole

    before, spike = within(0.0, spike_from_s), within(spike_from_s, spike_to_s)
    p99_before = before.latency.percentile(0.99)
    limit = None if p99_before is None else p99_before * _FACTOR + _GRACE_S
    share = before.failed / before.requests if before.requests else 0.0
    return Recovery(
        p99_before_s=p99_before,
        p99_spike_s=spike.latency.percentile(0.99),
        failed_spike=spike.failed / spike.requests if spike.requests else 0.0,
        limit_s=limit,
        recovery_s=_recovered(timeline, spike_to_s, limit, share),
    )


def _recovered(
    timeline: Timeline, spike_to_s: float, limit: float | None, failed_share: float
) -> float | None:
    if limit is None:
        return None
    last_bad = spike_to_s
    seen = False
    for at, each in enumerate(timeline.slices):
        start, end = at * timeline.slice_s, (at + 1) * timeline.slice_s
        if start < spike_to_s - 1e-9 or not each.requests:
            continue
        seen = True
        # Half of a slice's requests: a slice has too few for a p99 of its own.
        typical = each.latency.percentile(0.5) or 0.0
        if typical > limit or each.failed / each.requests > failed_share:
            last_bad = end
    is_over = timeline.slices and last_bad >= len(timeline.slices) * timeline.slice_s - 1e-9
    return None if is_over or not seen else last_bad - spike_to_s


def lines_of(recovery: Recovery) -> Iterable[str]:
    def told(seconds: float | None) -> str:
        return "–" if seconds is None else format_duration(seconds)

    yield f"before the spike  p99 {told(recovery.p99_before_s)}"
    yield (
        f"in the spike      p99 {told(recovery.p99_spike_s)}, "
        f"{format_share(recovery.failed_spike)} failed"
    )
    if recovery.recovery_s is None:
        yield "RECOVERY          it did not come back while it was watched"
    else:
        yield (
            f"recovery          {told(recovery.recovery_s)} after the spike (median up to "
            f"{told(recovery.limit_s)}, no more failures than before)"
        )
