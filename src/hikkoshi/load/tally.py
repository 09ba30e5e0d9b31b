"""What the sender counts while it runs: totals for the end, a window for the live line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from hikkoshi.load.connection import Job
from hikkoshi.load.failures import Failure
from hikkoshi.load.histogram import Histogram
from hikkoshi.load.request import Prepared
from hikkoshi.load.results import ResultWriter
from hikkoshi.load.totals import EndpointTotals, Totals


class Tally:
    def __init__(self, targets: Sequence[Prepared], writer: ResultWriter) -> None:
        self.totals = Totals()
        self._writer = writer
        self._of_target = [
            self.totals.endpoints.setdefault(target.endpoint, EndpointTotals())
            for target in targets
        ]
        self._latency = Histogram()
        self._lateness = Histogram()
        self._window_start = 0.0
        self._window_ok = 0
        self._failed = 0
        self._statuses: Counter[int] = Counter()
        self._errors: Counter[str] = Counter()

    def issued(self, late: float, now: float) -> None:
        """The generator came to a request, `late` seconds after it was due."""
        totals = self.totals
        totals.issued += 1
        totals.last_issue_s = now
        totals.lateness.record(late)
        self._lateness.record(late)

    def answered(
        self, job: Job, sent: float, ended: float, status: int, bytes_in: int, marked: str
    ) -> None:
        target = job.target
        endpoint = self._of_target[target.index]
        endpoint.statuses[status] += 1
        if 200 <= status < 400:
            endpoint.succeeded += 1
            self._window_ok += 1
        else:
            self._failed += 1
        self._statuses[status] += 1
        self._ended(endpoint, job, sent, ended, bytes_in)
        self._writer.record(
            target.index, job.seq, job.intended, sent, ended, status, None, bytes_in,
            target.body_bytes, job.late, marked, job.retries,
        )  # fmt: skip

    def failed(self, job: Job, sent: float, ended: float, failure: Failure, detail: str) -> None:
        """sent: NaN when it never got a connection."""
        target = job.target
        endpoint = self._of_target[target.index]
        endpoint.errors[failure.value] += 1
        self._errors[failure.value] += 1
        self._failed += 1
        if detail:
            self.totals.details.setdefault(failure.value, detail[:200])
        self._ended(endpoint, job, sent, ended, 0)
        self._writer.record(
            target.index, job.seq, job.intended, sent, ended, 0, failure, 0,
            target.body_bytes, job.late, "", job.retries,
        )  # fmt: skip

    def _ended(
        self, endpoint: EndpointTotals, job: Job, sent: float, ended: float, bytes_in: int
    ) -> None:
        latency = ended - job.intended
        endpoint.requests += 1
        endpoint.latency.record(latency)
        self._latency.record(latency)
        endpoint.bytes_in += bytes_in
        endpoint.bytes_out += job.target.body_bytes
        totals = self.totals
        if sent == sent:  # not NaN
            endpoint.service.record(ended - sent)
            totals.sent += 1
        totals.done += 1
        totals.last_done_s = ended

    def take_window(self, now: float) -> dict[str, Any]:
        """What happened since the last call, and the counts so far; starts a new window."""
        totals = self.totals
        window = {
            "elapsed_s": now,
            "window_s": now - self._window_start,
            "issued": totals.issued,
            "done": totals.done,
            "retries": totals.retries,
            "failed_so_far": self._failed,
            "ok": self._window_ok,
            "latency": self._latency.as_json(),
            "lateness": self._lateness.as_json(),
            "statuses": dict(self._statuses),
            "errors": dict(self._errors),
        }
        self._window_start = now
        self._latency, self._lateness = Histogram(), Histogram()
        self._window_ok = 0
        self._statuses, self._errors = Counter(), Counter()
        self._writer.flush()
        return window
