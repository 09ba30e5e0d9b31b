"""What each endpoint answered in each trial, in slices of time, so that runs can be compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hikkoshi.evidence.store import EvidenceStore

SLICES = 10
LEAST_REQUESTS = 50
LEAST_SHARE = 0.1
"""A difference in latency below a tenth is nobody's concern."""
LEAST_S = 0.001
LEAST_ERRORS = 0.005
SURE_Z = 3.29
"""One in a thousand by chance, two-sided."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """p50_s and p99_s: one value for each of up to ten equal slices of the trial's time."""

    trial: str
    endpoint: str
    requests: int
    failed: int
    p50_s: tuple[float, ...]
    p99_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """before and after: seconds, or for `errors` a share."""

    trial: str
    endpoint: str
    what: str
    before: float
    after: float

    @property
    def is_worse(self) -> bool:
        return self.after > self.before


def endpoints(store: EvidenceStore) -> dict[tuple[str, str], Endpoint]:
    rows = store.rows(
        f"""
        WITH bounds AS (
            SELECT trial, min(t_intended) AS low, max(t_intended) AS high FROM requests
            WHERE trial IS NOT NULL GROUP BY trial
        ), sliced AS (
            SELECT trial, coalesce(endpoint, concat_ws(' ', method, url)) AS endpoint, latency_s,
                   error IS NOT NULL OR coalesce(status, 0) NOT BETWEEN 200 AND 399 AS is_failed,
                   least({SLICES - 1}, floor((t_intended - low) / greatest(high - low, 1e-9)
                                             * {SLICES})) AS slice
            FROM requests JOIN bounds USING (trial)
        )
        SELECT trial, endpoint, slice, count(*), count(*) FILTER (WHERE is_failed),
               quantile_cont(latency_s, 0.5), quantile_cont(latency_s, 0.99)
        FROM sliced GROUP BY ALL ORDER BY ALL
        """
    )
    gathered: dict[tuple[str, str], list[tuple[int, int, float, float]]] = {}
    for trial, endpoint, _, count, failed, p50, p99 in rows:
        gathered.setdefault((trial, endpoint), []).append((count, failed, p50 or 0.0, p99 or 0.0))
    return {
        key: Endpoint(
            *key,
            requests=sum(each[0] for each in slices),
            failed=sum(each[1] for each in slices),
            p50_s=tuple(each[2] for each in slices),
            p99_s=tuple(each[3] for each in slices),
        )
        for key, slices in gathered.items()
    }


def rates(store: EvidenceStore) -> dict[str, float]:
    """The highest rate that each trial asked for, in requests a second."""
    return dict(
        store.rows(
            "SELECT trial, max(rate) FROM load_steps WHERE rate IS NOT NULL AND trial IS NOT NULL "
            "GROUP BY trial"
        )
    )


def differences(before: Endpoint, after: Endpoint) -> list[Difference]:
    """Those that are larger than noise; none where either has too few requests to tell.

    Latency: the slices of the two do not overlap, the one extreme on each side left aside, and
    their medians are a tenth and a millisecond apart. Errors: two shares, z at least 3.29."""
    if min(before.requests, after.requests) < LEAST_REQUESTS:
        return []
    found = []
    for what, old, new in (
        ("p50", before.p50_s, after.p50_s),
        ("p99", before.p99_s, after.p99_s),
    ):
        low, high = _median(old), _median(new)
        far = abs(high - low)
        if far >= max(LEAST_S, LEAST_SHARE * low) and _are_apart(old, new):
            found.append(Difference(before.trial, before.endpoint, what, low, high))
    share_old, share_new = before.failed / before.requests, after.failed / after.requests
    z = _z(before.failed, before.requests, after.failed, after.requests)
    if abs(share_new - share_old) >= LEAST_ERRORS and z >= SURE_Z:
        found.append(Difference(before.trial, before.endpoint, "errors", share_old, share_new))
    return found


def _are_apart(one: Sequence[float], other: Sequence[float]) -> bool:
    if min(len(one), len(other)) < 5:
        return False
    a, b = sorted(one)[1:-1], sorted(other)[1:-1]
    return a[-1] < b[0] or b[-1] < a[0]


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _z(k1: int, n1: int, k2: int, n2: int) -> float:
    pooled = (k1 + k2) / (n1 + n2)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    return abs(k1 / n1 - k2 / n2) / spread if spread else 0.0
