"""What a command that changes a service ends with."""

from __future__ import annotations

from dataclasses import dataclass

from hikkoshi.ship.judge import EXIT_CODES, State
from hikkoshi.ship.watch import Ended


@dataclass(frozen=True)
class Outcome:
    """What `deploy`, `wait`, `rollback` and `scale` end with."""

    state: State
    reason: str
    cluster: str
    service: str
    deployment: str | None = None
    task_definition: str | None = None
    changed: bool = True
    ended: Ended | None = None

    @property
    def exit_code(self) -> int:
        return EXIT_CODES.get(self.state, 1)
