"""A connection to a MariaDB server, blocking; loaded only where there is such a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pymysql
from pymysql.constants import CR

from hikkoshi.region.rds.engine import ServerSilent

ANSWER_S = 15
"""The longest that one statement of the region's own may take."""

Rows = list[tuple[Any, ...]]


class Refused(ServerSilent):
    """The server answered, with an error; the connection is good."""


class Connection:
    """Autocommitting, as the region's own account. All raise ServerSilent."""

    def __init__(self, host: str, port: int, user: str, password: str, database: str) -> None:
        try:
            self._connection = pymysql.connect(
                host=host,
                port=port,
                user=user,
                password=password,
                database=database,
                connect_timeout=3,
                read_timeout=ANSWER_S,
                write_timeout=ANSWER_S,
                autocommit=True,
                charset="utf8mb4",
            )
        except (pymysql.Error, OSError) as error:
            raise ServerSilent(f"{host}:{port}: {words_of(error)}") from error

    def execute(self, query: str, values: Sequence[Any] = ()) -> tuple[Rows, list[str]]:
        """(rows, names of their columns); both empty for a statement without rows."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(query, tuple(values) or None)
                names = [column[0] for column in cursor.description or ()]
                return list(cursor.fetchall()), names
        except (pymysql.Error, OSError) as error:
            number = error.args[0] if error.args else 0
            is_lost = not isinstance(error, pymysql.MySQLError) or number in _LOST or not number
            raise (ServerSilent if is_lost else Refused)(words_of(error)) from error

    def select(self, database: str) -> None:
        try:
            self._connection.select_db(database)
        except (pymysql.Error, OSError) as error:
            raise ServerSilent(words_of(error)) from error

    def drop(self) -> None:
        """Without a word to the server, which may not be there."""
        self._connection._force_close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()


_LOST = (
    CR.CR_SERVER_GONE_ERROR,
    CR.CR_SERVER_LOST,
    CR.CR_CONN_HOST_ERROR,
    # The server is shutting down; the connection was killed.
    1053,
    1927,
)


def words_of(error: Exception) -> str:
    """The server's own words, without the driver's tuple."""
    return str(error.args[-1]) if error.args else type(error).__name__
