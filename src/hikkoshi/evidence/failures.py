"""Tasks that failed, with the last lines that they wrote."""

from __future__ import annotations

from dataclasses import dataclass

from hikkoshi.evidence.store import EvidenceStore

MOST_TASKS = 6
MOST_LINES = 25


@dataclass(frozen=True, slots=True)
class FailedTask:
    t: float
    task: str
    stop_code: str
    reason: str
    container_exits: str
    lines: tuple[tuple[float, str, str], ...]
    """(t, container, line), the last ones before the end."""


def failed_tasks(store: EvidenceStore) -> tuple[FailedTask, ...]:
    """Tasks that ended by themselves or never started, the first ones; a task that the scheduler
    or a user stopped in good health is not one."""
    rows = store.rows(
        """
        SELECT min(t), task, coalesce(any_value(stop_code), ''),
               coalesce(any_value(stopped_reason), ''), coalesce(any_value(container_exits), '')
        FROM task_events
        WHERE last_status = 'STOPPED' AND task IS NOT NULL
          AND (stop_code IN ('EssentialContainerExited', 'TaskFailedToStart')
               OR regexp_matches(coalesce(stopped_reason, ''),
                                 '(?i)health check|unhealthy|OutOfMemory'))
        GROUP BY task ORDER BY min(t) LIMIT ?
        """,
        [MOST_TASKS],
    )
    failed = []
    for t, task, code, reason, exits in rows:
        lines = store.rows(
            """
            SELECT t, coalesce(container, ''), coalesce(line, '') FROM logs
            WHERE task = ? ORDER BY t DESC LIMIT ?
            """,
            [task, MOST_LINES],
        )
        last = tuple((float(at), str(name), str(line)) for at, name, line in reversed(lines))
        failed.append(FailedTask(float(t), task, code, reason, exits, last))
    return tuple(failed)
