"""The stretches of a run in which rules look: the trials by name and time."""

from __future__ import annotations

from dataclasses import dataclass

from hikkoshi.evidence.store import EvidenceStore

PLANNED = frozenset({"steady", "soak"})
"""Trials at the rate that the service is planned for. Overload is meant to hurt, and faults
disturb, so what a rule measures there says nothing about a normal day."""


@dataclass(frozen=True, slots=True)
class Window:
    name: str
    t_start: float
    t_end: float

    @property
    def length_s(self) -> float:
        return self.t_end - self.t_start


@dataclass(frozen=True, slots=True)
class Windows:
    """All trials of a run in the order of time, cut at the next one's start if one never ended."""

    trials: tuple[Window, ...]

    @property
    def planned(self) -> tuple[Window, ...]:
        return tuple(window for window in self.trials if window.name in PLANNED)

    @property
    def whole(self) -> Window | None:
        if not self.trials:
            return None
        return Window("the whole run", self.trials[0].t_start, max(w.t_end for w in self.trials))


def windows_of(store: EvidenceStore) -> Windows:
    rows = store.rows("SELECT name, t_start, t_end FROM trials ORDER BY t_start, t_end")
    starts = [float(row[1]) for row in rows]
    windows = []
    for place, (name, t_start, t_end) in enumerate(rows):
        if t_end is None:
            later = [start for start in starts[place + 1 :] if start > t_start]
            t_end = later[0] if later else _last_request(store, t_start)
        if t_end > t_start:
            windows.append(Window(str(name), float(t_start), float(t_end)))
    return Windows(tuple(windows))


def _last_request(store: EvidenceStore, after: float) -> float:
    row = store.rows("SELECT max(t_intended) FROM requests WHERE t_intended >= ?", [after])[0]
    return float(row[0]) if row[0] is not None else after
