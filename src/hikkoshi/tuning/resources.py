"""Open files and the connection pool. Pure."""

from __future__ import annotations

import math

from hikkoshi.fargate.limits import NOFILE_DEFAULT
from hikkoshi.model.findings import Certainty
from hikkoshi.tuning.choice import Answer, Choice, Edit, NotJudged
from hikkoshi.tuning.measured import Measured
from hikkoshi.tuning.present import Objective, PoolVariable, Present

NOFILE, POOL = "ulimit nofile", "connection pool"

# Own cuts. A peak may double before the limit is half used; below 4096 nothing is saved.
NOFILE_ROOM = 4
LEAST_NOFILE = 4096
# Connections may be sampled between two peaks: twice what was seen busy at once.
BUSY_ROOM = 2
LEAST_POOL = 4
USABLE_SHARE = 0.80
# PostgreSQL's default superuser_reserved_connections; MySQL has one beside max_connections.
POSTGRES_RESERVED = 3
# Long enough that opening costs nothing, short enough that after a failover or a change of
# password no connection is older than a quarter of an hour.
LIFETIME_S = 900
IDLE_LIFETIME_S = 300


def decide_nofile(measured: Measured, present: Present) -> Answer:
    peak = measured.open_files_peak
    if peak is None:
        return NotJudged(NOFILE, "the application's open files were not sampled")
    soft = present.nofile[0] if present.nofile else None
    now = None if present.nofile is None else f"{present.nofile[0]}/{present.nofile[1]}"
    needed = max(LEAST_NOFILE, 2 ** math.ceil(math.log2(max(1, peak) * NOFILE_ROOM)))
    is_at_limit = measured.open_files_limit is not None and peak >= measured.open_files_limit
    because = [
        f"{peak} open at most in one process; × {NOFILE_ROOM}, at least {LEAST_NOFILE}, to a power "
        f"of two = {needed}",
        f"Fargate's own default is {NOFILE_DEFAULT[0]}/{NOFILE_DEFAULT[1]} today and has changed "
        "before: write the number that you rely on",
    ]
    advice: tuple[str, ...] = ()
    if is_at_limit:
        because.append(f"the limit of {measured.open_files_limit} was reached: more was asked for")
        advice = ("See whether the files are closed at all: a leak fills any limit.",)
    if soft is not None and soft >= needed and not is_at_limit:
        return Choice(NOFILE, now, str(now), Certainty.FACT, tuple(because))
    needed = min(needed, NOFILE_DEFAULT[0])
    hard = max(needed, present.nofile[1] if present.nofile else NOFILE_DEFAULT[1])
    return Choice(
        NOFILE,
        now,
        f"{needed}/{hard}",
        Certainty.HINT if is_at_limit else Certainty.LIKELY,
        tuple(because),
        _nofile_edits(present, needed, hard),
        advice,
    )


def _nofile_edits(present: Present, soft: int, hard: int) -> tuple[Edit, ...]:
    base = ("containerDefinitions", present.container_index, "ulimits")
    if present.nofile_index is not None:
        place = (*base, present.nofile_index)
        return (
            Edit("task", (*place, "softLimit"), soft),
            Edit("task", (*place, "hardLimit"), hard),
        )
    if present.has_ulimits:
        return ()  # A list with other limits in it: Fargate takes none but nofile.
    return (Edit("task", base, [{"name": "nofile", "softLimit": soft, "hardLimit": hard}]),)


