"""The names of the trials, in their order, apart from the trials: choosing some needs no more."""

from __future__ import annotations

from collections.abc import Sequence

from hikkoshi.base.errors import BadInput

NAMES: tuple[str, ...] = (
    "synthetic",
    "one-by-one",
    "steady",
    "overload",
    "soak",
    "kill-task",
    "failover",
    "router-crash",
    "rolling-deploy",
    "bad-deploy",
    "scp-swap",
    "cutover",
)


def choose(only: Sequence[str], skip: Sequence[str]) -> tuple[str, ...]:
    """The names asked for. BadInput tells of an unknown one which there are."""
    for name in (*only, *skip):
        if name not in NAMES:
            raise BadInput(f"there is no trial {name!r}", fix=f"the trials are {', '.join(NAMES)}")
    chosen = tuple(name for name in NAMES if (not only or name in only) and name not in skip)
    if not chosen:
        raise BadInput("no trial is left to be tried", fix="leave out fewer of them")
    return chosen
