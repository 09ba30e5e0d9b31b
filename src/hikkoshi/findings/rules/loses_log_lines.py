"""Lines that were written and never arrived."""

from __future__ import annotations

from hikkoshi.evidence import deliveries
from hikkoshi.evidence.deliveries import Counters, Loss
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window, Windows
from hikkoshi.findings.numbers import measured
from hikkoshi.findings.rule import UNDER_LOAD, Applies, Need
from hikkoshi.model.findings import Certainty, Evidence, Finding, NotJudged

NAME = "loses-log-lines"
TITLE = "Log lines are lost on their way"
APPLIES = Applies((Need.ROUTER, Need.DESTINATION), UNDER_LOAD, since=2)

# Trials in which a router is killed on purpose, or the old home writes.
DISTURBED = frozenset({"router-crash", "bad-deploy", "scp-swap"})
# A destination gets its lines some seconds after they were written.
DELIVERY_S = 4.0
LEAST_WRITTEN = 20
FACT_LOST = 5
FACT_SHARE = 0.005
SHOWN = 3


def certainty_of(written: int, lost: int, dropped: int) -> Certainty | None:
    """dropped: lines of which the log driver itself says so."""
    if dropped or (lost >= FACT_LOST and lost >= FACT_SHARE * written):
        return Certainty.FACT
    return None


def looked_at(windows: Windows) -> tuple[Window, ...]:
    """The quiet trials; a line of the run's last seconds may still be on its way."""
    if not windows.trials:
        return ()
    t_last = max(window.t_end for window in windows.trials) - DELIVERY_S
    quiet = [window for window in windows.trials if window.name not in DISTURBED]
    return tuple(
        Window(window.name, window.t_start, min(window.t_end, t_last))
        for window in quiet
        if window.t_start < t_last
    )


def judge(evidence: EvidenceStore, windows: Windows) -> tuple[Finding, ...] | NotJudged | None:
    counters = deliveries.counters(evidence)
    nowhere = deliveries.why_nowhere(evidence)
    if nowhere and not any(one.dropped for one in counters):
        return NotJudged(NAME, *nowhere)
    within = looked_at(windows)
    lost: dict[str, list[Loss]] = {}
    for loss in deliveries.losses(evidence, within):
        lost.setdefault(loss.container, []).append(loss)
    dropped: dict[str, list[Counters]] = {}
    for row in counters:
        dropped.setdefault(row.container, []).append(row)
    findings = []
    for container in sorted(set(lost) | set(dropped)):
        finding = _judge(container, lost.get(container, []), dropped.get(container, []))
        if finding:
            findings.append(finding)
    findings += [
        _held_back(router, count) for router, count in deliveries.pauses(evidence, within).items()
    ]
    if findings:
        return tuple(findings)
    if sum(loss.written for losses in lost.values() for loss in losses) < LEAST_WRITTEN:
        return NotJudged(
            NAME,
            f"fewer than {LEAST_WRITTEN} lines were written whose text could be recognised at a "
            "destination",
        )
    return None


def _held_back(router: str, times: int) -> Finding:
    return Finding(
        NAME,
        Certainty.HINT,
        router,
        f"{router} held its input back {times} times because its memory was full: the destination "
        "did not keep up. What waits in the log drivers meanwhile is lost when they are full, too.",
        (measured("times that an input was paused (mem buf overlimit)", times, "1 is a hint"),),
        (
            "Let the router buffer on disk ([SERVICE] storage.path, [INPUT] storage.type "
            "filesystem), or raise Mem_Buf_Limit within the container's memory.",
            "Let the output keep up: workers 2, compress gzip, a larger batch.",
            "Write less: one line for a request, no debug level in production.",
        ),
    )


def _judge(container: str, losses: list[Loss], counters: list[Counters]) -> Finding | None:
    written, lost = sum(one.written for one in losses), sum(one.lost for one in losses)
    dropped = sum(one.dropped for one in counters)
    level = certainty_of(written, lost, dropped)
    if level is None:
        return None
    numbers: list[Evidence] = [
        measured(
            "lines written and never delivered",
            f"{lost} of {written}",
            f"{FACT_LOST} and {FACT_SHARE:.1%} of those whose like are delivered",
        ),
        measured("lines that the log driver dropped from its full buffer", dropped, 1),
    ]
    return Finding(
        NAME,
        level,
        container,
        f"{max(lost, dropped)} lines of {container} never arrived.",
        tuple(numbers),
        (
            "Find where: the driver's buffer (log-driver-buffer-limit in the container's log "
            "options, 1048576 lines at most), the router's memory (Mem_Buf_Limit, or "
            "storage.type filesystem), or retries given up (Retry_Limit, 1 by default; set 10).",
            "Give the router time at the end: [SERVICE] Grace 30 and a stopTimeout as long, and "
            'let the application depend on it ("dependsOn": START), so that it ends last.',
            "Write less: one line for a request, no debug level in production.",
        ),
        tuple(one.sample for one in losses if one.sample)[:SHOWN],
    )
