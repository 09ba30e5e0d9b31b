"""Aurora MySQL: real MariaDB servers with semi-synchronous replication by GTID."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.engine.instances import Ground, Instance
from hikkoshi.region.rds.engine import MYSQL, Place, Secrets
from hikkoshi.region.rds.mariadb.configuration import ServerConfiguration
from hikkoshi.region.rds.mariadb.parameters import MariadbParameters, effective
from hikkoshi.region.rds.mariadb.passwords import native_verifier
from hikkoshi.region.rds.mariadb.programs import find_programs
from hikkoshi.region.rds.mariadb.replication import GtidReplication
from hikkoshi.region.rds.mariadb.server import MariadbServer, create_template, lay_out
from hikkoshi.region.rds.running import UID

_VERSION = re.compile(r"8\.0(?:\.mysql_aurora\.3\.\d+\.\d+)?")

# What RDS grants its master user, in MariaDB's names. Source: RDS's page "Master user account
# privileges".
_GRANTS = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, "
    "SHOW DATABASES, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, "
    "REPLICATION CLIENT, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, "
    "EVENT, TRIGGER"
)


class MariadbEngine:
    """As the protocol DatabaseEngine says. `template`: where an empty server's data are kept, of
    which every server begins as a copy."""

    name = MYSQL
    title = "Aurora MySQL"
    versions = ("8.0.mysql_aurora.3.08.2", "8.0.mysql_aurora.3.04.4")
    default_port = 3306
    reserved_names = frozenset({"rdsadmin", "rdsrepladmin", "root", "mysql", "mariadb.sys"})
    sizes: Mapping[str, int] = {}

    def __init__(self, ground: Ground, template: Path) -> None:
        self.replication = GtidReplication()
        self._ground = ground
        self._template = template
        self._making = asyncio.Lock()
        self._is_made = False

    @property
    def played_by(self) -> str:
        return (
            f"MariaDB {find_programs().version} with semi-synchronous replication by GTID; "
            "commits are not flushed to the disk"
        )

    def check_installed(self) -> None:
        find_programs()

    def family(self, version: str) -> str | None:
        return "aurora-mysql8.0" if _VERSION.fullmatch(version) else None

    def is_family(self, family: str) -> bool:
        return family == "aurora-mysql8.0"

    def verifier(self, password: str) -> str:
        return native_verifier(password)

    def effective(
        self, values: Mapping[str, str], instance_class: str, memory_bytes: int
    ) -> dict[str, str]:
        return effective(values, instance_class, memory_bytes)

    async def parameters(self) -> MariadbParameters:
        return MariadbParameters(find_programs(), self._run)

    async def create_data(self, directory: Path, secrets: Secrets) -> None:
        await asyncio.to_thread(lay_out, await self._prepared(), directory)

    def server(
        self, instance: Instance, place: Place, secrets: Secrets, on_exit: Callable[[], None]
    ) -> MariadbServer:
        configuration = ServerConfiguration(
            name=place.name,
            address=place.address,
            port=place.port,
            gateway=place.gateway,
            directory=place.directory,
            parameters=place.parameters,
        )
        return MariadbServer(
            instance, find_programs(), configuration, secrets, self._prepared, on_exit
        )

    async def furnish(
        self,
        server: MariadbServer,
        secrets: Secrets,
        master: str,
        verifier: str,
        database: str | None,
    ) -> None:
        if database is not None:
            await server.ask(f"CREATE DATABASE IF NOT EXISTS `{_checked(database)}`")
        user = f"`{_checked(master)}`@'%%'"
        await server.ask(
            f"CREATE USER IF NOT EXISTS {user} IDENTIFIED VIA mysql_native_password USING %s",
            (verifier,),
        )
        await server.ask(f"GRANT {_GRANTS} ON *.* TO {user.replace('%%', '%')} WITH GRANT OPTION")

    async def change_password(self, writer: MariadbServer, user: str, verifier: str) -> None:
        await writer.ask(
            f"ALTER USER `{_checked(user)}`@'%%' IDENTIFIED VIA mysql_native_password USING %s",
            (verifier,),
        )

    async def _prepared(self) -> Path:
        async with self._making:
            if not self._is_made:
                await create_template(
                    self._ground.region_instance(), find_programs(), self._template
                )
                self._is_made = True
        return self._template

    async def _run(self, argv: Sequence[str]) -> tuple[int, str]:
        code, output = await self._ground.region_instance().run(
            argv, environment=find_programs().environment(), uid=UID
        )
        return code, output.decode(errors="replace")


def _checked(name: str) -> str:
    """Names come through RDS's own rules for them; none has a backquote."""
    if "`" in name:
        raise CannotRun(f"{name!r} is no name for MariaDB")
    return name
