"""Open files against nofile, and errors that say so."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from hikkoshi.evidence import queries
from hikkoshi.evidence.queries import FileSample
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.rule import Applies
from hikkoshi.model.findings import Certainty, Evidence, Finding, NotJudged

NAME = "runs-out-of-file-descriptors"
TITLE = "Runs out of file descriptors"
APPLIES = Applies()

# facts/observability.md: warn from 80 %. Own cut: from 95 % the next burst fails.
HINT_SHARE = 0.80
LIKELY_SHARE = 0.95
# What runtimes write for EMFILE (errno 24): C and Python, Go, Java, nginx say the same words.
EXHAUSTED = r"(?i)too many open files|\bEMFILE\b|\berrno[ :=]*24\b"
SHOWN_LINES = 3
MOST_LINES = 100_000


def judge(evidence: EvidenceStore, windows: Windows) -> tuple[Finding, ...] | NotJudged | None:
    samples = [s for s in queries.file_samples(evidence) if not windows.is_foreign(s.t)]
    found = queries.log_lines_matching(evidence, EXHAUSTED, MOST_LINES)
    lines = [line for line in found if not windows.is_foreign(line.t)]
    if not samples and not evidence.has_rows("logs"):
        return NotJudged(NAME, "neither open files nor log lines were recorded")
    if not samples and not lines:
        return NotJudged(NAME, "open files were not counted")
    by_container: dict[str, list[list[FileSample]]] = {}
    for (_, container), rows in groupby(samples, lambda s: (s.task, s.container)):
        by_container.setdefault(container, []).append(list(rows))
    findings = []
    blamed = {line.source.rpartition("/")[2] for line in lines}
    for container in sorted(set(by_container) | blamed):
        finding = _judge_container(
            container,
            by_container.get(container, []),
            lines,
        )
        if finding:
            findings.append(finding)
    return tuple(findings) or None


def _judge_container(
    container: str,
    tasks: Sequence[Sequence[FileSample]],
    lines: Sequence[queries.LogLine],
) -> Finding | None:
    own = [line for line in lines if line.source.rpartition("/")[2] == container]
    numbers: list[Evidence] = []
    levels: list[Certainty] = []
    if own:
        levels.append(Certainty.FACT)
        numbers.append(
            Evidence(
                "log lines that say “too many open files” (EMFILE, errno 24)",
                str(len(own)),
                "1",
                own[0].t,
                own[-1].t,
            )
        )
    levels += _fullest(tasks, numbers)
    if not levels:
        return None
    level = min(levels, key=list(Certainty).index)
    return Finding(
        NAME,
        level,
        container,
        _summary(container, own, numbers),
        tuple(numbers),
        _ADVICE,
        tuple(line.text for line in own[:SHOWN_LINES]),
    )


def _summary(container: str, own: Sequence[queries.LogLine], numbers: list[Evidence]) -> str:
    if own:
        return (
            f"{container} ran out of file descriptors: {len(own)} log "
            f"line{'s say' if len(own) > 1 else ' says'} so."
        )
    return f"{container} comes close to its limit of open files ({numbers[0].value})."


def _fullest(tasks: Sequence[Sequence[FileSample]], numbers: list[Evidence]) -> list[Certainty]:
    limited = [s for rows in tasks for s in rows if s.limit and s.limit > 0]
    if not limited:
        return []
    top = max(limited, key=lambda s: s.open_files / (s.limit or 1))
    share = top.open_files / (top.limit or 1)
    numbers.append(
        Evidence(
            "open files at most",
            f"{top.open_files} of {top.limit} ({share:.0%})",
            f"{HINT_SHARE:.0%} is a hint, {LIKELY_SHARE:.0%} is likely",
            top.t,
            top.t,
        )
    )
    if share >= LIKELY_SHARE:
        return [Certainty.LIKELY]
    return [Certainty.HINT] if share >= HINT_SHARE else []


_ADVICE = (
    "Close what is opened on every path: with open(…) and contextlib.closing in Python, defer "
    "f.Close() and defer resp.Body.Close() in Go, try/finally or stream.pipeline in Node.",
    "Reuse HTTP clients and database pools; a client for each request keeps its sockets open.",
    'Task definition, container: "ulimits": [{"name": "nofile", "softLimit": 65535, "hardLimit": '
    "65535}]. Say it explicitly: Fargate's default has changed over the years, and Python does not "
    "raise the soft limit by itself. A higher limit only delays a leak.",
)
