"""Containers of the application that were asked to end and had to be killed."""

from __future__ import annotations

from hikkoshi.evidence import occasions
from hikkoshi.evidence.occasions import ContainerEnd
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import measured
from hikkoshi.findings.rule import STOPS, Applies
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "ignores-sigterm"
TITLE = "Ignores the signal to stop, and is killed"
APPLIES = Applies(trials=STOPS, since=2)

LEAST_STOPS = 1


def certainty_of(end: ContainerEnd) -> Certainty | None:
    """No handler: PID 1 never hears of it. A handler, and the whole stopTimeout was given: it took
    longer. A handler, and the rehearsal shortened the time: it may just have been slow."""
    if not end.was_killed:
        return None
    if end.has_handler is False or end.grace_s >= end.asked_grace_s:
        return Certainty.FACT
    return Certainty.HINT


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    trials = windows.named(*STOPS)
    stops = occasions.application_stops(evidence, trials)
    if len(stops) < LEAST_STOPS:
        return NotJudged(NAME, "no container of the application was asked to stop in a trial")
    judged = [(level, end) for end in stops if (level := certainty_of(end))]
    if not judged:
        return None
    level, worst = min(judged, key=lambda pair: list(Certainty).index(pair[0]))
    handler = {True: "has a handler", False: "has no handler", None: "could not be looked at"}
    return Finding(
        NAME,
        level,
        worst.container,
        f"{worst.container} did not end on {worst.signal} and was killed after {worst.grace_s:g} s"
        f" ({len(judged)} of {len(stops)} stops): every deploy waits that long, and what it had "
        "under way is lost.",
        (
            measured("stops that ended in SIGKILL (exit code 137)", len(judged), LEAST_STOPS),
            measured(
                f"process 1 and {worst.signal}",
                handler[worst.has_handler],
                "without a handler the kernel does not end PID 1",
            ),
            measured(
                "time between the two",
                f"{worst.grace_s:g} s (stopTimeout {worst.asked_grace_s:g} s)",
                "shortened here, so with a handler it is a hint"
                if worst.grace_s < worst.asked_grace_s
                else "the whole stopTimeout",
            ),
        ),
        (
            "Handle SIGTERM: go on answering for some seconds while the load balancer hears of it, "
            "finish what is under way, close the listening socket, exit 0.",
            'Start the program itself as process 1: "command": ["python3", "app.py"], and exec in '
            "a shell script (exec python3 app.py); sh -c 'app' swallows the signal.",
            'Or "linuxParameters": {"initProcessEnabled": true}, which passes signals on; and a '
            '"stopTimeout" longer than the longest request.',
        ),
    )
