"""One real MariaDB server: made, started, asked, stopped."""

from __future__ import annotations

import asyncio
import secrets as randoms
import shutil
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hikkoshi.base.errors import CannotRun, DeadlinePassed
from hikkoshi.region.engine.instances import Instance
from hikkoshi.region.rds.engine import Observer, Secrets, ServerSilent
from hikkoshi.region.rds.mariadb.configuration import (
    ADMIN,
    ADMIN_DATABASE,
    ServerConfiguration,
    render_accounts,
    render_configuration,
)
from hikkoshi.region.rds.mariadb.observer import MariadbObserver
from hikkoshi.region.rds.mariadb.parameters import VARIABLES
from hikkoshi.region.rds.mariadb.passwords import native_verifier
from hikkoshi.region.rds.mariadb.programs import Programs
from hikkoshi.region.rds.running import UID, Running, tail

if TYPE_CHECKING:
    from hikkoshi.region.rds.mariadb.driver import Connection, Rows

START_DEADLINE_S = 60.0
POLL_S = 0.05


async def create_template(instance: Instance, programs: Programs, directory: Path) -> None:
    """An empty server's data by mariadb-install-db, in `directory`. Raises CannotRun."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    argv = [
        programs.install,
        "--no-defaults",
        f"--datadir={directory}",
        # Its accounts are gone before the server answers for the first time: render_accounts.
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
        "--innodb-log-file-size=8M",
        "--innodb-flush-method=nosync",
        "--skip-sync-frm",
    ]
    code, output = await instance.run(
        argv,
        environment=programs.environment(),
        uid=UID,
        writable=[directory.parent],
        timeout_s=180.0,
    )
    if code != 0:
        raise CannotRun(f"mariadb-install-db failed with {code}: {tail(output)}")


def lay_out(template: Path, directory: Path) -> None:
    """A server's own empty data in `directory`, in place of what was there. Its id is of these data
    alone: a server passes over what it finds to be its own in another's log."""
    shutil.rmtree(directory / "data", ignore_errors=True)
    shutil.copytree(template, directory / "data")
    (directory / "data" / "hikkoshi-server-id").write_text(str(1 + randoms.randbelow(2**31 - 2)))


