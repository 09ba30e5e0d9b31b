"""What a rule is, and when it has something to judge at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.model.findings import Finding, NotJudged

Answer = Finding | tuple[Finding, ...] | NotJudged | None


class Need(Enum):
    """A part without which a service cannot break a rule. The value: (its key in `meta`, what is
    said when `meta` has "none" there). A run that does not say is taken to have it."""

    DATABASE = ("database", "the service has no database")
    READER = ("reader", "the database has no reader to fail over to")
    LOAD = ("load", "nothing is sent to the service: it has no load or no load balancer")
    PORT = ("container_port", "the service listens on no port that anything asks")
    ROUTER = ("router", "the task has no log router")
    DESTINATION = ("log_destination", "the logs go to no destination that is played here")


@dataclass(frozen=True, slots=True)
class Applies:
    """needs: all of them. trials: at least one of them must have been asked for; none named: any.
    since: the schema of the evidence that first had what the rule reads."""

    needs: tuple[Need, ...] = ()
    trials: tuple[str, ...] = ()
    since: int = 1


class Rule(Protocol):
    """A module of `rules/`. `judge` reads only the store: findings, None when it looked and all
    was well, NotJudged when it had nothing to look at."""

    NAME: str
    TITLE: str
    APPLIES: Applies

    def judge(self, evidence: EvidenceStore, windows: Windows) -> Answer: ...


PLANNED = ("steady", "soak")
STOPS = ("kill-task", "rolling-deploy")
UNDER_LOAD = (
    "steady", "overload", "soak", "kill-task", "failover", "router-crash", "rolling-deploy",
    "bad-deploy",
)  # fmt: skip
"""All that send the planned load or more to the new home alone."""


def why_not(name: str, applies: Applies, meta: Mapping[str, str]) -> NotJudged | None:
    """Pure: why the rule cannot be asked of this run; None when it can."""
    for need in applies.needs:
        key, why = need.value
        if meta.get(key) == "none":
            return NotJudged(name, why, is_applicable=False)
    if applies.trials and set(applies.trials) <= left_out(meta):
        *others, last = applies.trials
        which = f"{', '.join(others)} and {last} were" if others else f"{last} was"
        return NotJudged(name, f"{which} left out", is_applicable=False)
    if _schema(meta) < applies.since:
        return NotJudged(
            name, "this run was recorded before hikkoshi recorded what the rule looks at"
        )
    return None


def left_out(meta: Mapping[str, str]) -> frozenset[str]:
    """The trials that the user did not ask for."""
    return frozenset(trial for trial in meta.get("left_out", "").split(",") if trial)


def _schema(meta: Mapping[str, str]) -> int:
    text = meta.get("schema_version", "")
    return int(text) if text.isdecimal() else 1
