"""The scalable targets that are held, with all that hangs on them, and their journal."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from hikkoshi.region.autoscaling.records import Activity, PolicyRecord, TargetRecord
from hikkoshi.region.front.port import AwsError
from hikkoshi.region.journal import Ledger, Line, restored

MAX_ACTIVITIES = 500


class Holdings:
    """Targets by resource id (`service/CLUSTER/SERVICE`). Every change is journaled at once."""

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.targets: dict[str, TargetRecord] = {}
        self.activities: deque[Activity] = deque(maxlen=MAX_ACTIVITIES)
        """The newest first; not journaled."""
        self._ledger = ledger

    def put(self, target: TargetRecord) -> None:
        self.targets[target.resource_id] = target
        self._keep()

    def change(self, resource_id: str, **changes: Any) -> None:
        self.put(replace(self.targets[resource_id], **changes))

    def change_action(self, resource_id: str, name: str, **changes: Any) -> None:
        actions = self.targets[resource_id].actions
        changed = tuple(replace(a, **changes) if a.name == name else a for a in actions)
        self.change(resource_id, actions=changed)

    def remove(self, resource_id: str) -> None:
        self.targets.pop(resource_id, None)
        self._keep()

    def by_arn(self, arn: str) -> TargetRecord:
        for target in self.targets.values():
            if target.arn == arn:
                return target
        raise AwsError("ResourceNotFoundException", f"No scalable target found: {arn[:200]}")

    def restore(self, now: float) -> None:
        """What a killed region left in the journal. Called once, while nothing is held."""
        if self._ledger is not None:
            for target in targets_again(self._ledger.read(), now):
                self.targets[target.resource_id] = target
            self._keep()

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def _keep(self) -> None:
        if self._ledger is not None:
            self._ledger.keep(lines_of(self.targets.values()))


def lines_of(targets: Iterable[TargetRecord]) -> Iterator[Line]:
    """Pure. Without what changes with every look and is found anew: measured points, and until when
    schedules were looked at."""
    for target in targets:
        policies: tuple[PolicyRecord, ...] = tuple(replace(p, points=()) for p in target.policies)
        actions = tuple(replace(a, looked_at=0.0) for a in target.actions)
        yield "target", target.resource_id, replace(target, policies=policies, actions=actions)


def targets_again(lines: Iterable[Line], now: float) -> Iterator[TargetRecord]:
    """Pure. A scheduled action whose moment passed while nothing ran is not caught up with."""
    for _, _, target in restored(lines, {"target": TargetRecord}):
        actions = tuple(replace(a, looked_at=now) for a in target.actions)
        yield replace(target, actions=actions)