class MariadbServer:
    """A MariaDB server in its instance's network namespace, with its data under `directory`.

    on_exit is called on the loop when the server ends without having been asked to."""

    def __init__(
        self,
        instance: Instance,
        programs: Programs,
        configuration: ServerConfiguration,
        secrets: Secrets,
        template: Callable[[], Awaitable[Path]],
        on_exit: Callable[[], None],
    ) -> None:
        self.configuration = configuration
        self.running = Running(instance, "mariadbd", on_exit)
        self.observer: Observer = MariadbObserver(self)
        self.secrets = secrets
        self._programs = programs
        self._template = template
        self._connection: Connection | None = None
        self._asking = threading.Lock()

    @property
    def directory(self) -> Path:
        return self.configuration.directory

    @property
    def log_file(self) -> Path:
        return self.directory / "log" / "error.log"

    @property
    def slow_log_file(self) -> Path:
        return self.directory / "log" / "slow.log"

    @property
    def sql_error_file(self) -> Path:
        return self.directory / "log" / "sql_errors.log"

    @property
    def is_running(self) -> bool:
        return self.running.is_alive

    @property
    def has_data(self) -> bool:
        return (self.directory / "data" / "ibdata1").exists()

    def configure(self, **changes: Any) -> None:
        """Writes the configuration with these changes; `reload` or a start makes it hold."""
        configuration = replace(self.configuration, **changes)
        known = self.directory / "data" / "hikkoshi-server-id"
        if known.exists():
            configuration = replace(configuration, server_id=int(known.read_text()))
        self.configuration = configuration
        for name in ("", "tmp", "log"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        admin, replication = map(native_verifier, (self.secrets.admin, self.secrets.replication))
        for name, text in (
            ("mariadb.cnf", render_configuration(configuration)),
            ("accounts.sql", render_accounts(configuration.gateway, admin, replication)),
        ):
            fresh = self.directory / f"{name}.new"
            fresh.write_text(text)
            fresh.chmod(0o600)
            fresh.rename(self.directory / name)

    async def renew_secrets(self) -> None:
        """Every start gives the region's own accounts the passwords of this life."""

    async def empty(self) -> None:
        """Data of a server that has never been used, in place of its own; it does not run."""
        await asyncio.to_thread(lay_out, await self._template(), self.directory)

    async def start(self) -> None:
        """Started and answering; a reader goes on following. Raises CannotRun with the end of the
        server's log."""
        await self.launch()
        # Its data may be those of a former reader.
        is_reader = self.configuration.following is not None
        await self.ask("START SLAVE" if is_reader else "RESET SLAVE ALL")

    async def launch(self) -> None:
        """Started and answering, following nobody yet. Raises CannotRun."""
        self.configure()
        log = self.directory / "startup.log"
        argv = [self._programs.server, f"--defaults-file={self.directory / 'mariadb.cnf'}"]
        await self.running.start(
            argv, environment=self._programs.environment(), writable=[self.directory], log=log
        )
        await self._wait_until_it_answers(log)

    async def stop(self, *, is_hard: bool) -> None:
        """Ends it; hard: as a crash does, without a word to its clients. Never raises."""
        await self.running.stop(signal.SIGKILL if is_hard else signal.SIGTERM)
        await asyncio.to_thread(self._forget)

    async def reload(self) -> None:
        """The parameters that MariaDB can change while it runs. Raises ServerSilent."""
        rows = await self.ask(
            "SELECT LOWER(VARIABLE_NAME) FROM information_schema.SYSTEM_VARIABLES "
            "WHERE READ_ONLY = 'NO' AND VARIABLE_SCOPE <> 'SESSION ONLY'"
        )
        dynamic = {str(name) for (name,) in rows}
        for name, value in self.configuration.parameters.items():
            variable = VARIABLES.get(name, name)
            if variable in dynamic:
                await self.ask(f"SET GLOBAL {variable} = {_literal(value)}")

    async def ask(self, query: str, values: Sequence[Any] = ()) -> Rows:
        """One statement on the region's own connection; its rows, [] if it has none.
        Raises ServerSilent; the next call connects again."""
        return await asyncio.to_thread(self.ask_now, query, values)

    async def ask_named(self, query: str) -> dict[str, Any]:
        """The first row by its columns' names; {} without a row."""
        return await asyncio.to_thread(self._ask_named, query)

    def ask_now(self, query: str, values: Sequence[Any] = ()) -> Rows:
        return self._ask(query, values)[0]

    def connect(self) -> Connection:
        """Blocks. Raises ServerSilent."""
        from hikkoshi.region.rds.mariadb.driver import Connection

        own = self.configuration
        return Connection(own.address, own.own_port, ADMIN, self.secrets.admin, ADMIN_DATABASE)

    def _ask_named(self, query: str) -> dict[str, Any]:
        rows, names = self._ask(query, ())
        return dict(zip(names, rows[0], strict=True)) if rows else {}

    def _ask(self, query: str, values: Sequence[Any]) -> tuple[Rows, list[str]]:
        from hikkoshi.region.rds.mariadb.driver import Refused

        with self._asking:
            try:
                if self._connection is None:
                    self._connection = self.connect()
                return self._connection.execute(query, values)
            except Refused:
                raise
            except ServerSilent:
                self._drop()
                raise

    def _forget(self) -> None:
        with self._asking:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.drop()

    async def _wait_until_it_answers(self, log: Path) -> None:
        deadline = time.monotonic() + START_DEADLINE_S
        while True:
            if not self.is_running:
                raise CannotRun(
                    f"MariaDB {self.configuration.name} did not start: {self._last_words(log)}"
                )
            try:
                await self.ask("SELECT 1")
            except ServerSilent as error:
                if time.monotonic() > deadline:
                    raise DeadlinePassed(
                        f"MariaDB {self.configuration.name} did not answer within "
                        f"{START_DEADLINE_S:.0f} s: {error}"
                    ) from error
                await asyncio.sleep(POLL_S)
            else:
                return

    def _last_words(self, log: Path) -> str:
        texts = [path.read_bytes() for path in (log, self.log_file) if path.exists()]
        return tail(b"\n".join(texts)) or "it said nothing"


def _literal(value: str) -> str:
    """Numbers and words as they are; the rest quoted."""
    try:
        float(value)
    except ValueError:
        return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    return value
