"""One real PostgreSQL server: made, started, followed, promoted, stopped."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from hikkoshi.base.errors import CannotRun, DeadlinePassed
from hikkoshi.region.engine.instances import Instance
from hikkoshi.region.rds.engine import Observer, Secrets, ServerSilent
from hikkoshi.region.rds.passwords import scram_verifier
from hikkoshi.region.rds.postgresql.binaries import Binaries
from hikkoshi.region.rds.postgresql.configuration import (
    ADMIN,
    ADMIN_DATABASE,
    OUR_APPLICATION,
    REPLICATION,
    Following,
    ServerConfiguration,
    conninfo,
    render_configuration,
    render_hba,
)
from hikkoshi.region.rds.postgresql.observer import PostgresObserver
from hikkoshi.region.rds.running import UID, Running, tail

START_DEADLINE_S = 30.0
POLL_S = 0.02


async def create_data(
    instance: Instance, binaries: Binaries, directory: Path, secrets: Secrets
) -> None:
    """initdb into `directory`/data. Raises CannotRun with what initdb said."""
    directory.mkdir(parents=True, exist_ok=True)
    argv = [
        binaries.path("initdb"),
        f"--pgdata={directory / 'data'}",
        f"--username={ADMIN}",
        "--pwfile=/dev/stdin",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
    ]
    code, output = await instance.run(
        argv,
        environment=binaries.environment(),
        uid=UID,
        writable=[directory],
        input=secrets.admin.encode() + b"\n",
    )
    if code != 0:
        raise CannotRun(f"initdb failed with {code}: {tail(output)}")


class PostgresServer:
    """A PostgreSQL server in its instance's network namespace, with its data under `directory`.

    on_exit is called on the loop when the server ends without having been asked to."""

    def __init__(
        self,
        instance: Instance,
        binaries: Binaries,
        configuration: ServerConfiguration,
        secrets: Secrets,
        on_exit: Callable[[], None],
    ) -> None:
        self.instance = instance
        self.configuration = configuration
        self.running = Running(instance, "postgres", on_exit)
        self.observer: Observer = PostgresObserver(self)
        self._binaries = binaries
        self._secrets = secrets
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._asking = asyncio.Lock()

    @property
    def directory(self) -> Path:
        return self.configuration.directory

    @property
    def log_file(self) -> Path:
        return self.directory / "log" / "postgresql.json"

    @property
    def is_running(self) -> bool:
        return self.running.is_alive

    def configure(self, **changes: Any) -> None:
        """Writes the configuration with these changes; `reload` or a start makes it hold."""
        self.configuration = replace(self.configuration, **changes)
        self.directory.mkdir(parents=True, exist_ok=True)
        for name, text in (
            ("postgresql.conf", render_configuration(self.configuration)),
            ("pg_hba.conf", render_hba(self.configuration.gateway)),
        ):
            path = self.directory / name
            fresh = path.with_suffix(".new")
            fresh.write_text(text)
            fresh.chmod(0o644)
            fresh.rename(path)

    @property
    def has_data(self) -> bool:
        return (self.directory / "data" / "PG_VERSION").exists()

    async def renew_secrets(self) -> None:
        """Give the region's own roles the passwords of this life of the region, since those of the
        one that was killed were written nowhere; the server must not run. PostgreSQL's single-user
        mode asks for no password. Raises CannotRun."""
        self._mark_role()
        self._forget_process()
        roles = ((ADMIN, self._secrets.admin), (REPLICATION, self._secrets.replication))
        statements = "".join(
            f"ALTER ROLE {role} PASSWORD '{scram_verifier(password)}';\n"
            for role, password in roles
        )
        await self._run_tool(
            "postgres",
            "--single",
            "-D",
            str(self.directory / "data"),
            "-c",
            f"config_file={self.directory / 'postgresql.conf'}",
            "-c",
            "exit_on_error=on",
            ADMIN_DATABASE,
            input=statements.encode(),
        )

    async def reload(self) -> None:
        await self.ask("SELECT pg_reload_conf()")

    async def start(self) -> None:
        """Started and answering. Raises CannotRun with the end of the server's log."""
        self._mark_role()
        self._forget_process()
        log = self.directory / "startup.log"
        argv = [
            self._binaries.path("postgres"),
            "-D",
            str(self.directory / "data"),
            "-c",
            f"config_file={self.directory / 'postgresql.conf'}",
        ]
        await self.running.start(
            argv,
            environment=self._binaries.environment(self._secrets.replication),
            writable=[self.directory],
            log=log,
        )
        await self._wait_until_it_answers(log)

    async def stop(self, *, is_hard: bool) -> None:
        """Ends it; hard: as a crash does, without a word to its clients. Never raises."""
        was_there = await self.running.stop(signal.SIGQUIT if is_hard else signal.SIGINT)
        await self.forget_connection()
        if was_there:
            self._forget_process()

    async def copy_from(self, source: Following) -> None:
        """Data by pg_basebackup from a running server, in place of what was there."""
        data = self.directory / "data"
        if data.exists():
            shutil.rmtree(data)
        self.directory.mkdir(parents=True, exist_ok=True)
        await self._run_tool(
            "pg_basebackup",
            f"--pgdata={data}",
            f"--host={source.address}",
            f"--port={source.port}",
            f"--username={REPLICATION}",
            "--checkpoint=fast",
            "--wal-method=stream",
            "--no-sync",
            "--no-manifest",
            "--no-password",
        )

    async def rewind_to(self, source: Following) -> bool:
        """Bring the data of a stopped former writer onto the new one's line; False: it cannot be
        done, and only a copy helps."""
        try:
            await self._run_tool(
                "pg_rewind",
                f"--target-pgdata={self.directory / 'data'}",
                f"--source-server={conninfo(source, self.configuration.name)}",
                "--no-sync",
            )
        except CannotRun:
            return False
        return True

    async def promote(self, timeout_s: float = 30.0) -> None:
        """From standby to writer, after all that was received has been replayed."""
        rows = await self.ask("SELECT pg_promote(true, %s)", (int(timeout_s),))
        if not rows or rows[0][0] is not True:
            raise DeadlinePassed(
                f"the standby {self.configuration.name} was not promoted within {timeout_s:.0f} s"
            )
        self.configure(following=None)

    async def ask(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """One statement on the region's own connection; rows, or [] if it has none.
        Raises ServerSilent; the next call connects again."""
        async with self._asking:
            try:
                connection = self._connection
                if connection is None or connection.closed:
                    connection = self._connection = await self.connect()
                cursor = await connection.execute(query.encode(), values or None)
                return await cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                if isinstance(error, psycopg.OperationalError):
                    await self.forget_connection()
                raise ServerSilent(str(error)) from error

    async def connect(
        self, database: str = ADMIN_DATABASE
    ) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        return await psycopg.AsyncConnection.connect(
            host=self.configuration.address,
            port=self.configuration.port,
            user=ADMIN,
            password=self._secrets.admin,
            dbname=database,
            application_name=OUR_APPLICATION,
            connect_timeout=3,
            autocommit=True,
            sslmode="disable",
        )

    async def forget_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _forget_process(self) -> None:
        """Its server has ended: this file would name a process that is gone, whose number may be
        another's by now."""
        (self.directory / "data" / "postmaster.pid").unlink(missing_ok=True)

    def _mark_role(self) -> None:
        mark = self.directory / "data" / "standby.signal"
        if self.configuration.following is None:
            mark.unlink(missing_ok=True)
        else:
            mark.touch()
            mark.chmod(0o666)

    async def _wait_until_it_answers(self, log: Path) -> None:
        deadline = time.monotonic() + START_DEADLINE_S
        while True:
            if not self.is_running:
                raise CannotRun(
                    f"PostgreSQL {self.configuration.name} did not start: {self._last_words(log)}"
                )
            try:
                connection = await self.connect("postgres")
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise DeadlinePassed(
                        f"PostgreSQL {self.configuration.name} did not answer within "
                        f"{START_DEADLINE_S:.0f} s: {error}"
                    ) from error
                await asyncio.sleep(POLL_S)
            else:
                await connection.close()
                return

    async def _run_tool(self, program: str, *arguments: str, input: bytes = b"") -> None:
        code, output = await self.instance.run(
            [self._binaries.path(program), *arguments],
            environment=self._binaries.environment(self._secrets.replication),
            uid=UID,
            writable=[self.directory],
            input=input,
            timeout_s=300.0,
        )
        if code != 0:
            raise CannotRun(f"{program} for {self.configuration.name} failed: {tail(output)}")

    def _last_words(self, log: Path) -> str:
        texts = [path.read_bytes() for path in (log, self.log_file) if path.exists()]
        return tail(b"\n".join(texts)) or "it said nothing"
