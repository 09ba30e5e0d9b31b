"""Requests that wait longer and longer, none refused, until nobody waits for the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from hikkoshi.evidence import occasions
from hikkoshi.evidence.occasions import Answer, Step
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import measured, service_of
from hikkoshi.findings.rule import Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "queues-without-bound"
TITLE = "Queues requests without bound"
APPLIES = Applies((Need.LOAD,), ("overload",), since=2)

# Own cuts. Every service is slow past its knee; what is named here is one whose answers come so
# late that the callers have gone, while it refuses nobody.
FACT_WAIT_S = 5.0
LIKELY_WAIT_S = 3.0
GROWS = 3.0
MOST_REFUSED = 0.01
LEAST_REQUESTS = 40
REFUSALS = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Queue:
    """Latencies of one step: medians of its first and last quarter, and the longest."""

    step: Step
    sent: int
    early_s: float
    late_s: float
    longest_s: float
    refused: float

    @property
    def certainty(self) -> Certainty | None:
        if self.sent < LEAST_REQUESTS or self.refused > MOST_REFUSED:
            return None
        if self.late_s < GROWS * self.early_s:
            return None
        if self.late_s >= FACT_WAIT_S:
            return Certainty.FACT
        return Certainty.LIKELY if self.late_s >= LIKELY_WAIT_S else None


def queue_in(step: Step, answers: Sequence[Answer]) -> Queue | None:
    """Pure."""
    own = [one for one in answers if step.t_start <= one.t_intended <= step.t_end]
    if len(own) < 8:
        return None
    quarter = len(own) // 4
    return Queue(
        step,
        len(own),
        median(one.latency_s for one in own[:quarter]),
        median(one.latency_s for one in own[-quarter:]),
        max(one.latency_s for one in own),
        sum(one.status in REFUSALS for one in own) / len(own),
    )


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    answers = occasions.answers(evidence, "overload")
    queues = [
        queue
        for step in occasions.steps(evidence, "overload")
        if (queue := queue_in(step, answers))
    ]
    if not queues:
        return NotJudged(NAME, "no load beyond the planned rate was recorded")
    judged = [(level, queue) for queue in queues if (level := queue.certainty)]
    if not judged:
        why = occasions.why_not_tried(evidence, "overload")
        return None if why is None else NotJudged(NAME, f"overload was not tried: {why}")
    level, worst = max(judged, key=lambda pair: pair[1].late_s)
    return Finding(
        NAME,
        level,
        service_of(evidence),
        f"At {worst.step.rate:.0f} requests a second, answers came after {worst.early_s:.1f} s at "
        f"first and after {worst.late_s:.1f} s at the end, and hardly any was refused: it works "
        "on for callers who have gone.",
        (
            measured(
                "median latency in the first and in the last quarter of the step",
                f"{worst.early_s:.2f} s → {worst.late_s:.2f} s; longest {worst.longest_s:.1f} s",
                f"{FACT_WAIT_S:g} s is a fact, {LIKELY_WAIT_S:g} s is likely, {GROWS:g} times the "
                "first",
                worst.step.window,
            ),
            measured(
                "requests refused (429, 503)",
                f"{worst.refused:.1%}",
                f"at most {MOST_REFUSED:.0%}",
                worst.step.window,
            ),
        ),
        (
            "Bound the queue: rate a task × seconds that a caller waits is the most that may be "
            "under way; answer 503 with Retry-After beyond it.",
            "waitress --connection-limit, gunicorn --backlog with --timeout, uvicorn "
            "--limit-concurrency 100; a semaphore with TryAcquire in Go; an in-flight counter "
            "before the handlers in Node (load shedding).",
            "Newest first helps those who still wait (LIFO), and a deadline drops what is too old.",
        ),
    )
