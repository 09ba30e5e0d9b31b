"""The stretches of a run in which rules look: the trials by name and time."""

from __future__ import annotations

from dataclasses import dataclass

from hikkoshi.evidence.store import EvidenceStore

PLANNED = frozenset({"steady", "soak"})
"""Trials at the rate that the service is planned for. Overload is meant to hurt, and faults
disturb, so what a rule measures there says nothing about a normal day."""


OLD_HOME = frozenset({"scp-swap", "cutover"})
"""Trials in which the old home runs beside the new one, for comparison. What is recorded then may
be the old one's doing, so no rule blames the new one for it."""


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

    def named(self, *names: str) -> tuple[Window, ...]:
        return tuple(window for window in self.trials if window.name in names)

    @property
    def own(self) -> tuple[Window, ...]:
        """The run from its first trial to its last, less what ran beside the old home."""
        if not self.trials:
            return ()
        stretches = []
        t_start = self.trials[0].t_start
        for foreign in (window for window in self.trials if window.name in OLD_HOME):
            if foreign.t_start > t_start:
                stretches.append(Window("the run", t_start, foreign.t_start))
            t_start = max(t_start, foreign.t_end)
        t_end = max(window.t_end for window in self.trials)
        if t_end > t_start:
            stretches.append(Window("the run", t_start, t_end))
        return tuple(stretches)

    def is_foreign(self, t: float) -> bool:
        """Whether the old home ran at t."""
        return any(w.t_start <= t <= w.t_end for w in self.trials if w.name in OLD_HOME)


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
