"""Failovers, crashes, reboots and parameters of real MariaDB servers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest
from botocore.exceptions import ClientError
from maria_house import MariaHouse, maria, run
from rds_house import wait_until

from hikkoshi.region.rds.engine import ServerSilent


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaHouse]:
    """A cluster `genba` of a writer and two readers; whoever writes when a test begins."""
    with maria(tmp_path_factory.mktemp("trio")) as built:
        built.create("genba", 3)
        with built.connect("genba") as connection:
            run(connection, "CREATE TABLE kept (id BIGINT AUTO_INCREMENT PRIMARY KEY, n INT)")
        yield built


class Writing(threading.Thread):
    """Inserts 1, 2, 3, … by the writer's door, and keeps those that were acknowledged."""

    def __init__(self, house: MariaHouse) -> None:
        super().__init__(daemon=True)
        self.house = house
        self.acknowledged: list[int] = []
        self.is_over = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.is_over.is_set():
            with suppress(pymysql.MySQLError, OSError), self.house.connect("genba") as connection:
                while not self.is_over.is_set():
                    number += 1
                    run(connection, "INSERT INTO kept (n) VALUES (%s)", number)
                    self.acknowledged.append(number)

    def __enter__(self) -> Writing:
        self.start()
        wait_until(lambda: len(self.acknowledged) > 20, "the first rows")
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.join(30)


def rows_of(connection: Any) -> set[int]:
    return {row[0] for row in run(connection, "SELECT n FROM kept")}


def servers(house: MariaHouse) -> dict[str, Any]:
    return dict(house.service._state.clusters["genba"].servers)


def all_agree(house: MariaHouse, expected: set[int]) -> bool:
    """Whether every server has these rows and no other. One that crashed is asked again: the
    connection that was there before it is lost with it, and the next question makes another."""
    try:
        found = [
            {row[0] for row in server.ask_now("SELECT n FROM genba.kept")}
            for server in servers(house).values()
        ]
    except ServerSilent:
        return False
    return len(found) == 3 and all(rows == expected for rows in found)


def crash(house: MariaHouse, name: str) -> None:
    servers(house)[name].running.process.kill()


def empty(house: MariaHouse) -> None:
    with house.connect("genba") as connection:
        run(connection, "DELETE FROM kept")


def test_a_failover_loses_nothing_and_the_old_writer_returns(trio: MariaHouse) -> None:
    empty(trio)
    old = trio.writer("genba")
    target = next(name for name in servers(trio) if name != old)
    with Writing(trio) as writing:
        trio.rds.failover_db_cluster(DBClusterIdentifier="genba", TargetDBInstanceIdentifier=target)
        wait_until(lambda: trio.writer("genba") == target, "the writer has moved", 60)
        before = len(writing.acknowledged)
        wait_until(lambda: len(writing.acknowledged) > before + 20, "rows by the new writer")
        trio.wait("genba")
    found = trio.cluster("genba")
    assert trio.names.zone.find(found["Endpoint"]).chain[0].target.startswith(f"{target}.")
    with trio.connect("genba") as connection:
        rows = rows_of(connection)
    assert set(writing.acknowledged) <= rows
    wait_until(lambda: all_agree(trio, rows), "all three have the same rows", 60)
    told = trio.events(SourceIdentifier="genba", SourceType="db-cluster")
    assert f"Completed failover to DB instance: {target}" in told
    (server,) = [one for name, one in servers(trio).items() if name == old]
    assert server.ask_now("SELECT @@read_only") == [(1,)]


def test_a_writer_that_crashes_is_failed_over(trio: MariaHouse) -> None:
    empty(trio)
    trio.wait("genba")
    old = trio.writer("genba")
    with Writing(trio) as writing:
        crash(trio, old)
        wait_until(lambda: trio.writer("genba") != old, "another writes", 60)
        trio.wait("genba")
    with trio.connect("genba") as connection:
        rows = rows_of(connection)
    assert set(writing.acknowledged) <= rows
    wait_until(lambda: all_agree(trio, rows), "all three have the same rows", 60)


def test_a_reader_that_crashes_holds_nobody_up(trio: MariaHouse) -> None:
    empty(trio)
    trio.wait("genba")
    reader = next(name for name in servers(trio) if name != trio.writer("genba"))
    with Writing(trio) as writing:
        crash(trio, reader)
        restarted = "DB instance restarted"

        def is_back() -> bool:
            return restarted in trio.events(SourceIdentifier=reader, SourceType="db-instance")

        wait_until(is_back, "the reader is back", 60)
        before = len(writing.acknowledged)
        wait_until(lambda: len(writing.acknowledged) > before + 20, "rows go on")
        trio.wait("genba")
    wait_until(lambda: all_agree(trio, set(writing.acknowledged)), "the reader caught up", 60)


