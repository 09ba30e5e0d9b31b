"""What the sender counts while it runs: totals for the end, a window for the live view.

What happens is only noted; `settle`, called between two turns of the loop, counts it all at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from hikkoshi.load.connection import Job
from hikkoshi.load.counting import count_records
from hikkoshi.load.failures import CODE_OF, Failure
from hikkoshi.load.histogram import Histogram
from hikkoshi.load.request import Prepared
from hikkoshi.load.results import RESULT, Record, ResultWriter
from hikkoshi.load.totals import EndpointTotals, Totals

# So many at a time that counting is quick, so few that it takes less than a millisecond.
SETTLE_AT = 384


class Tally:
    def __init__(self, targets: Sequence[Prepared], writer: ResultWriter) -> None:
        self.totals = Totals()
        self._writer = writer
        self.number_of = writer.number_of
        self._names = [target.endpoint for target in targets]
        for name in self._names:
            self.totals.endpoints.setdefault(name, EndpointTotals())
        # Noted since the last `settle`: what has ended, and how late each request was issued. The
        # sender appends answers by itself: it does so some ten thousand times a second.
        self.ended: list[Record] = []
        self.late: list[float] = []
        self._failed = 0
        self._failures: Counter[str] = Counter()
        self._open_window(0.0)

    def _open_window(self, now: float) -> None:
        self._window_start = now
        self._window = {name: EndpointTotals() for name in self._names}
        self._of_target = [self._window[name] for name in self._names]
        self._lateness = Histogram()

    def failed(
        self, job: Job, sent: float, ended: float, failure: Failure, detail: str, *,
        status: int = 0, bytes_in: int = 0, bytes_out: int = 0, marked: str = "",
    ) -> None:  # fmt: skip
        """sent: NaN when it never got a connection. status: of an answer that came all the same."""
        if detail and failure.value not in self.totals.details:
            self.totals.details[failure.value] = detail[:200]
        text = self._writer.number_of(marked) if marked else 0
        self.ended.append(
            (RESULT, CODE_OF[failure], status, job.target.index, job.seq, job.intended, sent,
             ended, bytes_in, bytes_out, job.late, text, job.retries, False)
        )  # fmt: skip

    def settle(self) -> None:
        totals, records, late = self.totals, self.ended, self.late
        if late:
            self._lateness.extend(late)
            totals.issued += len(late)
            self.late = []
        if records:
            count_records(records, self._of_target)
            totals.done += len(records)
            totals.last_done_s = records[-1][7]
            self._writer.extend(records)
            # Little by little: a quarter of a second's records at once take half a millisecond.
            self._writer.flush()
            self.ended = []

    def take_window(self, now: float) -> dict[str, Any]:
        """What happened since the last call, and the counts so far; starts a new window."""
        self.settle()
        totals = self.totals
        # What is done here delays the requests that are due meanwhile.
        is_one = len(self._window) == 1
        whole = next(iter(self._window.values())) if is_one else EndpointTotals()
        for name, endpoint in self._window.items():
            if not is_one:
                whole.add(endpoint)
            totals.endpoints[name].add(endpoint)
        self._failures.update(whole.errors)
        self._failures.update({f"HTTP {s}": n for s, n in whole.statuses.items() if s >= 400})
        totals.lateness.add(self._lateness)
        totals.sent += whole.service.count
        self._failed += whole.requests - whole.succeeded
        window = {
            "elapsed_s": now,
            "window_s": now - self._window_start,
            "issued": totals.issued,
            "done": totals.done,
            "retries": totals.retries,
            "failed_so_far": self._failed,
            "failures_so_far": dict(self._failures),
            "ok": whole.succeeded,
            "ended": whole.requests,
            "latency": whole.latency.as_columns(),
            "lateness": self._lateness.as_columns(),
            "statuses": dict(whole.statuses),
            "errors": dict(whole.errors),
            "endpoints": _named(self._window),
        }
        self._open_window(now)
        self._writer.flush()
        return window


def _named(window: dict[str, EndpointTotals]) -> dict[str, Any]:
    """Only what thresholds of one endpoint need, and only if there are several."""
    if len(window) < 2:
        return {}
    return {
        name: [each.requests, each.succeeded, each.latency.as_columns()]
        for name, each in window.items()
        if each.requests
    }
