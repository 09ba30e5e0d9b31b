"""What a region records as lines of JSON: each event once, and the numbers of each look."""

from __future__ import annotations

import json
from typing import Any

from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.live.snapshot import Event, bounds, events, numbers, quiet_s

MOST_AT_ONCE = 2000


class JsonLines:
    """kind `event`: t, what (task, service, fault, trial), words. kind `numbers`: t, quiet_s (since
    the last record; null: none yet), and those of the last five seconds, as on the live page."""

    def __init__(self) -> None:
        self._told: dict[Event, None] = {}

    def fresh(self, store: EvidenceStore, now: float) -> list[str]:
        """Events that were not told before, in the order of time, then the numbers. A record may
        come late, so what is new is told by itself and not by its time."""
        new = [each for each in events(store, MOST_AT_ONCE) if each not in self._told]
        self._told.update(dict.fromkeys(new))
        while len(self._told) > 2 * MOST_AT_ONCE:
            del self._told[next(iter(self._told))]
        lines: list[dict[str, Any]] = [
            {"kind": "event", "t": round(each.t, 3), "what": each.kind, "words": each.words}
            for each in sorted(new, key=lambda each: each.t)
        ]
        _, last = bounds(store)
        quiet = {"kind": "numbers", "t": round(now, 3), "quiet_s": quiet_s(last, now)}
        lines.append(quiet | numbers(store, now))
        return [json.dumps(line, ensure_ascii=False) for line in lines]
