"""A project's own database, asked from this machine in the language of its engine."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import psycopg

from hikkoshi.base.errors import BadInput, CannotRun

POSTGRESQL = "aurora-postgresql"
MYSQL = "aurora-mysql"

# The family of the version that the region, or AWS, takes by default for each.
FAMILIES = {POSTGRESQL: "aurora-postgresql17", MYSQL: "aurora-mysql8.0"}
PORTS = {POSTGRESQL: 5432, MYSQL: 3306}


class Client(Protocol):
    """One connection, in autocommit."""

    def run_file(self, path: Path) -> None:
        """All statements of a file. Raises BadInput with the server's word and the line, where it
        tells one."""
        ...

    def finish(self) -> None:
        """What the evidence needs of a database whose schema is there."""
        ...

    def __enter__(self) -> Client: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...  # fmt: skip


def connect(engine: str, host: str, port: int, name: str, user: str, password: str) -> Client:
    """Raises CannotRun."""
    made = MysqlClient if engine == MYSQL else PostgresClient
    return made(host, port, name, user, password)


class PostgresClient:
    def __init__(self, host: str, port: int, name: str, user: str, password: str) -> None:
        try:
            self._connection = psycopg.connect(
                host=host,
                port=port,
                dbname=name,
                user=user,
                password=password,
                connect_timeout=5,
                application_name="hikkoshi",
                autocommit=True,
            )
        except psycopg.Error as error:
            raise CannotRun(f"the database {name} cannot be reached: {error}") from error

    def run_file(self, path: Path) -> None:
        text = path.read_text("utf-8")
        try:
            # No parameters: the simple protocol takes a whole file of statements.
            self._connection.execute(text.encode())
        except psycopg.Error as error:
            position = error.diag.statement_position
            line = f":{text.count(chr(10), 0, int(position)) + 1}" if position else ""
            raise BadInput(
                f"PostgreSQL refuses this: {str(error).splitlines()[0]}", where=f"{path}{line}"
            ) from error

    def finish(self) -> None:
        try:
            self._connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        except psycopg.Error:
            return

    def __enter__(self) -> PostgresClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


class MysqlClient:
    """The driver is loaded here, since few projects need it."""

    def __init__(self, host: str, port: int, name: str, user: str, password: str) -> None:
        import pymysql
        from pymysql.constants import CLIENT

        self._errors: Any = pymysql.MySQLError
        try:
            self._connection = pymysql.connect(
                host=host,
                port=port,
                database=name,
                user=user,
                password=password,
                connect_timeout=5,
                autocommit=True,
                charset="utf8mb4",
                client_flag=CLIENT.MULTI_STATEMENTS,
            )
        except pymysql.MySQLError as error:
            raise CannotRun(f"the database {name} cannot be reached: {error.args[-1]}") from error

    def run_file(self, path: Path) -> None:
        """The server splits the statements; DELIMITER is a word of the client program's, which it
        does not know."""
        text = path.read_text("utf-8")
        if not text.strip():
            return
        number = 1
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(text)
                while cursor.nextset():
                    number += 1
        except self._errors as error:
            raise BadInput(
                f"MariaDB refuses statement {number}: {error.args[-1]}", where=str(path)
            ) from error

    def finish(self) -> None:
        """performance_schema counts from the server's start."""

    def __enter__(self) -> MysqlClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