def test_a_reboot_applies_what_waited_for_it(trio: MariaHouse) -> None:
    trio.wait("genba")
    rds, name = trio.rds, "waits"
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName=name, DBParameterGroupFamily="aurora-mysql8.0", Description="t"
    )
    writer = trio.writer("genba")
    rds.modify_db_cluster(DBClusterIdentifier="genba", DBClusterParameterGroupName=name)
    rds.modify_db_cluster_parameter_group(
        DBClusterParameterGroupName=name,
        Parameters=[
            {"ParameterName": "back_log", "ParameterValue": "77", "ApplyMethod": "pending-reboot"},
            {"ParameterName": "long_query_time", "ParameterValue": "0.1",
             "ApplyMethod": "immediate"},
            {"ParameterName": "slow_query_log", "ParameterValue": "1", "ApplyMethod": "immediate"},
            {"ParameterName": "max_connections", "ParameterValue": "12",
             "ApplyMethod": "immediate"},
        ],
    )  # fmt: skip
    asked = "SELECT @@max_connections, @@global.slow_query_log, @@back_log"
    server = servers(trio)[writer]
    wait_until(lambda: server.ask_now(asked)[0][:2] == (12, 1), "the dynamic ones hold")
    assert server.ask_now(asked)[0][2] != 77
    with trio.connect("genba") as connection:
        run(connection, "SELECT SLEEP(0.2), 'slow one'")

    def told() -> list[dict[str, Any]]:
        rows = trio.rows.of("database_log")
        return [row for row in rows if "slow one" in str(row["statement"])]

    (row,) = wait_until(told, "the slow query is in the evidence")
    assert row["message"].startswith("slow query: 0.2") and row["instance"] == writer
    rds.reboot_db_instance(DBInstanceIdentifier=writer)
    wait_until(lambda: _is_applied(trio, writer), "the static one holds", 60)
    trio.wait("genba")
    kept: list[Any] = []
    with pytest.raises(pymysql.err.OperationalError, match="Too many connections"):
        for _ in range(40):
            kept.append(trio.connect("genba"))
    assert len(kept) == 12, "the region's own sessions take none of them"
    wait_until(
        lambda: [r for r in trio.rows.of("database_log") if r["sqlstate"] == "08004"],
        "the refusal is in the evidence",
    )
    for connection in kept:
        connection.close()


def _is_applied(house: MariaHouse, writer: str) -> bool:
    with suppress(Exception):
        return bool(servers(house)[writer].ask_now("SELECT @@back_log") == [(77,)])
    return False


def test_the_password_changes_for_all(trio: MariaHouse) -> None:
    trio.wait("genba")
    trio.rds.modify_db_cluster(DBClusterIdentifier="genba", MasterUserPassword="another-secret-2")
    for role in ("writer", "reader"):

        def enters(role: str = role) -> bool:
            with suppress(pymysql.err.OperationalError):
                trio.connect("genba", role, password="another-secret-2").close()
                return True
            return False

        wait_until(enters, f"the new password at the {role}")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("max_connections", "many", "is no number"),
        ("slow_query_log", "maybe", "allowed values are: 0,1"),
        ("sql_mode", "FOO", "sql_mode"),
        ("optimizer_switch", "x", "optimizer_switch"),
    ],
)
def test_bad_parameters_are_refused(trio: MariaHouse, name: str, value: str, words: str) -> None:
    with suppress(ClientError):
        trio.rds.create_db_cluster_parameter_group(
            DBClusterParameterGroupName="bad", DBParameterGroupFamily="aurora-mysql8.0",
            Description="t",
        )  # fmt: skip
    wanted = {"ParameterName": name, "ParameterValue": value, "ApplyMethod": "pending-reboot"}
    with pytest.raises(ClientError, match=words):
        trio.rds.modify_db_cluster_parameter_group(
            DBClusterParameterGroupName="bad", Parameters=[wanted]
        )


def test_a_volume_outlives_its_last_instance(tmp_path: Path) -> None:
    with maria(tmp_path) as house:
        house.create("alone", 1)
        with house.connect("alone") as connection:
            run(connection, "CREATE TABLE lasting AS SELECT 5 AS n")
        house.rds.failover_db_cluster(DBClusterIdentifier="alone")
        house.wait("alone")
        house.rds.delete_db_instance(DBInstanceIdentifier="alone-1")
        wait_until(lambda: not house.cluster("alone")["DBClusterMembers"], "it is gone")
        house.rds.create_db_instance(
            DBInstanceIdentifier="alone-2", DBClusterIdentifier="alone", Engine="aurora-mysql",
            DBInstanceClass="db.r6g.large",
        )  # fmt: skip
        house.wait("alone")
        with house.connect("alone") as connection:
            assert run(connection, "SELECT n FROM lasting") == [(5,)]
            assert run(connection, "SELECT @@max_connections") == [(1000,)]
