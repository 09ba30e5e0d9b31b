"""Records that are pieces of one long line."""

from __future__ import annotations

from hikkoshi.evidence import deliveries
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import measured
from hikkoshi.findings.rule import Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "splits-long-lines"
TITLE = "Long log lines arrive in pieces"
APPLIES = Applies((Need.DESTINATION,), since=2)

# The container runtime hands on at most 16 KiB at once (aws-for-fluent-bit #25, #100).
PIECE_BYTES = 16 * 1024
FACT_PIECES = 1


def judge(evidence: EvidenceStore, windows: Windows) -> tuple[Finding, ...] | NotJudged | None:
    if nowhere := deliveries.why_nowhere(evidence):
        return NotJudged(NAME, *nowhere)
    return (
        tuple(
            Finding(
                NAME,
                Certainty.FACT,
                split.destination,
                f"{split.pieces} records at {split.destination} are pieces of longer lines: JSON "
                "is not parsed, and a stack trace is torn.",
                (
                    measured(
                        "records that are a part (partial_message), or exactly as long as a piece",
                        f"{split.pieces}; longest {split.longest} characters",
                        f"{FACT_PIECES}; lines are cut at {PIECE_BYTES} bytes",
                    ),
                ),
                (
                    "Join them in the router, before any parser: [FILTER] Name multiline, Match *, "
                    "multiline.key_content log, mode partial_message.",
                    "Better, write shorter lines: no bodies, no whole results; one object a line "
                    "under 16 KB. Put large things in S3 and log the key.",
                ),
            )
            for split in deliveries.splits(evidence, PIECE_BYTES)
            if split.pieces >= FACT_PIECES
        )
        or None
    )
