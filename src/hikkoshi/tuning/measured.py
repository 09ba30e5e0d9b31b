"""What a run measured, as the numbers that tuning decides by. Reads; decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

from hikkoshi.evidence import database, occasions
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window, Windows, windows_of


@dataclass(frozen=True, slots=True)
class Held:
    """One stretch of load at one rate: what came of it. cpu_share: the busiest task's CPU as a
    share of its limit; cpu_s: of all tasks together. None: not sampled."""

    trial: str
    rate: float
    length_s: float
    requests: int
    errors: float
    p99_s: float
    slowest_s: float
    tasks: int
    cpu_s: float | None
    cpu_share: float | None

    @property
    def cpu_s_a_request(self) -> float | None:
        """Of those that came out well: what failed may have cost little, and was not served."""
        served = self.requests * (1 - self.errors)
        return self.cpu_s / served if self.cpu_s is not None and served >= 1 else None

    def keeps(self, p99_s: float, errors: float) -> bool:
        return self.errors <= errors and self.p99_s <= p99_s


@dataclass(frozen=True, slots=True)
class Measured:
    """A whole run. planned: trials at the planned rate. steps: of the overload trial, slowest
    first. Lists of seconds are one entry a task."""

    planned: tuple[Held, ...] = ()
    steps: tuple[Held, ...] = ()
    cpu_vcpu: float | None = None
    is_cpu_enforced: bool = True
    memory_peak_bytes: int | None = None
    open_files_peak: int | None = None
    open_files_limit: int | None = None
    connections_peak: int | None = None
    busy_peak: int | None = None
    connection_tasks: int = 0
    connection_limit: int | None = None
    database: str = ""
    starts_s: tuple[float, ...] = ()
    stops_s: tuple[float, ...] = ()
    killed_stops: int = 0

    @property
    def worst(self) -> Held | None:
        """The planned trial with the most CPU; without CPU, the slowest."""
        return max(self.planned, key=lambda one: (one.cpu_share or 0.0, one.p99_s), default=None)


def measure(store: EvidenceStore) -> Measured:
    windows = windows_of(store)
    meta = store.meta()
    container = meta.get("container", "")
    planned = [held for window in windows.planned for held in _stretches(store, window)]
    steps = [held for window in windows.named("overload") for held in _stretches(store, window)]
    limit_vcpu, is_enforced = _cpu_limit(store)
    files = store.rows(
        "SELECT max(open_files), min(open_files_limit) FROM usage WHERE container = ?", [container]
    )[0]
    peak, busy, tasks = _connections(store, windows)
    stops = occasions.application_stops(store, windows.own)
    return Measured(
        planned=tuple(planned),
        steps=tuple(sorted(steps, key=lambda one: one.rate)),
        cpu_vcpu=limit_vcpu,
        is_cpu_enforced=is_enforced,
        memory_peak_bytes=_memory_peak(store, windows),
        open_files_peak=files[0],
        open_files_limit=files[1],
        connections_peak=peak,
        busy_peak=busy,
        connection_tasks=tasks,
        connection_limit=database.connection_limit(store),
        database=meta.get("database", ""),
        starts_s=_starts(store, meta.get("container_port", "")),
        stops_s=tuple(e.t - e.t_signalled for e in stops if e.t_signalled and not e.was_killed),
        killed_stops=sum(end.was_killed for end in stops),
    )


def _stretches(store: EvidenceStore, window: Window) -> list[Held]:
    """A trial by its rates; the whole of it where they were not recorded."""
    parts: list[tuple[Window, float | None]] = [
        (step.window, step.rate) for step in occasions.steps(store, window.name)
    ]
    held = [_held(store, part, rate) for part, rate in parts or [(window, None)]]
    return [one for one in held if one is not None]


def _held(store: EvidenceStore, window: Window, rate: float | None) -> Held | None:
    """None where nothing was sent."""
    sent, bad, p99, slowest, length = store.rows(
        """
        SELECT count(*), count(*) FILTER (error IS NOT NULL AND error <> '' OR status IS NULL
                   OR status < 200 OR status >= 400),
               quantile_cont(latency_s, 0.99), max(latency_s), max(t_intended) - min(t_intended)
        FROM requests
        WHERE trial = ? AND t_intended BETWEEN ? AND ? AND coalesce(error, '') <> 'Stopped'
        """,
        [window.name, window.t_start - 0.001, window.t_end + 0.001],
    )[0]
    if not sent or p99 is None:
        return None
    cpu_s, share = store.rows(
        """
        SELECT sum(used), max(used / nullif(length * vcpu, 0)) FROM (
            SELECT max(cpu_s) - min(cpu_s) AS used, max(t) - min(t) AS length,
                   max(cpu_limit_vcpu) AS vcpu
            FROM task_usage WHERE t BETWEEN ? AND ? AND cpu_s IS NOT NULL
            GROUP BY task HAVING count(*) >= 2)
        """,
        [window.t_start - 0.5, window.t_end + 0.5],
    )[0]
    length_s = max(float(length or 0.0), 0.001)
    return Held(
        trial=window.name,
        rate=rate if rate is not None else sent / length_s,
        length_s=length_s,
        requests=int(sent),
        errors=bad / sent,
        p99_s=float(p99),
        slowest_s=float(slowest),
        tasks=database.tasks_at_once(store, window),
        cpu_s=None if cpu_s is None else float(cpu_s),
        cpu_share=None if share is None else float(share),
    )


def _cpu_limit(store: EvidenceStore) -> tuple[float | None, bool]:
    row = store.rows(
        "SELECT min(cpu_limit_vcpu), bool_and(coalesce(cpu_is_enforced, false)) FROM task_usage "
        "WHERE cpu_limit_vcpu > 0"
    )[0]
    return (float(row[0]), bool(row[1])) if row[0] is not None else (None, True)


def _memory_peak(store: EvidenceStore, windows: Windows) -> int | None:
    """Of the fullest task while the service ran without the old home beside it."""
    peaks = [
        store.rows(
            "SELECT max(memory_bytes) FROM task_usage WHERE t BETWEEN ? AND ?",
            [window.t_start, window.t_end],
        )[0][0]
        for window in windows.own
    ]
    return max((int(peak) for peak in peaks if peak is not None), default=None)


def _connections(store: EvidenceStore, windows: Windows) -> tuple[int | None, int | None, int]:
    """(most open, most busy, tasks) of the planned trials."""
    samples = [one for window in windows.planned for one in database.activity(store, window)]
    tasks = [database.tasks_at_once(store, window) for window in windows.planned]
    if not samples:
        return None, None, 0
    return (
        max(one.connections for one in samples),
        max(one.busy for one in samples),
        min((count for count in tasks if count), default=0),
    )


def _starts(store: EvidenceStore, port: str) -> tuple[float, ...]:
    """From a task's RUNNING to its first listening on the application's port."""
    if not port.isdecimal():
        return ()
    running = occasions.started_at(store)
    heard = occasions.first_listening(store, int(port))
    return tuple(max(0.0, heard[task] - t) for task, t in running.items() if task in heard)