def decide_pool(measured: Measured, present: Present, objective: Objective, tasks: int) -> Answer:
    """tasks: how many run at the planned rate. The most at once is a deploy's."""
    if measured.database == "none":
        return NotJudged(POOL, "the service has no database")
    if not measured.connection_limit or measured.busy_peak is None or not measured.connection_tasks:
        return NotJudged(POOL, "connections and tasks were not sampled during steady or soak")
    most = max(tasks, tasks * present.maximum_percent // 100)
    reserved = 0 if "mysql" in measured.database else POSTGRES_RESERVED
    usable = measured.connection_limit - reserved
    fits = math.floor(USABLE_SHARE * usable) // most
    busy = math.ceil(measured.busy_peak / measured.connection_tasks)
    in_flight = _in_flight(measured, objective)
    needed = max(LEAST_POOL, busy * BUSY_ROOM, in_flight)
    if fits < 1:
        return NotJudged(
            POOL,
            f"{most} tasks at once in a deploy, and only {usable} connections: raise "
            "max_connections, or lower maximumPercent, before any pool fits",
        )
    size = min(needed, fits)
    because = (
        f"at most {measured.connections_peak} open and {measured.busy_peak} busy at once, with "
        f"{measured.connection_tasks} tasks: {busy} busy a task, × {BUSY_ROOM} as it was sampled "
        f"each half second; requests at work at once, by rate × p99 where the limits held: "
        f"{in_flight} a task; at least {LEAST_POOL}: {needed} wanted",
        f"{size} × {most} tasks at once in a deploy ({tasks} × {present.maximum_percent} %) = "
        f"{size * most} of {usable} usable connections (max_connections "
        f"{measured.connection_limit} − {reserved} reserved), {size * most / usable:.0%}; at most "
        f"{USABLE_SHARE:.0%} → at most {fits} a task",
        "idle: as many as open, so that none is closed and opened again between two requests; "
        "lifetime: own choice, no measurement decides it",
    )
    has_held = any(one.keeps(objective.p99_s, objective.errors) for one in measured.planned)
    certainty = Certainty.LIKELY if has_held and needed <= fits else Certainty.HINT
    wanted = f"open {size}, idle {size}, lifetime {LIFETIME_S} s (idle {IDLE_LIFETIME_S} s)"
    if present.pool is not None:
        return _pool_by_variable(present, present.pool, size, fits, certainty, because)
    return Choice(
        POOL, None, wanted, certainty, because, (), _pool_advice(size, needed, fits, present)
    )


def _pool_by_variable(
    present: Present,
    pool: PoolVariable,
    size: int,
    fits: int,
    certainty: Certainty,
    because: tuple[str, ...],
) -> Answer:
    """The variable that the user named. One that is large enough and fits stays as it is."""
    now = f"{pool.name} {pool.value}"
    if size <= pool.of_a_task <= fits:
        return Choice(POOL, now, now, certainty, because)
    if pool.processes > fits:
        return NotJudged(
            POOL,
            f"{pool.processes} processes a task need a connection each, and {fits} a task fit: "
            "fewer processes, or a larger max_connections",
        )
    value = max(1, size // pool.processes)
    base = ("containerDefinitions", present.container_index, "environment", pool.index, "value")
    if pool.processes > 1:
        because += (f"{size} a task / {pool.processes} processes = {value} each",)
    return Choice(
        POOL, now, f"{pool.name} {value}", certainty, because, (Edit("task", base, str(value)),)
    )


def _in_flight(measured: Measured, objective: Objective) -> int:
    """Requests at work at once in one task (Little's law, with p99 for the mean: on the safe
    side); no more connections than that are in use. 0 where no rate kept the limits."""
    held = [
        one.rate * one.p99_s / one.tasks
        for one in (*measured.planned, *measured.steps)
        if one.tasks and one.keeps(objective.p99_s, objective.errors)
    ]
    return math.ceil(max(held, default=0.0))


def _pool_advice(size: int, needed: int, fits: int, present: Present) -> tuple[str, ...]:
    advice = [
        "The number is a task's: divide it among its worker processes.",
        f"Python: ConnectionPool(min_size={size}, max_size={size}, max_lifetime={LIFETIME_S}, "
        f"max_idle={IDLE_LIFETIME_S}); SQLAlchemy: pool_size={size}, max_overflow=0, "
        f"pool_recycle={LIFETIME_S}",
        f"Go: db.SetMaxOpenConns({size}); db.SetMaxIdleConns({size}); "
        f"db.SetConnMaxLifetime({LIFETIME_S} * time.Second)",
        f"Node (pg): new Pool({{max: {size}, idleTimeoutMillis: {IDLE_LIFETIME_S * 1000}, "
        f"maxLifetimeSeconds: {LIFETIME_S}}})",
    ]
    if needed > fits:
        advice.insert(
            0,
            f"{needed} a task would be wanted and {fits} fit: shorten transactions, raise "
            "max_connections in the cluster's parameter group, or put RDS Proxy between.",
        )
    if present.pool_variables:
        names = ", ".join(present.pool_variables)
        advice.append(
            f"The task definition has {names}: `--pool-variable NAME[/PROCESSES]` says which is "
            "the most open in each process, and puts the number there."
        )
    return tuple(advice)
