"""What the rules read of a real server: who blocks whom, who idles, and which table is scanned."""

from __future__ import annotations

import threading

import pytest
from rds_house import House, wait_until

from hikkoshi.region.rds.postgresql.scans import scans_in


def test_a_blocker_that_idles_is_seen_with_its_waiter(pair: House) -> None:
    with pair.connect("genba") as holder, pair.connect("genba") as waiter:
        holder.execute("CREATE TABLE blocked (i int)")
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE blocked")
        thread = threading.Thread(target=waiter.execute, args=("INSERT INTO blocked VALUES (1)",))
        thread.start()
        waiting, holding = waiter.info.backend_pid, holder.info.backend_pid

        def tree() -> bool:
            rows = pair.rows.of("database_sessions")
            by_pid = {row["pid"]: row for row in rows if row["t"] == rows[-1]["t"]} if rows else {}
            return (
                waiting in by_pid
                and holding in by_pid
                and by_pid[waiting]["blocked_by"] == str(holding)
                and by_pid[waiting]["wait_event_type"] == "Lock"
                and by_pid[waiting]["query"] == "INSERT INTO blocked VALUES (1)"
                and by_pid[holding]["state"] == "idle in transaction"
                and by_pid[holding]["xact_age_s"] > 0.1
            )

        wait_until(tree, "the waiter and the one that holds the lock")
        holder.execute("ROLLBACK")
        thread.join()


def test_a_scan_is_planned_and_counted(pair: House) -> None:
    with pair.connect("genba") as connection:
        connection.execute("CREATE TABLE scanned AS SELECT n, n % 100 AS k FROM "
                           "generate_series(1, 5000) n")  # fmt: skip
        connection.execute("CREATE TABLE served (LIKE scanned); CREATE INDEX ON served (k)")
        connection.execute("INSERT INTO served SELECT * FROM scanned; ANALYZE")
        for table in ("scanned", "served"):
            connection.execute(f"SELECT n FROM {table} WHERE k = %s", (7,)).fetchall()
            connection.execute(f"SELECT n FROM {table} ORDER BY k DESC LIMIT 3").fetchall()
            connection.execute(f"SELECT count(*) FROM {table} WHERE k = %s", (7,)).fetchall()
            connection.execute(f"SELECT n FROM {table} WHERE k > %s LIMIT 2", (0,)).fetchall()
    pair.run(pair.service.mark("scans"))
    plans = [row for row in pair.rows.of("scan_plans") if "FROM s" in row["query"]]
    assert {row["table_name"] for row in plans} == {"public.scanned"}
    assert {(row["filter"].startswith("ORDER BY scanned.k DESC"), row["kept_rows"] < 250)
            for row in plans} == {(True, False), (False, True)}  # fmt: skip
    assert len(plans) == 3, "the scan that its LIMIT soon ends is none"
    plans = [row for row in plans if row["query"].startswith("SELECT n FROM scanned WHERE k =")]
    assert "k = $1" in plans[0]["filter"]
    assert plans[0]["live_rows"] >= 4900

    def is_counted() -> bool:
        pair.run(pair.service.mark("again"))
        rows = [row for row in pair.rows.of("table_scans") if row["table_name"] == "public.scanned"]
        return any(row["seq_scans"] >= 1 and row["seq_rows"] >= 5000 for row in rows)

    wait_until(is_counted, "the scan counted")
    again = [row for row in pair.rows.of("scan_plans") if row["query"] == plans[0]["query"]]
    assert len(again) == 1, "each statement is explained once"


def test_scans_are_found_at_any_depth() -> None:
    scan = {"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Filter": "(a = 1)"}
    bare = {"Node Type": "Seq Scan", "Relation Name": "u"}
    plan = [{"Plan": {"Node Type": "Nested Loop", "Plans": [{"Plans": [scan]}, bare]}}]
    assert list(scans_in(plan)) == [("s.t", "(a = 1)", 0, False)]
    assert list(scans_in(None)) == []


def node(kind: str, *plans: dict[str, object], **more: object) -> dict[str, object]:
    return {"Node Type": kind, "Plans": list(plans), **more}


FILTERED = {"Node Type": "Seq Scan", "Relation Name": "t", "Filter": "(a = 1)", "Plan Rows": 9}
BARE = {"Node Type": "Seq Scan", "Relation Name": "t", "Plan Rows": 900}


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (node("Limit", node("Sort", BARE, **{"Sort Key": ["t.b DESC", "t.c"]})),
         [("public.t", "ORDER BY t.b DESC, t.c", 900, False)]),
        (node("Limit", node("Gather Merge", node("Sort", BARE, **{"Sort Key": ["t.b"]}))),
         [("public.t", "ORDER BY t.b", 900, False)]),
        (node("Sort", BARE, **{"Sort Key": ["t.b"]}), []),  # all rows are wanted
        (node("Limit", node("Sort", node("Hash Join", BARE), **{"Sort Key": ["t.b"]})), []),
        (node("Limit", BARE), []),
        (node("Limit", FILTERED), [("public.t", "(a = 1)", 9, True)]),
        (node("Limit", node("Sort", FILTERED)), [("public.t", "(a = 1)", 9, False)]),
        (node("Limit", node("Aggregate", FILTERED)), [("public.t", "(a = 1)", 9, False)]),
    ],
)  # fmt: skip
def test_a_scan_for_the_first_rows(plan: dict[str, object], expected: list[object]) -> None:
    assert list(scans_in([{"Plan": plan}])) == expected
