"""Aurora MySQL in the RDS room's house: on real MariaDB servers, where MariaDB is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pytest
from rds_house import PASSWORD, House, house

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.rds.mariadb.programs import find_programs


def missing() -> str | None:
    try:
        find_programs()
    except CannotRun as error:
        return f"{error.what}: no test of Aurora MySQL ran"
    return None


@dataclass
class MariaHouse:
    """The house, with clusters of MariaDB."""

    house: House

    def __getattr__(self, name: str) -> Any:
        return getattr(self.house, name)

    def create(self, cluster: str, instances: int, **more: Any) -> None:
        self.house.create(cluster, instances, engine="aurora-mysql", **more)

    def connect(self, cluster: str, role: str = "writer", **more: Any) -> Any:
        (door,) = [
            one for one in self.service.doors() if (one["cluster"], one["role"]) == (cluster, role)
        ]
        settings = {"user": "genba", "password": PASSWORD, "database": "genba"} | more
        return pymysql.connect(
            host=door["host"], port=door["port"], autocommit=True, connect_timeout=5, **settings
        )


def run(connection: Any, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return list(cursor.fetchall())


@contextmanager
def maria(state: Path) -> Iterator[MariaHouse]:
    why_not = missing()
    if why_not is not None:
        pytest.skip(why_not)
    with house(state) as built:
        yield MariaHouse(built)
