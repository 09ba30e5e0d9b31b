"""A log driver that stops the application when its destination is slow."""

from __future__ import annotations

from hikkoshi.evidence import deliveries
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import measured
from hikkoshi.findings.rule import PLANNED, Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "blocks-on-logging"
TITLE = "Logging can stop the application"
APPLIES = Applies((Need.LOAD,), PLANNED, since=2)

# Own cut: CloudWatch Logs takes batches, so a few lines a second never fill a pipe of 64 KiB.
LIKELY_LINES_A_SECOND = 5.0


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    meta = evidence.meta()
    container, mode = meta.get("container", ""), meta.get("log_mode", "")
    if not mode or not container:
        return NotJudged(NAME, "the run does not say how the application's log driver is set")
    if mode != "blocking":
        return None
    rates = {
        window: deliveries.lines_a_second(evidence, container, window) for window in windows.planned
    }
    if not rates:
        return NotJudged(NAME, "no load ran at the planned rate (trials steady and soak)")
    window, rate = max(rates.items(), key=lambda pair: pair[1])
    level = Certainty.LIKELY if rate >= LIKELY_LINES_A_SECOND else Certainty.HINT
    return Finding(
        NAME,
        level,
        container,
        f"The log driver of {container} blocks: when CloudWatch Logs is slow or away, the pipe "
        f"fills, and at {rate:.0f} lines a second every thread that logs stands still.",
        (
            measured("mode in the container's log options", mode, "blocking"),
            measured(
                "lines a second at the planned rate",
                f"{rate:.1f}",
                f"{LIKELY_LINES_A_SECOND:g} is likely, less is a hint",
                window,
            ),
        ),
        (
            'Container, logConfiguration.options: "mode": "non-blocking", "max-buffer-size": '
            '"25m". Lines are then dropped instead, so watch for it.',
            "Or hand the lines to a log router (FireLens), which buffers on disk.",
        ),
    )
