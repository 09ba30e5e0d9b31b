"""What a fault is, where it is injected, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import CannotRun, HikkoshiError
from hikkoshi.faults.journal import Journal


class NotTried(HikkoshiError):
    """The fault cannot be injected here; `what` says why."""

    exit_code = 3


@dataclass(frozen=True)
class Place:
    """Where. database: an RDS cluster's identifier. database_url: a secret; how this machine
    reaches the database itself. hold_s: how long a fault that is held lasts. container: which one
    of a task; None: the one that each fault would choose. peer: `host` or `host:port`, of the
    network faults."""

    access: Access
    cluster: str = "default"
    service: str | None = None
    database: str | None = None
    database_url: str | None = field(default=None, repr=False)
    container: str | None = None
    zone: str | None = None
    peer: str | None = None
    hold_s: float = 10.0
    delay_ms: int = 500
    loss_percent: int = 30
    journal: Journal | None = field(default=None, repr=False, compare=False)
    """Where a fault that would outlive this process writes down how it is undone."""

    def keep(self, fault: str, change: Mapping[str, Any]) -> None:
        """Before the change is made. CannotRun: it cannot be written down."""
        if self.journal is None:
            return
        access = self.access
        where = {
            "endpoint": access.endpoint, "region": access.region, "profile": access.profile,
            "cluster": self.cluster, "service": self.service,
        }  # fmt: skip
        try:
            self.journal.keep(fault, where, change)
        except OSError as error:
            raise CannotRun(
                f"how the fault is undone cannot be written to {self.journal.file}: {error}",
                fix="set XDG_STATE_HOME to a directory that can be written",
            ) from error

    def needs_service(self) -> str:
        if self.service is None:
            raise NotTried("no service is named", fix="give --service NAME")
        return self.service

    def needs_database(self) -> str:
        if self.database is None:
            raise NotTried("no database cluster is named", fix="give --database IDENTIFIER")
        return self.database


class Fault(Protocol):
    """One way to break something, for one place. Calls are made in this order; `undo` is always
    called once `inject` was begun, and may be called twice."""

    def prepare(self) -> None:
        """Looks, changes nothing. NotTried: it cannot be done here."""
        ...

    def inject(self) -> None:
        """NotTried, when only trying shows it."""
        ...

    def proof(self) -> str | None:
        """What is seen that shows that it happened; None as long as nothing does."""
        ...

    def is_held(self) -> bool:
        """Whether it lasts until `undo`, which is then called after hold_s."""
        ...

    def undo(self) -> None:
        """What the fault itself changed is put back."""
        ...

    def is_over(self) -> bool:
        """Whether nothing of the fault is left (the service's own recovery is looked at apart)."""
        ...


class Plain:
    """What most faults do not need."""

    def prepare(self) -> None:
        return None

    def is_held(self) -> bool:
        return False

    def undo(self) -> None:
        return None

    def is_over(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Writes:
    """Sequence numbers that were written through the fault and read back. missing: acknowledged,
    and then not there. retried: tried again after an error; unsure: given up, outcome unknown."""

    acknowledged: int
    retried: int
    unsure: int
    missing: tuple[int, ...]
    longest_gap_s: float | None


@dataclass(frozen=True, slots=True)
class Requests:
    sent: int
    failed: int
    failed_before: int
    retried: int
    causes: tuple[tuple[str, int], ...]
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class FaultResult:
    """outcome: held, broke or not tried. t_ in epoch seconds. events: (t, what was seen).
    recover_s: from the injection; from the undo where the fault was held (details say which)."""

    name: str
    title: str
    outcome: str
    reason: str
    t_injected: float | None = None
    proof: str | None = None
    detect_s: float | None = None
    recover_s: float | None = None
    is_steady_before: bool | None = None
    is_steady_after: bool | None = None
    was_steady_during: float | None = None
    """Share of the looks during the fault at which all was steady."""
    requests: Requests | None = None
    writes: Writes | None = None
    undo: str = "nothing to undo"
    events: tuple[tuple[float, str], ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
