"""Aurora PostgreSQL: real PostgreSQL servers with synchronous streaming replication."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from hikkoshi.region.engine.instances import Ground, Instance
from hikkoshi.region.rds.engine import POSTGRESQL, Place, Secrets, ServerSilent
from hikkoshi.region.rds.passwords import scram_verifier
from hikkoshi.region.rds.postgresql.binaries import find_binaries
from hikkoshi.region.rds.postgresql.bootstrap import furnish
from hikkoshi.region.rds.postgresql.configuration import ServerConfiguration
from hikkoshi.region.rds.postgresql.parameters import (
    AT_LEAST_AS_ON_WRITER,
    PostgresParameters,
    effective,
    learn,
)
from hikkoshi.region.rds.postgresql.replication import StreamingReplication
from hikkoshi.region.rds.postgresql.server import PostgresServer, create_data
from hikkoshi.region.rds.running import UID

_VERSION = re.compile(r"(1[1-8])(?:\.\d+)?")
_FAMILY = re.compile(r"aurora-postgresql(1[1-8])")


class PostgresEngine:
    """As the protocol DatabaseEngine says. `check`: a directory of its own for judging values."""

    name = POSTGRESQL
    title = "Aurora (PostgreSQL)"
    versions = ("17.4", "16.8", "15.12")
    default_port = 5432
    reserved_names = frozenset(
        {"rdsadmin", "rdsrepladmin", "postgres_admin", "rds_superuser", "admin"}
    )
    played_by = "PostgreSQL 18 with synchronous streaming replication, fsync off"
    sizes: Mapping[str, int] = AT_LEAST_AS_ON_WRITER

    def __init__(self, ground: Ground, check: Path) -> None:
        self.replication = StreamingReplication()
        self._ground = ground
        self._check = check
        self._binaries = find_binaries()
        self._parameters: PostgresParameters | None = None

    def check_installed(self) -> None:
        """It is a dependency, and was found when this was made."""

    def family(self, version: str) -> str | None:
        match = _VERSION.fullmatch(version)
        return f"aurora-postgresql{match.group(1)}" if match else None

    def is_family(self, family: str) -> bool:
        return _FAMILY.fullmatch(family) is not None

    def verifier(self, password: str) -> str:
        return scram_verifier(password)

    def effective(
        self, values: Mapping[str, str], instance_class: str, memory_bytes: int
    ) -> dict[str, str]:
        return effective(values, memory_bytes)

    async def parameters(self) -> PostgresParameters:
        if self._parameters is None:
            self._parameters = await learn(self._binaries, self._run, self._check)
        return self._parameters

    async def create_data(self, directory: Path, secrets: Secrets) -> None:
        await create_data(self._ground.region_instance(), self._binaries, directory, secrets)

    def server(
        self, instance: Instance, place: Place, secrets: Secrets, on_exit: Callable[[], None]
    ) -> PostgresServer:
        configuration = ServerConfiguration(
            name=place.name,
            address=place.address,
            port=place.port,
            gateway=place.gateway,
            directory=place.directory,
            parameters=place.parameters,
        )
        return PostgresServer(instance, self._binaries, configuration, secrets, on_exit)

    async def furnish(
        self,
        server: PostgresServer,
        secrets: Secrets,
        master: str,
        verifier: str,
        database: str | None,
    ) -> None:
        try:
            await furnish(server, secrets, master, verifier, database)
        except psycopg.Error as error:
            raise ServerSilent(str(error)) from error

    async def change_password(self, writer: PostgresServer, user: str, verifier: str) -> None:
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(
            sql.Identifier(user), sql.Literal(verifier)
        )
        await writer.ask(statement.as_string())

    async def _run(self, argv: Sequence[str]) -> tuple[int, str]:
        code, output = await self._ground.region_instance().run(
            argv, environment=self._binaries.environment(), uid=UID
        )
        return code, output.decode(errors="replace")
