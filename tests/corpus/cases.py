"""The corpus: which defect is planted in which service, and what it takes to see it.

A case is one service with one defect; its twin is the same project without it. Cases that differ
in nothing but the defect share their twin, which is then rehearsed once.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.rds.mariadb.programs import find_programs

PYTHON, FLASK, NODE, GO = "python", "flask", "node", "go"
MARIADB = "mariadb"
"""A Python service on Aurora MySQL."""
LOAD, FAILOVER, STOP = "one-by-one,steady,soak", "steady,failover", "steady,kill-task"


@dataclass(frozen=True)
class Case:
    """rule: what is planted, and must be named. only: the trials. rate: requests a second.
    setup: what the project has beside the defect, the same for the twin: cpu, memory, nofile,
    pool, max_connections, router (a file), health (seconds), log (a mode), bounded, p99,
    stop_timeout (seconds).
    of_project: the defect is not in the code but in these settings, which the twin has not."""

    rule: str
    language: str = PYTHON
    only: str = LOAD
    rate: int = 40
    has_database: bool = True
    is_quick: bool = True
    setup: dict[str, str] = field(default_factory=dict)
    of_project: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.language}-{self.rule}"

    @property
    def why_not(self) -> str | None:
        """The tool that this machine lacks."""
        if self.language == MARIADB:
            return None if _has_mariadb() else "MariaDB is not installed"
        tool = {NODE: "node", GO: "go"}.get(self.language)
        return f"{tool} is not installed" if tool and shutil.which(tool) is None else None


def _has_mariadb() -> bool:
    try:
        find_programs()
    except CannotRun:
        return False
    return True


def _without_database(language: str, rule: str, only: str, **more: object) -> Case:
    return Case(rule, language, only, has_database=False, **more)  # type: ignore[arg-type]


_SMALL = {"cpu": "256", "memory": "512"}

CASES: tuple[Case, ...] = (
    Case("opens-a-connection-for-each-request", MARIADB),
    Case("repeats-a-query-for-each-row", MARIADB),
    Case("deadlocks-under-load", MARIADB),
    Case("scans-a-table-for-a-few-rows", MARIADB),
    Case("holds-connections-idle-in-transaction", MARIADB, rate=12),
    Case("holds-locks-long", MARIADB, rate=12),
    Case("opens-a-connection-for-each-request"),
    Case("repeats-a-query-for-each-row"),
    Case("deadlocks-under-load"),
    Case("scans-a-table-for-a-few-rows"),
    Case("approaches-the-connection-limit"),
    Case("holds-connections-idle-in-transaction", rate=12),
    Case("waits-for-the-pool"),
    Case("holds-locks-long", rate=12),
    Case("grows-in-memory"),
    Case("leaks-file-descriptors"),
    Case("runs-out-of-file-descriptors", setup={"nofile": "80"}),
    Case("saturates-task-cpu", setup=_SMALL),
    Case("is-throttled", rate=7, setup=_SMALL),
    Case("is-killed-for-memory", setup=_SMALL),
    Case("ignores-sigterm", only=STOP),
    Case("drops-requests-on-stop", only=STOP),
    Case("does-not-reconnect-after-failover", only=FAILOVER),
    Case("caches-dns-past-failover", only=FAILOVER),
    Case("fails-health-when-the-database-does", only=FAILOVER),
    Case("retries-without-limit", only=FAILOVER),
    Case("opens-a-connection-for-each-request", FLASK),
    Case("repeats-a-query-for-each-row", FLASK),
    Case("deadlocks-under-load", FLASK),
    Case("ignores-sigterm", FLASK, STOP),
    Case("leaks-file-descriptors", FLASK),
    _without_database(PYTHON, "starts-slower-than-its-health-check", "steady"),
    _without_database(PYTHON, "binds-localhost", "steady"),
    _without_database(PYTHON, "splits-long-lines", "steady,soak", setup={"router": "plain.conf"}),
    _without_database(
        PYTHON,
        "delivers-log-lines-twice",
        "steady,soak",
        setup={"router": "plain.conf"},
        of_project={"router": "twice.conf"},
    ),
    _without_database(
        PYTHON,
        "loses-log-lines",
        "steady,soak",
        setup={"router": "plain.conf"},
        of_project={"router": "sampled.conf"},
    ),
    _without_database(
        PYTHON,
        "blocks-on-logging",
        "steady,soak",
        setup={"log": "non-blocking"},
        of_project={"log": "blocking"},
    ),
    _without_database(
        PYTHON, "collapses-past-the-knee", "steady,overload", setup={"bounded": "1", "p99": "9s"}
    ),
    _without_database(
        PYTHON,
        "queues-without-bound",
        "overload",
        rate=30,
        is_quick=False,
        setup={"bounded": "1", "p99": "9s"},
    ),
    _without_database(NODE, "grows-in-memory", "steady,soak"),
    _without_database(NODE, "leaks-file-descriptors", "steady,soak"),
    # Node has a handler of its own, so only a whole stopTimeout can show what it does.
    _without_database(NODE, "ignores-sigterm", STOP, setup={"stop_timeout": "4"}),
    _without_database(NODE, "drops-requests-on-stop", STOP),
    _without_database(GO, "grows-in-memory", "steady,soak"),
    _without_database(GO, "leaks-file-descriptors", "steady,soak"),
    _without_database(GO, "ignores-sigterm", STOP),
    _without_database(GO, "drops-requests-on-stop", STOP),
)
