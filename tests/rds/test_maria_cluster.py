"""Aurora MySQL on real MariaDB servers: what applications and tools see of a writer and reader."""

from __future__ import annotations

from collections.abc import Iterator

import pymysql
import pytest
from botocore.exceptions import ClientError
from maria_house import MariaHouse, maria, run
from rds_house import PASSWORD, House, wait_until

from hikkoshi.region.rds.mariadb import programs


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaHouse]:
    """A cluster `genba` of a writer and a reader, for tests that leave it as it was."""
    with maria(tmp_path_factory.mktemp("maria")) as built:
        built.create("genba", 2)
        yield built


def test_the_api_tells_the_pair(pair: MariaHouse) -> None:
    found = pair.cluster("genba")
    assert (found["Status"], found["Engine"], found["Port"]) == ("available", "aurora-mysql", 3306)
    assert found["EngineVersion"].startswith("8.0.mysql_aurora.3.")
    assert found["DBClusterParameterGroup"] == "default.aurora-mysql8.0"
    filters = [{"Name": "engine", "Values": ["aurora-mysql"]}]
    instances = pair.rds.describe_db_instances(Filters=filters)["DBInstances"]
    assert [one["Endpoint"]["Port"] for one in instances] == [3306, 3306]
    assert pair.names.zone.find(found["Endpoint"]).chain[0].target.startswith("genba-1.")
    assert pair.names.zone.find(found["ReaderEndpoint"]).chain[0].target.startswith("genba-2.")


def test_the_reader_has_what_was_committed_and_takes_no_writes(pair: MariaHouse) -> None:
    with pair.connect("genba") as writer, pair.connect("genba", "reader") as reader:
        assert run(writer, "SELECT 1") == [(1,)]
        run(writer, "CREATE TABLE replicated (i int PRIMARY KEY)")
        run(writer, "INSERT INTO replicated VALUES (1)")
        tables = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME = 'replicated'"
        wait_until(lambda: run(reader, tables) == [(1,)], "the reader has the table")
        wait_until(lambda: run(reader, "SELECT i FROM replicated") == [(1,)], "and its row")
        with pytest.raises(pymysql.err.OperationalError, match="read-only"):
            run(reader, "INSERT INTO replicated VALUES (2)")
        with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
            run(writer, "SET GLOBAL read_only = 1")
        run(writer, "DROP TABLE replicated")


def test_the_password_is_needed_and_nowhere_in_clear(pair: MariaHouse) -> None:
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        pair.connect("genba", password="wrong-password")
    for role in ("root", "", "rdsadmin"):
        with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
            pair.connect("genba", user=role, password="", database=None)
    needle = PASSWORD.encode()
    files = [path for path in (pair.state / "rds").rglob("*") if path.is_file()]
    assert len(files) > 200
    assert [path for path in files if needle in path.read_bytes()] == []


def test_without_mariadb_it_is_refused_with_the_package_to_install(
    fresh: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "PLACES", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    programs.find_programs.cache_clear()
    try:
        with pytest.raises(ClientError, match="apt-get install mariadb-server"):
            fresh.rds.create_db_cluster(
                DBClusterIdentifier="m", Engine="aurora-mysql", MasterUsername="genba",
                MasterUserPassword=PASSWORD,
            )  # fmt: skip
        assert fresh.rds.describe_db_clusters()["DBClusters"] == []
        assert not (fresh.state / "rds").exists()
    finally:
        programs.find_programs.cache_clear()
