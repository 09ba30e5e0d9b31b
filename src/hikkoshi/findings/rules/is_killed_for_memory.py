"""Containers that the kernel ended for their memory."""

from __future__ import annotations

from hikkoshi.evidence import occasions, queries
from hikkoshi.evidence.occasions import ContainerEnd
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import measured
from hikkoshi.findings.rule import Applies
from hikkoshi.model.findings import Certainty, Evidence, Finding, NotJudged

NAME = "is-killed-for-memory"
TITLE = "A container is killed for its memory"
APPLIES = Applies(since=2)

# One is a fact: the kernel counts only what it killed.
FACT_KILLS = 1


def judge(evidence: EvidenceStore, windows: Windows) -> tuple[Finding, ...] | NotJudged | None:
    if not evidence.has_rows("task_usage"):
        return NotJudged(NAME, "no task was sampled")
    killed = [
        end
        for end in occasions.container_ends(evidence)
        if end.is_out_of_memory and not windows.is_foreign(end.t)
    ]
    by_container: dict[str, list[ContainerEnd]] = {}
    for end in killed:
        by_container.setdefault(end.container, []).append(end)
    findings = [_killed(evidence, name, ends) for name, ends in by_container.items()]
    if not findings and (over := queries.fullest_unenforced(evidence)):
        t, family, used, limit = over
        if used > limit and not windows.is_foreign(t):
            findings.append(_would_be(family, t, used, limit))
    return tuple(findings) or None


def _killed(evidence: EvidenceStore, name: str, ends: list[ContainerEnd]) -> Finding:
    peak = queries.memory_peak(evidence, name)
    limit = queries.memory_limit(evidence)
    numbers = [
        Evidence(
            "kills for memory (cgroup oom_kill, exit code 137)",
            str(len(ends)),
            str(FACT_KILLS),
            ends[0].t,
            ends[-1].t,
        ),
        measured(
            "memory at most, as sampled",
            f"{peak >> 20} MiB",
            f"the task's limit is {limit >> 20} MiB" if limit else None,
        ),
    ]
    times = "once" if len(ends) == 1 else f"{len(ends)} times"
    return Finding(
        NAME,
        Certainty.FACT,
        name,
        f"{name} was killed for its memory {times}; every request that it had was lost.",
        tuple(numbers),
        _ADVICE,
    )


def _would_be(family: str, t: float, used: int, limit: int) -> Finding:
    return Finding(
        NAME,
        Certainty.FACT,
        family,
        f"{family} used {used >> 20} MiB of {limit >> 20}: this machine only measures, Fargate "
        "would have killed it.",
        (
            Evidence(
                "memory of the task", f"{used >> 20} MiB", f"the limit, {limit >> 20} MiB", t, t
            ),
        ),
        _ADVICE,
    )


_ADVICE = (
    'Raise "memory" in the task definition to the next size that holds the peak with a third to '
    "spare, or take it from the sidecars: the limit is the task's, for all its containers.",
    "Tell the runtime its share: node --max-old-space-size, GOMEMLIMIT (90 % of the limit), "
    "-XX:MaxRAMPercentage=75; each gunicorn worker is a whole copy.",
    "Stream large bodies and results instead of holding them; limit how many are at work at once.",
)
