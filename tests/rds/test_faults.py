"""Failovers, crashes, reboots and deletions of real servers."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time

import psycopg
import pytest
from rds_house import PASSWORD, House, wait_until

from hikkoshi.region.rds.processes import descendants, first_named


class SteadyWriter(threading.Thread):
    """Commits one row after another through the door, and keeps which were acknowledged."""

    def __init__(self, house: House, cluster: str) -> None:
        super().__init__()
        self.house, self.cluster = house, cluster
        self.acknowledged: list[int] = []
        self.refusals = 0
        self.is_over = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.is_over.is_set():
            try:
                with self.house.connect(self.cluster) as connection:
                    while not self.is_over.is_set():
                        number += 1
                        connection.execute("INSERT INTO kept VALUES (%s)", (number,))
                        self.acknowledged.append(number)
            except psycopg.Error:
                self.refusals += 1
                time.sleep(0.01)

    def stop(self) -> None:
        self.is_over.set()
        self.join()


def start_writer(house: House, cluster: str) -> SteadyWriter:
    with house.connect(cluster) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (i int)")
    writer = SteadyWriter(house, cluster)
    writer.start()
    wait_until(lambda: len(writer.acknowledged) > 20, "rows are being written")
    return writer


def check_nothing_was_lost(house: House, cluster: str, writer: SteadyWriter) -> None:
    with house.connect(cluster) as connection:
        kept = {row[0] for row in connection.execute("SELECT i FROM kept").fetchall()}
    assert set(writer.acknowledged) - kept == set()


def goes_on(writer: SteadyWriter) -> None:
    count = len(writer.acknowledged)
    wait_until(lambda: len(writer.acknowledged) > count + 20, "writing goes on")


def postmaster(house: House, name: str) -> int:
    process = house.service._state.instance(name)[0].servers[name].running.process
    assert process is not None
    pid = first_named(process.pid, "postgres")
    assert pid is not None
    return pid


def test_a_failover_loses_nothing_and_comes_back(fresh: House) -> None:
    fresh.create("genba", 2)
    idle = fresh.connect("genba")
    writer = start_writer(fresh, "genba")
    began = time.monotonic()
    answer = fresh.rds.failover_db_cluster(DBClusterIdentifier="genba")
    assert answer["DBCluster"]["Status"] == "failing-over"
    fresh.wait("genba")
    assert time.monotonic() - began >= 0.5
    assert fresh.writer("genba") == "genba-2"
    goes_on(writer)
    writer.stop()
    assert writer.refusals > 0, "nobody can write during a failover"
    check_nothing_was_lost(fresh, "genba", writer)
    with pytest.raises(psycopg.OperationalError):
        idle.execute("SELECT 1")
    assert fresh.events(SourceType="db-cluster", SourceIdentifier="genba") == [
        "DB cluster created",
        "Started cross AZ failover to DB instance: genba-2",
        "Completed failover to DB instance: genba-2",
    ]
    cluster = fresh.cluster("genba")
    assert fresh.names.zone.find(cluster["Endpoint"]).chain[0].target.startswith("genba-2.")
    assert fresh.names.zone.find(cluster["ReaderEndpoint"]).chain[0].target.startswith("genba-1.")

    # And back again, under the name of the target.
    writer = start_writer(fresh, "genba")
    fresh.rds.failover_db_cluster(DBClusterIdentifier="genba", TargetDBInstanceIdentifier="genba-1")
    fresh.wait("genba")
    goes_on(writer)
    writer.stop()
    assert fresh.writer("genba") == "genba-1"
    check_nothing_was_lost(fresh, "genba", writer)


def test_a_second_reader_follows_the_new_writer(fresh: House) -> None:
    fresh.create("genba", 3)
    writer = start_writer(fresh, "genba")
    fresh.rds.failover_db_cluster(DBClusterIdentifier="genba", TargetDBInstanceIdentifier="genba-3")
    fresh.wait("genba")
    goes_on(writer)
    writer.stop()
    check_nothing_was_lost(fresh, "genba", writer)
    with fresh.connect("genba") as connection:
        connection.execute("INSERT INTO kept VALUES (-7)")
    found = fresh.names.zone.find(fresh.cluster("genba")["ReaderEndpoint"])
    assert found.end is not None and len(found.end.addresses) == 2
    query = "SELECT count(*) FROM kept WHERE i = -7"
    settings = {"user": "genba", "password": "open-sesame-1", "dbname": "genba"}
    for address in found.end.addresses:
        with psycopg.connect(host=address, autocommit=True, **settings) as reader:

            def has_it(reader: psycopg.Connection[tuple[int]] = reader) -> bool:
                return reader.execute(query).fetchone() == (1,)

            wait_until(has_it, "it follows")


def test_a_writer_that_crashes_is_failed_over(fresh: House) -> None:
    fresh.create("genba", 2)
    writer = start_writer(fresh, "genba")
    os.kill(postmaster(fresh, "genba-1"), signal.SIGKILL)
    wait_until(lambda: fresh.writer("genba") == "genba-2", "the reader took over")
    goes_on(writer)
    writer.stop()
    fresh.wait("genba")
    check_nothing_was_lost(fresh, "genba", writer)
    assert "Completed failover to DB instance: genba-2" in fresh.events()


def test_a_reader_that_crashes_holds_nobody_up(fresh: House) -> None:
    fresh.create("genba", 2)
    writer = start_writer(fresh, "genba")
    os.kill(postmaster(fresh, "genba-2"), signal.SIGKILL)
    wait_until(lambda: "DB instance restarted" in fresh.events(), "the reader is back")
    goes_on(writer)
    writer.stop()
    assert writer.refusals == 0 and fresh.writer("genba") == "genba-1"
    fresh.wait("genba")


def test_a_single_instance_restarts_in_place(fresh: House) -> None:
    fresh.create("genba", 1)
    writer = start_writer(fresh, "genba")
    fresh.rds.failover_db_cluster(DBClusterIdentifier="genba")
    fresh.wait("genba")
    goes_on(writer)
    writer.stop()
    assert writer.refusals > 0 and fresh.writer("genba") == "genba-1"
    check_nothing_was_lost(fresh, "genba", writer)
    found = fresh.names.zone.find(fresh.cluster("genba")["ReaderEndpoint"])
    assert found.chain[0].target.startswith("genba-1.")


def test_parameters_wait_for_the_reboot_they_need(fresh: House) -> None:
    rds = fresh.rds
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName="small",
        DBParameterGroupFamily="aurora-postgresql17",
        Description="few connections",
    )
    fresh.create("genba", 2, DBClusterParameterGroupName="small")

    def modify(name: str, value: str, method: str = "pending-reboot") -> None:
        change = {"ParameterName": name, "ParameterValue": value, "ApplyMethod": method}
        rds.modify_db_cluster_parameter_group(
            DBClusterParameterGroupName="small", Parameters=[change]
        )

    modify("deadlock_timeout", "700", "immediate")
    modify("max_connections", "12")

    def shown(name: str) -> object:
        with fresh.connect("genba") as connection:
            row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
            return row[0] if row else None

    wait_until(lambda: shown("deadlock_timeout") == "700ms", "a dynamic one holds at once")
    assert shown("max_connections") == "450"
    members = fresh.cluster("genba")["DBClusterMembers"]
    assert {one["DBClusterParameterGroupStatus"] for one in members} == {"pending-reboot"}
    rds.reboot_db_instance(DBInstanceIdentifier="genba-1")
    fresh.wait("genba")
    assert shown("max_connections") == "12"

    held = []
    with pytest.raises(psycopg.OperationalError, match=r"remaining connection slots|too many"):
        for _ in range(20):
            held.append(fresh.connect("genba"))
    wait_until(
        lambda: [row for row in fresh.rows.of("database_log") if row["sqlstate"] == "53300"],
        "the refusal is in the log",
    )
    for connection in held:
        connection.close()
    source = rds.describe_db_cluster_parameters(DBClusterParameterGroupName="small", Source="user")[
        "Parameters"
    ]
    assert {one["ParameterName"]: one["ParameterValue"] for one in source} == {
        "deadlock_timeout": "700",
        "max_connections": "12",
    }
    for name, value, words in [
        ("no_such_thing", "1", "Could not find parameter"),
        ("fsync", "1", "cannot be modified"),
        ("work_mem", "much", "Invalid parameter value"),
        ("log_statement", "everything", "Invalid parameter value"),
        ("shared_preload_libraries", "pg_cron", "allowed values"),
        ("rds.force_ssl", "1", "not implemented by the local region"),
        ("apg_plan_mgmt.use_plan_baselines", "1", "not implemented by the local region"),
    ]:
        with pytest.raises(rds.exceptions.ClientError, match=words):
            modify(name, value)
    with pytest.raises(rds.exceptions.ClientError, match="immediate apply method"):
        modify("max_connections", "20", "immediate")


def test_deleting_leaves_nothing(fresh: House) -> None:
    fresh.create("genba", 2)
    processes = [
        pid
        for instance in fresh.ground.instances
        for process in instance.processes
        for pid in descendants(process.pid)
    ]
    assert len(processes) > 4
    for name in ("genba-1", "genba-2"):
        fresh.rds.delete_db_instance(DBInstanceIdentifier=name)
    fresh.rds.get_waiter("db_instance_deleted").wait(
        DBInstanceIdentifier="genba-1", WaiterConfig={"Delay": 0.1, "MaxAttempts": 200}
    )
    fresh.rds.get_waiter("db_instance_deleted").wait(
        DBInstanceIdentifier="genba-2", WaiterConfig={"Delay": 0.1, "MaxAttempts": 200}
    )
    fresh.rds.delete_db_cluster(DBClusterIdentifier="genba", SkipFinalSnapshot=True)
    wait_until(lambda: not fresh.rds.describe_db_clusters()["DBClusters"], "it is gone")
    assert fresh.service.doors() == [] and fresh.ground.doors == {}
    assert not (fresh.state / "rds" / "genba").exists()
    assert not fresh.names.zone._addresses and not fresh.names.zone._aliases
    wait_until(
        lambda: not [pid for pid in processes if os.path.exists(f"/proc/{pid}")],
        "no process is left",
    )


def test_a_volume_outlives_its_last_instance(fresh: House) -> None:
    fresh.create("genba", 1)
    with fresh.connect("genba") as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    fresh.rds.delete_db_instance(DBInstanceIdentifier="genba-1")
    fresh.rds.get_waiter("db_instance_deleted").wait(
        DBInstanceIdentifier="genba-1", WaiterConfig={"Delay": 0.1, "MaxAttempts": 200}
    )
    fresh.rds.create_db_instance(
        DBInstanceIdentifier="genba-2", DBClusterIdentifier="genba", Engine="aurora-postgresql",
        DBInstanceClass="db.t4g.medium",
    )  # fmt: skip
    fresh.wait("genba")
    with fresh.connect("genba") as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_a_reader_never_overtakes_its_writer(fresh: House) -> None:
    """The writer's address came later than the reader's: the reader then had nothing to copy."""

    async def hold() -> asyncio.Event:
        held = asyncio.Event()
        fresh.ground.slow["rds-race-1"] = held
        return held

    async def let_go(held: asyncio.Event) -> None:
        held.set()

    held = fresh.run(hold())
    fresh.rds.create_db_cluster(
        DBClusterIdentifier="race",
        Engine="aurora-postgresql",
        MasterUsername="genba",
        MasterUserPassword=PASSWORD,
    )
    waiter = fresh.rds.get_waiter("db_cluster_available")
    waiter.wait(DBClusterIdentifier="race", WaiterConfig={"Delay": 0.1, "MaxAttempts": 300})
    for number in (1, 2):
        fresh.rds.create_db_instance(
            DBInstanceIdentifier=f"race-{number}",
            DBClusterIdentifier="race",
            DBInstanceClass="db.t4g.medium",
            Engine="aurora-postgresql",
        )
    fresh.run(let_go(held))
    fresh.wait("race")
    assert fresh.writer("race") == "race-1"
