"""Records that are pieces of one long line."""

from __future__ import annotations

from hikkoshi.evidence import deliveries
from hikkoshi.evidence.deliveries import Split
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import measured
from hikkoshi.findings.rule import Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "splits-long-lines"
TITLE = "Long log lines arrive in pieces"
APPLIES = Applies((Need.DESTINATION,), since=2)

# The container runtime hands on at most 16 KiB at once (aws-for-fluent-bit #25, #100), and as much
# as an event of CloudWatch Logs held to awslogs.
PIECE_BYTES = 16 * 1024
EVENT_BYTES = 262_144 - 26
FACT_PIECES = 1


def judge(evidence: EvidenceStore, windows: Windows) -> tuple[Finding, ...] | NotJudged | None:
    if nowhere := deliveries.why_nowhere(evidence):
        return NotJudged(NAME, *nowhere)
    found = deliveries.splits(evidence, PIECE_BYTES, EVENT_BYTES)
    return tuple(_finding(split) for split in found if split.pieces >= FACT_PIECES) or None


def _finding(split: Split) -> Finding:
    by_awslogs = split.destination.startswith("logs:")
    cut = EVENT_BYTES if by_awslogs else PIECE_BYTES
    return Finding(
        NAME,
        Certainty.FACT,
        split.destination,
        f"{split.pieces} records at {split.destination} are pieces of longer lines: JSON "
        "is not parsed, and a stack trace is torn.",
        (
            measured(
                "records that are a part (partial_message), or exactly as long as a piece",
                f"{split.pieces}; longest {split.longest} characters",
                f"{FACT_PIECES}; lines are cut at {cut} bytes",
            ),
        ),
        (*(() if by_awslogs else (_JOIN,)), _SHORTER),
    )


_JOIN = (
    "Join them in the router, before any parser: [FILTER] Name multiline, Match *, "
    "multiline.key_content log, mode partial_message."
)
_SHORTER = (
    "Write shorter lines: no bodies, no whole results; one object a line under 16 KB. Put large "
    "things in S3 and log the key."
)
