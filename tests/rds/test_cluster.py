"""A real writer and reader: what applications, tools and the evidence see of them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError
from rds_house import PASSWORD, House, wait_until


def test_the_api_tells_the_pair(pair: House) -> None:
    found = pair.cluster("genba")
    assert found["Status"] == "available" and found["Engine"] == "aurora-postgresql"
    assert found["MultiAZ"] and len(found["DBClusterMembers"]) == 2
    filters = [{"Name": "db-cluster-id", "Values": ["genba"]}]
    instances = pair.rds.describe_db_instances(Filters=filters)["DBInstances"]
    assert [one["AvailabilityZone"] for one in instances] == [
        "ap-northeast-1a",
        "ap-northeast-1c",
    ]
    assert all(one["Endpoint"]["Port"] == 5432 for one in instances)
    endpoints = pair.rds.describe_db_cluster_endpoints(DBClusterIdentifier="genba")
    assert [one["EndpointType"] for one in endpoints["DBClusterEndpoints"]] == ["WRITER", "READER"]


def test_names_lead_to_the_servers(pair: House) -> None:
    found = pair.cluster("genba")
    writer = pair.names.zone.find(found["Endpoint"])
    reader = pair.names.zone.find(found["ReaderEndpoint"])
    assert writer.chain[0].ttl_s == 5 and writer.end is not None and reader.end is not None
    assert writer.chain[0].target.startswith("genba-1.")
    assert reader.chain[0].target.startswith("genba-2.")
    assert writer.end.addresses != reader.end.addresses


def test_the_reader_has_what_was_committed_and_takes_no_writes(pair: House) -> None:
    with pair.connect("genba") as writer, pair.connect("genba", "reader") as reader:
        writer.execute("CREATE TABLE IF NOT EXISTS replicated (i int)")
        writer.execute("INSERT INTO replicated VALUES (1)")
        query = "SELECT count(*) FROM pg_class WHERE relname = 'replicated'"
        wait_until(lambda: reader.execute(query).fetchone() == (1,), "the reader has the table")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            reader.execute("INSERT INTO replicated VALUES (2)")
        assert writer.execute("SELECT rolsuper FROM pg_roles WHERE rolname='genba'").fetchone() == (
            False,
        )
        writer.execute("DROP TABLE replicated")


def test_the_password_is_needed_and_nowhere_in_clear(pair: House) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        pair.connect("genba", password="wrong-password")
    needle = PASSWORD.encode()
    files = [path for path in (pair.state / "rds").rglob("*") if path.is_file()]
    assert len(files) > 1000
    assert [path for path in files if needle in path.read_bytes()] == []


def test_samples_count_the_application_and_not_ourselves(pair: House) -> None:
    with pair.connect("genba") as one, pair.connect("genba") as two:
        two.autocommit = False
        two.execute("SELECT 1")
        one.execute("SELECT 1")

        def seen() -> bool:
            last = [row for row in pair.rows.of("database") if row["role"] == "writer"][-1:]
            return bool(last) and (last[0]["connections"], last[0]["idle_in_transaction"]) == (2, 1)

        wait_until(seen, "a sample with two connections, one idle in transaction")
        clients = [row for row in pair.rows.of("database_clients") if row["connections"] == 2]
        assert {(row["client"], row["active"]) for row in clients} == {("127.0.0.1", 0)}
        assert clients[-1]["idle_in_transaction"] == 1
    row = pair.rows.of("database")[-1]
    assert row["max_connections"] == 450

    def of_reader() -> list[dict[str, Any]]:
        return [row for row in pair.rows.of("database") if row["role"] == "reader"]

    # The two servers are sampled apart: the writer's first row may come before the reader's.
    wait_until(lambda: bool(of_reader()), "a sample of the reader")
    assert of_reader()[-1]["connections"] == 0
    wait_until(lambda: pair.rows.of("database")[-1]["connections"] == 0, "they have gone")


def test_sessions_grow_by_one_a_connection(pair: House) -> None:
    def sessions() -> int:
        rows = [row for row in pair.rows.of("database") if row["role"] == "writer"]
        return int(rows[-1]["sessions"])

    before = sessions()
    for _ in range(10):
        pair.connect("genba").close()
    wait_until(lambda: sessions() == before + 10, "ten sessions more")


def test_marks_hold_the_queries_of_the_application(pair: House) -> None:
    with pair.connect("genba") as connection:
        connection.execute("CREATE TABLE marked (i int)")
        assert pair.run(pair.service.mark("before")) > 0
        for number in range(7):
            connection.execute("SELECT i FROM marked WHERE i = %s", (number,))
        pair.run(pair.service.mark("after"))
        connection.execute("DROP TABLE marked")
    text = "SELECT i FROM marked WHERE i = $1"
    rows = [row for row in pair.rows.of("queries") if row["query"] == text]
    assert [(row["mark"], row["calls"], row["rows"]) for row in rows] == [("after", 7, 0)]
    assert not any("pg_stat_activity" in row["query"] for row in pair.rows.of("queries"))


def test_a_deadlock_is_logged_with_both_statements(pair: House) -> None:
    with pair.connect("genba") as one, pair.connect("genba") as two:
        one.execute("CREATE TABLE locked (i int PRIMARY KEY, v int)")
        one.execute("INSERT INTO locked VALUES (1, 0), (2, 0)")
        failed: list[str] = []
        both_hold = threading.Barrier(2)

        def swap(connection: psycopg.Connection[object], first: int, second: int) -> None:
            try:
                with connection.transaction():
                    connection.execute("UPDATE locked SET v = 1 WHERE i = %s", (first,))
                    both_hold.wait(10)
                    connection.execute("UPDATE locked SET v = 2 WHERE i = %s", (second,))
            except psycopg.errors.DeadlockDetected as error:
                failed.append(str(error))

        threads = [
            threading.Thread(target=swap, args=(one, 1, 2)),
            threading.Thread(target=swap, args=(two, 2, 1)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(failed) == 1
        one.execute("DROP TABLE locked")

    def deadlocks() -> list[dict[str, object]]:
        return [row for row in pair.rows.of("database_log") if row["sqlstate"] == "40P01"]

    (row,) = wait_until(deadlocks, "the deadlock is in the log")
    assert str(row["detail"]).count("UPDATE locked SET v = 2") == 2
    assert row["severity"] == "ERROR" and row["instance"] == "genba-1"

    def is_counted() -> bool:
        return any(row["deadlocks"] == 1 for row in pair.rows.of("database"))

    wait_until(is_counted, "the deadlock is counted")


def test_a_long_wait_for_a_lock_is_logged_and_sampled(pair: House) -> None:
    with pair.connect("genba") as holder, pair.connect("genba") as waiter:
        holder.execute("CREATE TABLE held (i int)")
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE held")
        thread = threading.Thread(target=waiter.execute, args=("INSERT INTO held VALUES (1)",))
        thread.start()

        def is_told() -> bool:
            log = [row["statement"] for row in pair.rows.of("database_log")
                   if " still waiting for " in row["message"]]  # fmt: skip
            sampled = any(row["waiting"] == 1 for row in pair.rows.of("database"))
            return "INSERT INTO held VALUES (1)" in log and sampled

        wait_until(is_told, "the wait is told")
        holder.execute("ROLLBACK")
        thread.join()
        holder.execute("DROP TABLE held")


def test_a_failing_statement_is_logged(pair: House) -> None:
    with pair.connect("genba") as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT * FROM missing_table")
    wait_until(
        lambda: [row for row in pair.rows.of("database_log") if row["sqlstate"] == "42P01"],
        "the error is in the log",
    )


def test_tags_and_versions(pair: House) -> None:
    arn = pair.cluster("genba")["DBClusterArn"]
    pair.rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "k", "Value": "v"}])
    assert pair.rds.list_tags_for_resource(ResourceName=arn)["TagList"] == [
        {"Key": "k", "Value": "v"}
    ]
    pair.rds.remove_tags_from_resource(ResourceName=arn, TagKeys=["k"])
    assert pair.cluster("genba")["TagList"] == []
    (version,) = pair.rds.describe_db_engine_versions(Engine="aurora-postgresql", DefaultOnly=True)[
        "DBEngineVersions"
    ]
    assert version["DBParameterGroupFamily"] == "aurora-postgresql17"


GOOD = {
    "DBClusterIdentifier": "other",
    "Engine": "aurora-postgresql",
    "MasterUsername": "genba",
    "MasterUserPassword": PASSWORD,
}


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"Engine": "mysql"}, "NotImplemented", "not implemented by the local region"),
        ({"DBClusterIdentifier": "genba"}, "DBClusterAlreadyExistsFault", "already exists"),
        ({"DBClusterIdentifier": "-x"}, "InvalidParameterValue", "not a valid identifier"),
        ({"MasterUserPassword": "short"}, "InvalidParameterValue", "shorter than 8"),
        ({"MasterUsername": "rdsadmin"}, "InvalidParameterValue", "reserved word"),
        ({"EngineVersion": "9.6"}, "InvalidParameterCombination", "Cannot find version"),
        ({"DBClusterParameterGroupName": "no"}, "DBParameterGroupNotFound", "not found"),
        ({"DBClusterParameterGroupName": "default.aurora-postgresql16"}, "InvalidParameterComb",
         "can't be used"),
        ({"DBSubnetGroupName": "no"}, "DBSubnetGroupNotFoundFault", "does not exist"),
        ({"ManageMasterUserPassword": True}, "NotImplemented", "give MasterUserPassword"),
        ({"Port": 22}, "InvalidParameterValue", "1150-65535"),
        ({"GlobalClusterIdentifier": "g"}, "NotImplemented", "GlobalClusterIdentifier"),
    ],
)  # fmt: skip
def test_clusters_that_are_refused(
    pair: House, changes: dict[str, object], code: str, words: str
) -> None:
    with pytest.raises(ClientError) as refused:
        pair.rds.create_db_cluster(**(GOOD | changes))
    assert refused.value.response["Error"]["Code"].startswith(code)
    assert words in refused.value.response["Error"]["Message"]
    assert len(pair.rds.describe_db_clusters()["DBClusters"]) == 1


def test_operations_that_are_refused(pair: House) -> None:
    rds = pair.rds
    instance = {
        "DBInstanceIdentifier": "x",
        "DBInstanceClass": "db.t4g.medium",
        "Engine": "aurora-postgresql",
    }
    cases = [
        (rds.describe_db_clusters, {"DBClusterIdentifier": "no"}, "DBClusterNotFoundFault"),
        (rds.describe_db_instances, {"DBInstanceIdentifier": "no"}, "DBInstanceNotFound"),
        (rds.failover_db_cluster, {"DBClusterIdentifier": "no"}, "DBClusterNotFoundFault"),
        (
            rds.failover_db_cluster,
            {"DBClusterIdentifier": "genba", "TargetDBInstanceIdentifier": "no"},
            "DBInstanceNotFound",
        ),
        (
            rds.failover_db_cluster,
            {"DBClusterIdentifier": "genba", "TargetDBInstanceIdentifier": "genba-1"},
            "InvalidDBClusterStateFault",
        ),
        (
            rds.delete_db_cluster,
            {"DBClusterIdentifier": "genba", "SkipFinalSnapshot": True},
            "InvalidDBClusterStateFault",
        ),
        (rds.create_db_instance, instance, "NotImplementedException"),
        (
            rds.create_db_instance,
            instance | {"DBClusterIdentifier": "genba", "DBInstanceClass": "db.huge"},
            "InvalidParameterValue",
        ),
        (
            rds.create_db_instance,
            instance | {"DBClusterIdentifier": "genba", "DBInstanceIdentifier": "genba-1"},
            "DBInstanceAlreadyExists",
        ),
        (
            rds.reboot_db_instance,
            {"DBInstanceIdentifier": "genba-1", "ForceFailover": True},
            "InvalidParameterCombination",
        ),
        (rds.stop_db_cluster, {"DBClusterIdentifier": "genba"}, "NotImplementedException"),
    ]
    for call, parameters, code in cases:
        with pytest.raises(ClientError) as refused:
            call(**parameters)
        assert refused.value.response["Error"]["Code"] == code, (call, parameters)


def test_the_master_password_can_be_changed(pair: House) -> None:
    pair.rds.modify_db_cluster(
        DBClusterIdentifier="genba", MasterUserPassword="another-one-2", ApplyImmediately=True
    )
    pair.connect("genba", password="another-one-2").close()
    with pytest.raises(psycopg.OperationalError):
        pair.connect("genba")
    pair.rds.modify_db_cluster(DBClusterIdentifier="genba", MasterUserPassword=PASSWORD)
    pair.connect("genba").close()


def test_many_connections_through_a_door(pair: House) -> None:
    async def all_at_once() -> list[object]:
        def ask() -> object:
            with pair.connect("genba") as connection:
                return connection.execute("SELECT repeat('x', 300000)").fetchone()

        return await asyncio.gather(*(asyncio.to_thread(ask) for _ in range(20)))

    assert asyncio.run(all_at_once()) == [("x" * 300000,)] * 20
