"""Sessions that hold a transaction open and do nothing, as the database itself showed them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hikkoshi.evidence import database, occasions
from hikkoshi.evidence.database import Activity, Session
from hikkoshi.evidence.engines import engine_of
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window, Windows
from hikkoshi.findings.numbers import measured, service_of
from hikkoshi.findings.rule import PLANNED, Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "holds-connections-idle-in-transaction"
TITLE = "Holds a transaction open while it does something else"
APPLIES = Applies((Need.DATABASE, Need.LOAD), PLANNED, since=2)

# Own cuts. A transaction's own steps are microseconds apart; half a second is another task.
LONG_S = 0.5
FACT_SHARE = 0.25
LEAST_SAMPLES = 6
LEAST_OCCASIONS = 3
VERY_LONG_S = 5.0
# Own cut: a task without CPU pauses anywhere, inside transactions too.
STARVED_SHARE = 0.90


@dataclass(frozen=True, slots=True)
class Held:
    """How many of a window's samples saw a long one, how often, and the longest."""

    window: Window
    samples: int
    with_long: int
    occasions: int
    longest: Session

    @property
    def share(self) -> float:
        return self.with_long / self.samples


def held_in(
    window: Window, samples: Sequence[Activity], sessions: Sequence[Session]
) -> Held | None:
    """Pure; None when no session was long idle in its transaction, or too little was sampled."""
    long = [one for one in sessions if one.is_idle_in_transaction and one.state_age_s >= LONG_S]
    if not long or len(samples) < LEAST_SAMPLES:
        return None
    # One idle stretch is seen in several samples: it began at the same moment in all.
    occasions_seen = {(one.pid, round(one.t - one.state_age_s, 1)) for one in long}
    with_long = len({one.t for one in long})
    longest = max(long, key=lambda one: one.state_age_s)
    return Held(window, len(samples), min(with_long, len(samples)), len(occasions_seen), longest)


def certainty_of(held: Held, *, is_starved: bool) -> Certainty | None:
    level = None
    if held.share >= FACT_SHARE and held.occasions >= LEAST_OCCASIONS:
        level = Certainty.FACT
    elif held.longest.state_age_s >= VERY_LONG_S:
        level = Certainty.LIKELY
    return Certainty.HINT if level and is_starved else level


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    seen = {window: database.activity(evidence, window) for window in windows.planned}
    if all(len(samples) < LEAST_SAMPLES for samples in seen.values()):
        return NotJudged(NAME, "the database was not sampled during steady or soak")
    found = [
        (level, held)
        for window, samples in seen.items()
        if (held := held_in(window, samples, database.sessions(evidence, window)))
        and (level := certainty_of(held, is_starved=_is_starved(evidence, window)))
    ]
    if not found:
        return None
    level, worst = min(found, key=lambda pair: (list(Certainty).index(pair[0]), -pair[1].share))
    numbers = (
        measured(
            f"samples with a session idle in transaction for {LONG_S:g} s or longer",
            f"{worst.with_long} of {worst.samples} ({worst.share:.0%}), on "
            f"{worst.occasions} occasions",
            f"{FACT_SHARE:.0%} and {LEAST_OCCASIONS} occasions is a fact",
            worst.window,
        ),
        measured(
            "the longest",
            f"{worst.longest.state_age_s:.1f} s",
            f"{VERY_LONG_S:g} s is likely",
            worst.window,
        ),
    )
    return Finding(
        NAME,
        level,
        service_of(evidence),
        f"Sessions wait idle inside a transaction, up to {worst.longest.state_age_s:.1f} s: each "
        "holds a connection and its locks for nothing.",
        numbers,
        (*_ADVICE, _END_IT[engine_of(evidence).name]),
        (f"the last statement of the longest: {worst.longest.query}",),
    )


def _is_starved(evidence: EvidenceStore, window: Window) -> bool:
    return (occasions.cpu_share(evidence, window) or 0.0) >= STARVED_SHARE


_ADVICE = (
    "Call other services, read files and render before BEGIN or after COMMIT, never between.",
    "Give the connection back as soon as its last statement is done: with pool.connection() around "
    "the statements alone, defer tx.Rollback() and tx.Commit() at once, client.release() in "
    "finally.",
)
_END_IT = {
    "postgresql": (
        "Set idle_in_transaction_session_timeout (10s) in the cluster's parameter group: it ends "
        "what is forgotten."
    ),
    "mysql": (
        "Aurora MySQL has no limit for an idle transaction: wait_timeout (28800 s by default) ends "
        "an idle session, and its transaction with it, so set it to some minutes and let the pool "
        "recycle sooner (MariaDB has idle_transaction_timeout). Find what is open now with "
        "SELECT * FROM information_schema.innodb_trx ORDER BY trx_started."
    ),
}
