"""A region that was killed holds its Aurora MySQL cluster again, with every row."""

from __future__ import annotations

import time

import pymysql
import pytest
from clients_house import Region
from test_killed_region import kill
from test_killed_region_keeps import address_of, wait_for_database

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.rds.mariadb.programs import find_programs

pytestmark = pytest.mark.region


def ask(address, query):
    host, port = address.split(":")
    connection = pymysql.connect(
        host=host, port=int(port), user="genba", password="open-sesame-1", database="genba",
        autocommit=True, connect_timeout=10,
    )  # fmt: skip
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def test_a_cluster_of_mariadb_outlives_its_region(tmp_path):
    try:
        find_programs()
    except CannotRun as error:
        pytest.skip(f"{error.what}: no test of Aurora MySQL ran")
    own = Region(tmp_path)
    own.up()
    try:
        rds = own.client("rds")
        made = rds.create_db_cluster(
            DBClusterIdentifier="kept", Engine="aurora-mysql", MasterUsername="genba",
            MasterUserPassword="open-sesame-1", DatabaseName="genba",
        )["DBCluster"]  # fmt: skip
        for name in ("kept-1", "kept-2"):
            rds.create_db_instance(
                DBInstanceIdentifier=name, DBClusterIdentifier="kept", Engine="aurora-mysql",
                DBInstanceClass="db.t4g.medium",
            )  # fmt: skip
        wait_for_database(rds)
        writer = address_of(own, made["Endpoint"])
        ask(writer, "CREATE TABLE kept (n INT PRIMARY KEY)")
        ask(writer, "INSERT INTO kept VALUES (1), (2), (3)")
        kill(own, "init_pid")
        own.up()
        rds = own.client("rds")
        wait_for_database(rds)
        (cluster,) = rds.describe_db_clusters()["DBClusters"]
        assert (cluster["Engine"], cluster["Status"]) == ("aurora-mysql", "available")
        assert ask(address_of(own, made["Endpoint"]), "SELECT COUNT(*) FROM kept") == [(3,)]
        ask(address_of(own, made["Endpoint"]), "INSERT INTO kept VALUES (4)")
        reader, deadline = address_of(own, made["ReaderEndpoint"]), time.monotonic() + 60
        while ask(reader, "SELECT COUNT(*) FROM kept") != [(4,)]:
            assert time.monotonic() < deadline, "the reader does not follow"
            time.sleep(0.1)
        assert ask(reader, "SELECT @@read_only") == [(1,)]
    finally:
        own.down()
