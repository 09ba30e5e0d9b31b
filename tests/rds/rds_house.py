"""Service "rds" on real PostgreSQL servers, behind the real front, asked by boto3."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from loopback import LoopbackGround

from hikkoshi.base.clock import SystemClock
from hikkoshi.model.timers import Timers
from hikkoshi.region.dns import DnsServer
from hikkoshi.region.front.door import ApiFront
from hikkoshi.region.rds import RdsService

PASSWORD = "open-sesame-1"


class Rows:
    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[str, Any]]] = []

    def record(self, table: str, **columns: Any) -> None:
        self.rows.append((table, columns))

    def of(self, table: str) -> list[dict[str, Any]]:
        return [columns for name, columns in tuple(self.rows) if name == table]


@dataclass
class House:
    rds: Any
    service: RdsService
    ground: LoopbackGround
    names: DnsServer
    rows: Rows
    loop: asyncio.AbstractEventLoop
    state: Path

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def create(
        self, cluster: str, instances: int, *, engine: str = "aurora-postgresql", **more: Any
    ) -> None:
        """A cluster with that many instances, waited for as boto3's users do."""
        self.rds.create_db_cluster(
            DBClusterIdentifier=cluster,
            Engine=engine,
            MasterUsername="genba",
            MasterUserPassword=PASSWORD,
            DatabaseName="genba",
            **more,
        )
        for number in range(1, instances + 1):
            self.rds.create_db_instance(
                DBInstanceIdentifier=f"{cluster}-{number}",
                DBClusterIdentifier=cluster,
                DBInstanceClass="db.t4g.medium",
                Engine=engine,
            )
        self.wait(cluster)

    def wait(self, cluster: str) -> None:
        config = {"Delay": 0.1, "MaxAttempts": 300}
        waiter = self.rds.get_waiter("db_cluster_available")
        waiter.wait(DBClusterIdentifier=cluster, WaiterConfig=config)
        waiter = self.rds.get_waiter("db_instance_available")
        filters = [{"Name": "db-cluster-id", "Values": [cluster]}]
        waiter.wait(Filters=filters, WaiterConfig=config)

    def cluster(self, cluster: str) -> dict[str, Any]:
        (found,) = self.rds.describe_db_clusters(DBClusterIdentifier=cluster)["DBClusters"]
        return dict(found)

    def writer(self, cluster: str) -> str:
        members = self.cluster(cluster)["DBClusterMembers"]
        (writer,) = [one["DBInstanceIdentifier"] for one in members if one["IsClusterWriter"]]
        return str(writer)

    def connect(self, cluster: str, role: str = "writer", **more: Any) -> psycopg.Connection[Any]:
        (door,) = [
            one for one in self.service.doors() if (one["cluster"], one["role"]) == (cluster, role)
        ]
        settings = {"user": "genba", "password": PASSWORD, "dbname": "genba"} | more
        return psycopg.connect(
            host=door["host"], port=door["port"], autocommit=True, connect_timeout=5, **settings
        )

    def events(self, **which: Any) -> list[str]:
        return [one["Message"] for one in self.rds.describe_events(**which)["Events"]]


@contextmanager
def house(state: Path) -> Iterator[House]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    ground, names, rows = LoopbackGround(state), DnsServer(), Rows()
    service = RdsService(
        ground,
        names,
        rows,
        SystemClock(),
        Timers(failover_s=0.5),
        state / "rds",
        "123456789012",
        "ap-northeast-1",
    )
    listening = socket.create_server(("127.0.0.1", 0))
    endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
    front = ApiFront({"rds": service}, loop=loop, fallback=None)
    front.start([listening])
    rds = boto3.client(
        "rds",
        endpoint_url=endpoint,
        region_name="ap-northeast-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    try:
        yield House(rds, service, ground, names, rows, loop, state)
    finally:
        asyncio.run_coroutine_threadsafe(service.close(), loop).result(60)
        front.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as built:
        yield built


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A cluster `genba` of a writer and a reader, for tests that leave it as it was."""
    with house(tmp_path_factory.mktemp("pair")) as built:
        built.create("genba", 2)
        yield built


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 20.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.02)
