"""What the room asks of a database engine. Two answer: PostgreSQL for Aurora PostgreSQL, MariaDB
for Aurora MySQL; nothing outside their folders names either.

An engine's functions that take two servers are only ever given its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.engine.instances import Instance

POSTGRESQL = "aurora-postgresql"
MYSQL = "aurora-mysql"


class ServerSilent(CannotRun):
    """A database server did not answer, or refused a statement of the region's own."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """The region's own passwords, kept in memory only."""

    admin: str
    replication: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is to be, and what it is told: `parameters` are those in force."""

    name: str
    address: str
    port: int
    gateway: str
    directory: Path
    parameters: Mapping[str, str] = field(default_factory=dict)


class Known(Protocol):
    """One parameter that the engine has."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def default(self) -> str: ...
    @property
    def data_type(self) -> str: ...
    @property
    def allowed(self) -> str | None: ...
    @property
    def is_static(self) -> bool: ...
    @property
    def is_modifiable(self) -> bool: ...


class Parameters(Protocol):
    """What the installed server knows of parameters, and how it judges them."""

    @property
    def known(self) -> Mapping[str, Known]: ...

    def find(self, name: str) -> Known | None:
        """A parameter, those included that no list has (a library's)."""
        ...

    def is_of_aws(self, name: str) -> bool:
        """Whether AWS's family has a parameter of that name, though the server here has not."""
        ...

    async def complaint(self, values: Mapping[str, str]) -> str | None:
        """The server's own word against these values, formulas worked out; None: it takes them."""
        ...


Statement = tuple[str, str, int, int, float]
"""queryid, text, calls, rows, seconds; cumulative."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Of one moment: columns of `database`, and rows of `database_clients` and
    `database_sessions`."""

    activity: Mapping[str, Any]
    clients: Sequence[Mapping[str, Any]]
    sessions: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Scanned:
    """Rows of `table_scans` and of `scan_plans`."""

    tables: Sequence[Mapping[str, Any]]
    plans: Sequence[Mapping[str, Any]]


class Observer(Protocol):
    """What one server tells of the application that uses it; nothing of the region's own sessions.
    All but `log_rows` raise ServerSilent."""

    async def sample(self) -> Sample: ...

    async def statements(self) -> list[Statement]: ...

    async def scans(self, *, with_plans: bool) -> Scanned: ...

    def log_rows(self, now: float) -> list[dict[str, Any]]:
        """New rows of `database_log`, without the instance."""
        ...


class Configured(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def parameters(self) -> Mapping[str, str]: ...


class Server(Protocol):
    """One real server in its instance's network namespace."""

    @property
    def configuration(self) -> Configured: ...
    @property
    def directory(self) -> Path: ...
    @property
    def observer(self) -> Observer: ...
    @property
    def is_running(self) -> bool: ...
    @property
    def has_data(self) -> bool: ...

    def configure(self, *, parameters: Mapping[str, str] | None = None) -> None:
        """Write the configuration, with these parameters if they are given; `reload` or a start
        makes it hold."""
        ...

    async def renew_secrets(self) -> None:
        """Give the region's own accounts the passwords of this life of the region, since those of
        the one that was killed were written nowhere; it does not run. Raises CannotRun."""
        ...

    async def start(self) -> None:
        """Started and answering. Raises CannotRun with the end of the server's log."""
        ...

    async def stop(self, *, is_hard: bool) -> None:
        """Ends it; hard: as a crash does, without a word to its clients. Never raises."""
        ...

    async def reload(self) -> None:
        """Make the parameters hold that need no restart. Raises ServerSilent."""
        ...


S = TypeVar("S", bound=Server)
C = TypeVar("C", bound=Server, contravariant=True)


class Replication(Protocol[C]):
    """Readers and the writer that they follow. A position is a number that grows with each commit,
    the same on all servers of a cluster. All raise CannotRun or DeadlinePassed."""

    async def join(self, server: C, writer: C, *, has_data: bool) -> None:
        """Start a server as a reader, and wait until it follows. Data of its own are brought onto
        the writer's line where that can be done; else it becomes a fresh copy."""
        ...

    async def resume(self, server: C, writer: C) -> None:
        """The same on data that it had when it and its writer were killed together."""
        ...

    async def wait_for_commits_on(self, writer: C, readers: Sequence[C]) -> None:
        """From now on a commit is acknowledged only when no failover to one of these can lose it;
        they also have all that was acknowledged before."""
        ...

    async def cut_off(self, target: C, others: Sequence[C]) -> int:
        """The writer has ended: wait until `target` has all that was acknowledged. Where it got
        to."""
        ...

    async def promote(self, target: C) -> None:
        """From reader to writer, after all that was received has been applied."""
        ...

    async def follow(self, server: C, writer: C, promoted_at: int) -> None:
        """Turn a running reader to a new writer, promoted at that position."""
        ...

    async def replayed(self, server: C, writer: C) -> None:
        """Wait until a reader has applied all that the writer has written until now."""
        ...


class DatabaseEngine(Protocol[S]):
    """One of RDS's engines. `name` and versions are AWS's; versions: newest first."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def versions(self) -> Sequence[str]: ...
    @property
    def default_port(self) -> int: ...
    @property
    def reserved_names(self) -> frozenset[str]:
        """Names that no master user may have."""
        ...

    @property
    def played_by(self) -> str:
        """For the report."""
        ...

    @property
    def replication(self) -> Replication[S]: ...
    @property
    def sizes(self) -> Mapping[str, int]:
        """Parameters of which a reader must have at least as much as its writer, with what they
        are when nothing is set; they change by a reboot only."""
        ...

    def check_installed(self) -> None:
        """Raises CannotRun with the fix where its programs are missing."""
        ...

    def family(self, version: str) -> str | None:
        """The parameter group family of a version; None for a version that AWS has not."""
        ...

    def is_family(self, family: str) -> bool: ...

    def verifier(self, password: str) -> str:
        """What the server stores of a password: it cannot be read from that."""
        ...

    def effective(
        self, values: Mapping[str, str], instance_class: str, memory_bytes: int
    ) -> dict[str, str]:
        """A group's values as the server is to have them."""
        ...

    async def parameters(self) -> Parameters:
        """Asked of the installed server when first needed. Raises CannotRun."""
        ...

    async def create_data(self, directory: Path, secrets: Secrets) -> None:
        """A cluster's empty volume. Raises CannotRun with what the program said."""
        ...

    def server(
        self, instance: Instance, place: Place, secrets: Secrets, on_exit: Callable[[], None]
    ) -> S:
        """on_exit is called on the loop when it ends without having been asked to."""
        ...

    async def furnish(
        self, server: S, secrets: Secrets, master: str, verifier: str, database: str | None
    ) -> None:
        """What a cluster has from the first moment: accounts and databases. The master is no
        superuser, as on AWS. Raises ServerSilent."""
        ...

    async def change_password(self, writer: S, user: str, verifier: str) -> None: ...


Run = Callable[[Sequence[str]], Awaitable[tuple[int, str]]]
"""A program run to its end in the region's own namespace: (exit code, what it said)."""
