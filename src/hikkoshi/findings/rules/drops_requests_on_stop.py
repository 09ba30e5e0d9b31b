"""Requests that got no answer while a task was stopped on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hikkoshi.evidence import occasions
from hikkoshi.evidence.occasions import Answer, ContainerEnd
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window, Windows
from hikkoshi.findings.numbers import measured, service_of
from hikkoshi.findings.rule import STOPS, Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "drops-requests-on-stop"
TITLE = "Drops requests when a task is stopped"
APPLIES = Applies((Need.LOAD,), STOPS, since=2)

# A stop is over some time after the process has ended: what was on its way fails then.
AFTER_S = 1.5
BEFORE_S = 0.1
FACT_DROPPED = 2
# Own cut: a service that fails all the time fails during a stop, too.
TIMES_THE_REST = 5.0


@dataclass(frozen=True, slots=True)
class Drops:
    """Of one trial: requests that were over during a stop and outside of one, and unanswered."""

    window: Window
    during: int
    dropped: int
    besides: int
    besides_failed: int

    @property
    def certainty(self) -> Certainty | None:
        rest = self.besides_failed / self.besides if self.besides else 0.0
        if not self.dropped or self.dropped / self.during < TIMES_THE_REST * rest:
            return None
        return Certainty.FACT if self.dropped >= FACT_DROPPED else Certainty.LIKELY


def drops_in(window: Window, answers: Sequence[Answer], ends: Sequence[ContainerEnd]) -> Drops:
    """Pure. A request that timed out says nothing of the stop: the generator gave it up."""
    stretches = [(end.t_signalled - BEFORE_S, end.t + AFTER_S) for end in ends if end.t_signalled]
    during = dropped = besides = besides_failed = 0
    for one in answers:
        is_bad = one.is_unanswered and one.error != "Timeout"
        if any(t_start <= one.t_ended <= t_end for t_start, t_end in stretches):
            during += 1
            dropped += is_bad
        else:
            besides += 1
            besides_failed += is_bad
    return Drops(window, during, dropped, besides, besides_failed)


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    trials = windows.named(*STOPS)
    seen = []
    for window in trials:
        ends = occasions.application_stops(evidence, (window,))
        drops = drops_in(window, occasions.answers(evidence, window.name), ends)
        if ends and drops.during:
            seen.append(drops)
    if not seen:
        return NotJudged(NAME, "no request was sent while a task was stopped on purpose")
    judged = [(level, drops) for drops in seen if (level := drops.certainty)]
    if not judged:
        return None
    level, worst = max(judged, key=lambda pair: pair[1].dropped)
    return Finding(
        NAME,
        level,
        service_of(evidence),
        f"{worst.dropped} of {worst.during} requests got no answer while a task was stopped in "
        f"{worst.window.name}: each deploy and each scale-in loses as many.",
        tuple(
            measured(
                f"requests without an answer (or 502, 503, 504) during a stop, in "
                f"{drops.window.name}",
                f"{drops.dropped} of {drops.during}; otherwise {drops.besides_failed} of "
                f"{drops.besides}",
                f"{FACT_DROPPED} is a fact, 1 is likely, and {TIMES_THE_REST:g} times the rest",
                drops.window,
            )
            for _, drops in judged
        ),
        (
            "On SIGTERM go on accepting for a while (5 s; ECS deregisters the target at the same "
            "moment, and the load balancer hears of it later), answer with Connection: close, then "
            "stop listening, finish what is under way, and exit.",
            "Python: gunicorn --graceful-timeout 30, uvicorn --timeout-graceful-shutdown 30; Go: "
            "server.Shutdown(ctx); Node: server.close() and server.closeIdleConnections().",
            'Keep "stopTimeout" longer than that, and the target group\'s '
            "deregistration_delay.timeout_seconds as long as the longest request.",
        ),
    )
