"""What the report's charts show, as plain data for its script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hikkoshi.evidence.timeline import Series, Timeline
from hikkoshi.model.trials import TrialResult
from hikkoshi.report.text import quantity


def chart_specs(line: Timeline) -> list[dict[str, Any]]:
    """The charts that have something to show, from top to bottom."""
    all_of_them: list[tuple[str, str, str, Sequence[Series], dict[str, Any]]] = [
        ("rate", "Requests per second", "/s", line.rate, {}),
        ("latency", "Latency from the intended send time", "s", line.latency, {"log": True}),
        ("tasks", "Tasks", "", line.tasks, {"whole": True, "steps": True}),
        (
            "connections",
            "Database connections",
            "",
            line.connections,
            {
                "whole": True,
                "limit": line.max_connections,
                "limitName": f"max_connections {line.max_connections}",
            }
            if line.max_connections
            else {"whole": True},
        ),
        (
            "cpu",
            "CPU of each task, of its limit",
            "share",
            [Series(short_task(series.name), series.points) for series in line.cpu],
            {"limit": 1, "limitName": "the task's limit", "always": True},
        ),
        (
            "memory",
            "Memory of each task, of its limit",
            "share",
            [Series(short_task(series.name), series.points) for series in line.memory],
            {"limit": 1, "limitName": "the task's limit"},
        ),
        (
            "files",
            "Open files of each task's fullest container",
            "",
            [Series(short_task(series.name), series.points) for series in line.files],
            {
                "whole": True,
                "limit": line.files_limit,
                "limitName": f"limit {line.files_limit}",
            }
            if line.files_limit
            else {"whole": True},
        ),
    ]
    return [
        {
            "id": name,
            "title": title,
            "unit": unit,
            "series": [{"name": s.name, "points": s.points} for s in series],
            "summary": _summary(title, unit, series),
            **extra,
        }
        for name, title, unit, series, extra in all_of_them
        if any(s.points for s in series)
    ]


def bands_of(trials: Sequence[TrialResult], line: Timeline) -> list[dict[str, Any]]:
    """Trials that took time, in seconds since the timeline's start."""
    return [
        {
            "title": trial.title or trial.name,
            "outcome": str(trial.outcome),
            "start": round(max(0.0, trial.t_start - line.t_start), 3),
            "end": round(min(line.t_end, trial.t_end) - line.t_start, 3),
        }
        for trial in sorted(trials, key=lambda trial: trial.t_start)
        if trial.t_end > trial.t_start >= line.t_start
    ]


def marks_of(line: Timeline) -> list[dict[str, Any]]:
    return [
        {
            "t": mark.t,
            "clock": f"{int(mark.t // 60)}:{mark.t % 60:04.1f}",
            "name": mark.name,
            "proof": mark.proof,
        }
        for mark in line.marks
    ]


def short_task(task: str) -> str:
    """The first eight characters of a task's id, as ECS's console shows it in little room."""
    return task.rpartition("/")[2][:8]


def _summary(title: str, unit: str, series: Sequence[Series]) -> str:
    """The chart in words, for those who do not see it."""
    parts = []
    for each in series:
        values = [value for _, value in each.points if value is not None]
        if values:
            low, high = quantity(min(values), unit), quantity(max(values), unit)
            parts.append(f"{each.name} from {low} to {high}")
    return f"{title}: {'; '.join(parts)}"
