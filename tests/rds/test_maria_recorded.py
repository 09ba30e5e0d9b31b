"""What the evidence holds of a real MariaDB server, in the same tables as PostgreSQL's."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from maria_house import MariaHouse, maria, run
from rds_house import wait_until

from hikkoshi.evidence.blockers import read_circle
from hikkoshi.model.evidence import UNSEEN_STATEMENTS


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaHouse]:
    with maria(tmp_path_factory.mktemp("recorded")) as built:
        built.create("genba", 1)
        yield built


def last(house: MariaHouse) -> dict[str, Any]:
    rows = house.rows.of("database")
    return rows[-1] if rows else {}


def test_samples_count_the_application_and_not_ourselves(single: MariaHouse) -> None:
    wait_until(lambda: last(single).get("connections") == 0, "a sample of nobody")
    before = last(single)["sessions"]
    with single.connect("genba"), single.connect("genba") as two:
        run(two, "BEGIN")
        run(two, "SELECT 1")

        def seen() -> bool:
            row = last(single)
            return (row["connections"], row["idle"], row["idle_in_transaction"]) == (2, 1, 1)

        wait_until(seen, "two connections, one idle in transaction")
        clients = single.rows.of("database_clients")[-1]
        assert (clients["client"], clients["connections"]) == ("127.0.0.1", 2)
        held = [row for row in single.rows.of("database_sessions") if row["query"] == "SELECT 1"]
        assert held[-1]["state"] == "idle in transaction" and held[-1]["state_age_s"] < 30
    assert last(single)["max_connections"] == 90
    wait_until(lambda: last(single)["connections"] == 0, "they have gone")
    assert last(single)["sessions"] == before + 2


def test_marks_hold_the_queries_of_the_application(single: MariaHouse) -> None:
    with single.connect("genba") as connection:
        run(connection, "CREATE TABLE marked (i int)")
        run(connection, "INSERT INTO marked VALUES (1), (2)")
        assert single.run(single.service.mark("before")) > 0
        for number in range(7):
            run(connection, "SELECT i FROM marked WHERE i = %s", number)
        single.run(single.service.mark("after"))
        run(connection, "DROP TABLE marked")
    rows = [row for row in single.rows.of("queries") if row["query"].startswith("SELECT `i`")]
    assert [(row["mark"], row["calls"], row["rows"]) for row in rows] == [("after", 7, 2)]
    ours = ("performance_schema", "information_schema", "heartbeat")
    assert not any(word in row["query"] for row in single.rows.of("queries") for word in ours)


def test_a_deadlock_is_logged_with_both_statements(single: MariaHouse) -> None:
    with single.connect("genba") as one, single.connect("genba") as two:
        run(one, "CREATE TABLE locked (i int PRIMARY KEY, v int)")
        run(one, "INSERT INTO locked VALUES (1, 0), (2, 0)")
        pids = {connection.thread_id() for connection in (one, two)}
        failed: list[int] = []
        both_hold = threading.Barrier(2)

        def swap(connection: Any, first: int, second: int) -> None:
            run(connection, "BEGIN")
            run(connection, "UPDATE locked SET v = v + 1 WHERE i = %s", first)
            both_hold.wait(20)
            try:
                run(connection, "UPDATE locked SET v = v + 1 WHERE i = %s", second)
            except pymysql.MySQLError as error:
                failed.append(error.args[0])
            run(connection, "ROLLBACK")

        threads = [
            threading.Thread(target=swap, args=arguments)
            for arguments in ((one, 1, 2), (two, 2, 1))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        run(one, "DROP TABLE locked")
    assert failed == [1213]

    def told() -> list[dict[str, Any]]:
        return [row for row in single.rows.of("database_log") if row["sqlstate"] == "40001"]

    (row,) = wait_until(told, "the deadlock in the evidence")
    circle = read_circle(row["detail"])
    assert {waiting.pid for waiting in circle} == {waiting.waits_for for waiting in circle} == pids
    assert all("UPDATE locked SET" in waiting.statement for waiting in circle)
    assert circle[0].lock == "X row lock on index PRIMARY of table genba.locked"
    assert "UPDATE locked" in row["statement"] and row["instance"] == "genba-1"
    wait_until(lambda: last(single)["deadlocks"] == 1, "the counter has it too")


@pytest.mark.parametrize(
    ("hold", "want", "event"),
    [
        ("UPDATE blocked SET i = 3", "UPDATE blocked SET i = 2", "row"),
        ("SELECT * FROM blocked", "ALTER TABLE blocked ADD j int", "table"),
    ],
)
def test_a_blocker_that_idles_is_seen_with_its_waiter(
    single: MariaHouse, hold: str, want: str, event: str
) -> None:
    with single.connect("genba") as holder, single.connect("genba") as waiter:
        run(holder, "CREATE OR REPLACE TABLE blocked (i int PRIMARY KEY)")
        run(holder, "INSERT INTO blocked VALUES (1)")
        run(holder, "BEGIN")
        run(holder, hold)
        thread = threading.Thread(target=run, args=(waiter, want))
        thread.start()
        waiting, holding = waiter.thread_id(), holder.thread_id()

        def tree() -> bool:
            rows = single.rows.of("database_sessions")
            by_pid = {row["pid"]: row for row in rows if row["t"] == rows[-1]["t"]} if rows else {}
            return (
                {waiting, holding} <= by_pid.keys()
                and by_pid[waiting]["blocked_by"] == str(holding)
                and by_pid[waiting]["wait_event_type"] == "Lock"
                and by_pid[waiting]["wait_event"] == event
                and by_pid[waiting]["query"] == want
                and by_pid[holding]["state"] == "idle in transaction"
                and by_pid[holding]["query"] == hold
                and by_pid[holding]["xact_age_s"] > 0.1
            )

        wait_until(tree, "the waiter and the one that holds the lock")
        run(holder, "ROLLBACK")
        thread.join(30)
        run(holder, "DROP TABLE blocked")


def test_a_scan_is_planned_and_counted(single: MariaHouse) -> None:
    with single.connect("genba") as connection:
        run(connection, "CREATE TABLE scanned AS SELECT seq n, seq % 100 k FROM seq_1_to_5000")
        run(connection, "CREATE TABLE served (n int, k int, KEY (k)) AS SELECT * FROM scanned")
        run(connection, "ANALYZE TABLE scanned, served")
        for table in ("scanned s", "served s"):
            run(connection, f"SELECT s.n FROM {table} WHERE s.k = 7")
            run(connection, f"SELECT s.n FROM {table} ORDER BY s.k DESC LIMIT 3")
            run(connection, f"SELECT s.n FROM {table} WHERE s.n > 0 LIMIT 2")  # it soon ends
            run(connection, f"SELECT s.n + 1 FROM {table} WHERE s.n > 0 ORDER BY s.k")
        run(connection, "SELECT s.n FROM scanned s ORDER BY s.k")
        single.run(single.service.mark("scans"))
        plans = [row for row in single.rows.of("scan_plans") if "`n` FROM" in row["query"]]
        assert {row["table_name"] for row in plans} == {"genba.scanned"}
        by_filter = {row["filter"]: row for row in plans}
        assert set(by_filter) == {"s.k = 7", "ORDER BY s.k desc"}
        assert by_filter["s.k = 7"]["live_rows"] >= 4000
        run(connection, "SELECT s.n FROM scanned s WHERE s.k = 8")
        single.run(single.service.mark("again"))
    rows = {
        row["mark"]: row
        for row in single.rows.of("table_scans")
        if row["table_name"] == "genba.scanned"
    }
    assert rows["again"]["seq_rows"] - rows["scans"]["seq_rows"] >= 5000
    assert rows["again"]["seq_scans"] > rows["scans"]["seq_scans"]


class Prepared:
    """What mysql2, JDBC and others send instead of texts: COM_STMT_PREPARE and COM_STMT_EXECUTE,
    which PyMySQL does not know."""

    def __init__(self, connection: Any, statement: str) -> None:
        self.connection = connection
        connection._execute_command(0x16, statement)
        answer = connection._read_packet()._data
        self.id, columns, marks = struct.unpack_from("<IHH", answer, 1)
        for _ in range(columns + (columns > 0) + marks + (marks > 0)):
            connection._read_packet()

    def execute(self, number: int) -> None:
        """With one whole number for its one mark; the rows are left unread, but for their end."""
        body = struct.pack("<IBIBBHi", self.id, 0, 1, 0, 1, 3, number)
        self.connection._execute_command(0x17, body)
        ends = 0
        while ends < 2:
            ends += self.connection._read_packet().is_eof_packet()

    def close(self) -> None:
        self.connection._execute_command(0x19, struct.pack("<I", self.id))


def test_statements_that_are_prepared_on_the_server(single: MariaHouse) -> None:
    """performance_schema keeps neither their text nor a digest."""
    with single.connect("genba") as connection:
        run(connection, "CREATE TABLE prep (n int PRIMARY KEY, k int)")
        run(connection, "INSERT INTO prep SELECT seq, seq % 500 FROM seq_1_to_3000")
        run(connection, "ANALYZE TABLE prep")
        found = Prepared(connection, "SELECT n FROM prep WHERE k = ?")
        served = Prepared(connection, "SELECT k FROM prep WHERE n = ?")
        single.run(single.service.mark("p1"))
        for number in range(1, 8):
            found.execute(number)
            served.execute(number)
        single.run(single.service.mark("p2"))
        run(connection, "DROP TABLE prep")
    rows = [row for row in single.rows.of("queries") if "FROM prep WHERE" in row["query"]]
    assert {(row["mark"], row["query"], row["calls"], row["rows"]) for row in rows} == {
        ("p2", "SELECT n FROM prep WHERE k = ?", 7, 42),
        ("p2", "SELECT k FROM prep WHERE n = ?", 7, 7),
    }
    (plan,) = [row for row in single.rows.of("scan_plans") if row["table_name"] == "genba.prep"]
    assert plan["query"] == "SELECT n FROM prep WHERE k = ?" and "prep.k" in plan["filter"]
    assert plan["queryid"] in {row["queryid"] for row in rows}


def test_statements_that_are_prepared_and_closed_again_are_counted(single: MariaHouse) -> None:
    """As go-sql-driver does for each query with arguments."""
    with single.connect("genba") as connection:
        run(connection, "CREATE TABLE closed (n int PRIMARY KEY)")
        run(connection, "INSERT INTO closed SELECT seq FROM seq_1_to_50")
        kept = Prepared(connection, "SELECT n FROM closed WHERE n > ? LIMIT 2")
        single.run(single.service.mark("c1"))
        for number in range(1, 9):
            once = Prepared(connection, "SELECT n FROM closed WHERE n = ?")
            once.execute(number)
            once.close()
            kept.execute(number)
        single.run(single.service.mark("c2"))
        run(connection, "DROP TABLE closed")
    told = {"c1": 0, "c2": 0}
    told |= {
        row["mark"]: (row["calls"], row["rows"])
        for row in single.rows.of("queries")
        if row["query"] == UNSEEN_STATEMENTS and row["mark"] in told
    }
    before = told["c1"] or (0, 0)
    assert (told["c2"][0] - before[0], told["c2"][1] - before[1]) == (8, 8)


def test_a_failing_statement_is_logged(single: MariaHouse) -> None:
    with single.connect("genba") as connection, pytest.raises(pymysql.err.ProgrammingError):
        run(connection, "SELECT 'a\nb' FROM nowhere")

    def told() -> list[dict[str, Any]]:
        return [row for row in single.rows.of("database_log") if row["sqlstate"] == "42S02"]

    (row,) = wait_until(told, "the error in the evidence")
    assert row["severity"] == "ERROR" and "nowhere" in row["message"]
