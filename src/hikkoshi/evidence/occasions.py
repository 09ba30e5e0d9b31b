"""What rules about life and faults ask of the evidence: ends, sockets, targets, names, attempts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window

_KILLED = 128 + 9


@dataclass(frozen=True, slots=True)
class ContainerEnd:
    """A container's process that ended. t_signalled None: nobody asked it to."""

    t: float
    task: str
    family: str
    container: str
    is_essential: bool
    exit_code: int
    is_out_of_memory: bool
    t_signalled: float | None
    signal: str
    has_handler: bool | None
    was_killed: bool
    asked_grace_s: float
    grace_s: float

    @property
    def is_cut_short(self) -> bool:
        """Asked to end, and killed before its time was over: the region ended meanwhile."""
        return self.exit_code == _KILLED and not self.was_killed


@dataclass(frozen=True, slots=True)
class Listening:
    t: float
    task: str
    family: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Fault:
    trial: str
    t_injected: float
    t_recovered: float | None
    proof: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One request of the load generator: when it was due and over; status 0: no answer."""

    t_intended: float
    t_ended: float
    latency_s: float
    status: int
    error: str

    @property
    def is_good(self) -> bool:
        return not self.error and 200 <= self.status < 400

    @property
    def is_unanswered(self) -> bool:
        """No answer, or the load balancer's own: the service did not speak."""
        return (bool(self.error) and self.error != "Stopped") or self.status in (0, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of load at one rate, in requests a second."""

    trial: str
    t_start: float
    t_end: float
    rate: float

    @property
    def window(self) -> Window:
        return Window(self.trial, self.t_start, self.t_end)


def container_ends(store: EvidenceStore) -> list[ContainerEnd]:
    rows = store.rows(
        """
        SELECT t, coalesce(task, ''), coalesce(family, ''), coalesce(container, ''),
               coalesce(is_essential, false), coalesce(exit_code, 0),
               coalesce(is_out_of_memory, false), t_signalled, coalesce(signal, ''), has_handler,
               coalesce(was_killed, false), coalesce(asked_grace_s, 0), coalesce(grace_s, 0)
        FROM container_ends ORDER BY t
        """
    )
    return [ContainerEnd(*row) for row in rows]


def listening(store: EvidenceStore, port: int) -> list[Listening]:
    rows = store.rows(
        """
        SELECT t, coalesce(task, ''), coalesce(family, ''), address, port FROM listening
        WHERE port = ? AND address IS NOT NULL ORDER BY t
        """,
        [port],
    )
    return [Listening(*row) for row in rows]


def started_at(store: EvidenceStore) -> dict[str, float]:
    """When each task's containers had started: its first RUNNING."""
    rows = store.rows(
        "SELECT task, min(t) FROM task_events WHERE last_status = 'RUNNING' AND task IS NOT NULL "
        "GROUP BY task"
    )
    return {str(task): float(t) for task, t in rows}


def addresses(store: EvidenceStore) -> dict[str, str]:
    """Address → task."""
    rows = store.rows(
        "SELECT DISTINCT address, task FROM task_events WHERE address IS NOT NULL AND address <> ''"
    )
    return {str(address): str(task) for address, task in rows}


def fault_of(store: EvidenceStore, trial: str) -> Fault | None:
    """The trial's fault, if it was proven to have happened."""
    rows = store.rows(
        """
        SELECT trial, t_injected, t_recovered, proof FROM faults
        WHERE trial = ? AND t_injected IS NOT NULL AND proof IS NOT NULL LIMIT 1
        """,
        [trial],
    )
    return Fault(*rows[0]) if rows else None


def writer_moves(store: EvidenceStore, after: float) -> tuple[float, str, str] | None:
    """(t, old, new): when the first other instance was seen as the writer after a moment."""
    rows = store.rows(
        """
        SELECT t, old, instance FROM (
            SELECT t, instance, (SELECT instance FROM database
                WHERE role = 'writer' AND t < ? ORDER BY t DESC LIMIT 1) AS old
            FROM database WHERE role = 'writer' AND t >= ?)
        WHERE old IS NOT NULL AND instance <> old ORDER BY t LIMIT 1
        """,
        [after, after],
    )
    return (float(rows[0][0]), str(rows[0][1]), str(rows[0][2])) if rows else None


def answers(store: EvidenceStore, trial: str) -> list[Answer]:
    rows = store.rows(
        """
        SELECT t_intended, t_intended + coalesce(latency_s, 0), coalesce(latency_s, 0),
               coalesce(status, 0), coalesce(error, '')
        FROM requests WHERE trial = ? ORDER BY t_intended
        """,
        [trial],
    )
    return [Answer(*row) for row in rows]


def steps(store: EvidenceStore, trial: str) -> list[Step]:
    rows = store.rows(
        """
        SELECT trial, t_start, t_end, rate FROM load_steps
        WHERE trial = ? AND t_end > t_start AND rate > 0 ORDER BY t_start
        """,
        [trial],
    )
    return [Step(*row) for row in rows]


def why_not_tried(store: EvidenceStore, trial: str) -> str | None:
    """The reason of a trial that ran and was not tried (the generator gave way); None otherwise."""
    rows = store.rows(
        "SELECT coalesce(reason, '') FROM trials WHERE name = ? AND outcome = 'not tried'", [trial]
    )
    return str(rows[0][0]) if rows else None


def in_flight(store: EvidenceStore, window: Window) -> float | None:
    """Requests at work at once, on average (Little's law); None where none was sent."""
    row = store.rows(
        "SELECT sum(latency_s) / nullif(max(t_intended) - min(t_intended), 0) FROM requests "
        "WHERE trial = ? AND t_intended BETWEEN ? AND ?",
        [window.name, window.t_start, window.t_end],
    )[0]
    return float(row[0]) if row[0] is not None else None


def at_work_by_target(store: EvidenceStore, window: Window) -> dict[str, float]:
    """Requests at work at once at each target's address, on average, as the load balancer counted
    them; empty for a run of before schema 3."""
    rows = store.rows(
        """
        SELECT regexp_replace(target, ':[0-9]+$', ''), avg(at_work) FROM balancer
        WHERE target IS NOT NULL AND t BETWEEN ? AND ? GROUP BY 1
        """,
        [window.t_start, window.t_end],
    )
    return {str(address): float(mean) for address, mean in rows}


def busy_samples(store: EvidenceStore, window: Window, share: float) -> float | None:
    """Share of the window's samples in which the machine was at least that busy; None without."""
    row = store.rows(
        "SELECT avg((busy_share >= ?)::INT) FROM machine WHERE t BETWEEN ? AND ?",
        [share, window.t_start, window.t_end],
    )[0]
    return None if row[0] is None else float(row[0])


def cpu_share(store: EvidenceStore, window: Window) -> float | None:
    """The busiest task's CPU in the window as a share of its limit; None without samples."""
    rows = store.rows(
        """
        SELECT max(share) FROM (
            SELECT (max(cpu_s) - min(cpu_s)) / nullif((max(t) - min(t)) * max(cpu_limit_vcpu), 0)
                   AS share
            FROM task_usage WHERE t BETWEEN ? AND ? AND cpu_limit_vcpu > 0
            GROUP BY task HAVING count(*) >= 3)
        """,
        [window.t_start, window.t_end],
    )
    return float(rows[0][0]) if rows[0][0] is not None else None


def targets(store: EvidenceStore, t_start: float, t_end: float) -> list[tuple[float, int, int]]:
    """(t, healthy, unhealthy) of all target groups."""
    rows = store.rows(
        """
        SELECT t, healthy, coalesce(unhealthy, 0) FROM targets
        WHERE healthy IS NOT NULL AND t BETWEEN ? AND ? ORDER BY t
        """,
        [t_start, t_end],
    )
    return [(float(t), int(good), int(bad)) for t, good, bad in rows]


def failed_health(store: EvidenceStore, t_start: float, t_end: float) -> list[tuple[str, str]]:
    """(task, reason) of each task that was given up for its health in that time."""
    rows = store.rows(
        """
        SELECT task, any_value(stopped_reason) FROM task_events
        WHERE t BETWEEN ? AND ? AND task IS NOT NULL
          AND regexp_matches(coalesce(stopped_reason, ''), '(?i)health check')
        GROUP BY task ORDER BY task
        """,
        [t_start, t_end],
    )
    return [(str(task), str(reason)) for task, reason in rows]


def at_work(store: EvidenceStore) -> dict[str, list[tuple[float, int]]]:
    """Task → (t, requests that it had not answered), as the load balancer counted them; empty for
    a run of before schema 3."""
    rows = store.rows(
        """
        SELECT regexp_replace(target, ':[0-9]+$', ''), t, at_work FROM balancer
        WHERE target IS NOT NULL AND at_work IS NOT NULL ORDER BY t
        """
    )
    tasks = addresses(store)
    found: dict[str, list[tuple[float, int]]] = {}
    for address, t, count in rows:
        if address in tasks:
            found.setdefault(tasks[address], []).append((float(t), int(count)))
    return found


def attempts(store: EvidenceStore, t_start: float, t_end: float) -> dict[str, int]:
    """TCP connections that each task tried to open in that time."""
    rows = store.rows(
        """
        SELECT task, max(opened) - min(opened) FROM network
        WHERE t BETWEEN ? AND ? AND task IS NOT NULL AND opened IS NOT NULL
        GROUP BY task HAVING count(*) >= 2
        """,
        [t_start, t_end],
    )
    return {str(task): int(count) for task, count in rows}


def name_queries(store: EvidenceStore, t_start: float, t_end: float) -> list[tuple[str, str]]:
    """(client's address, name), one for each question of a database's name."""
    rows = store.rows(
        """
        SELECT client, name FROM name_queries
        WHERE t BETWEEN ? AND ? AND regexp_matches(name, '(?i)[.]rds[.]amazonaws[.]com$')
        """,
        [t_start, t_end],
    )
    return [(str(client), str(name)) for client, name in rows]


def first_listening(store: EvidenceStore, port: int) -> dict[str, float]:
    """When each task was first seen to listen on that port."""
    first: dict[str, float] = {}
    for one in listening(store, port):
        first.setdefault(one.task, one.t)
    return first


def application_stops(store: EvidenceStore, windows: tuple[Window, ...]) -> list[ContainerEnd]:
    """Ends of the application's container that were asked for in one of the windows, and were given
    their time. Where `meta` does not name the container, those of all essential ones.

    Without those that were killed and were asked before they listened on the application's port,
    where any was seen to: a process that still starts has no handler yet, which says nothing of one
    that serves. (A bad deploy is rolled back while its tasks start; a busy machine takes long.)"""
    meta = store.meta()
    name, port = meta.get("container", ""), meta.get("container_port", "")
    heard = first_listening(store, int(port)) if port.isdecimal() else {}
    return [
        end
        for end in container_ends(store)
        if (end.container == name if name else end.is_essential)
        and end.t_signalled is not None
        and not end.is_cut_short
        and not (end.was_killed and heard and heard.get(end.task, math.inf) > end.t_signalled)
        and any(window.t_start <= end.t_signalled <= window.t_end for window in windows)
    ]


def application_crashes(store: EvidenceStore, t_start: float, t_end: float) -> list[ContainerEnd]:
    """Ends of the application's container in that time that nobody asked for."""
    name = store.meta().get("container", "")
    return [
        end
        for end in container_ends(store)
        if (end.container == name if name else end.is_essential)
        and end.t_signalled is None
        and t_start <= end.t <= t_end
    ]
