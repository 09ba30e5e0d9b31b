from __future__ import annotations

import pytest

from hikkoshi.evidence.queries import RepeatedSpans, StatementDelta
from hikkoshi.findings.rules import repeats_a_query_for_each_row as rule
from hikkoshi.model.evidence import UNSEEN_STATEMENTS
from hikkoshi.model.findings import Certainty, NotJudged

PARENT = "SELECT id, title FROM reports ORDER BY id LIMIT $1"
CHILD = "SELECT * FROM items WHERE report_id = $1"


def delta(query, calls, rows, requests=20):
    return StatementDelta("GET /reports", requests, query, query, calls, rows, 0.0, 1.0)


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        # The measured signature of facts/observability.md: 20 calls of 25 rows, 500 calls.
        ([delta(PARENT, 20, 500), delta(CHILD, 500, 500)], Certainty.FACT),
        ([delta(PARENT, 20, 200), delta(CHILD, 200, 200)], Certainty.FACT),
        ([delta(PARENT, 20, 199), delta(CHILD, 199, 199)], Certainty.LIKELY),
        ([delta(PARENT, 20, 100), delta(CHILD, 100, 100)], Certainty.LIKELY),
        ([delta(PARENT, 20, 99), delta(CHILD, 99, 99)], None),
        # Children of many rows each: still one call for each parent's row.
        ([delta(PARENT, 20, 400), delta(CHILD, 400, 3100)], Certainty.FACT),
        # Some rows have no child to ask for.
        ([delta(PARENT, 20, 400), delta(CHILD, 340, 340)], Certainty.FACT),
        # No statement returned as many rows.
        ([delta(PARENT, 20, 20), delta(CHILD, 400, 400)], Certainty.LIKELY),
        ([delta(CHILD, 100, 100)], Certainty.HINT),
        # A batch of writes that the client sent is not a query for each row.
        ([delta("INSERT INTO items VALUES ($1)", 400, 400)], None),
        # But a write for each row that was read is.
        (
            [delta(PARENT, 20, 400), delta("UPDATE reports SET seen = $1 WHERE id = $2", 400, 400)],
            Certainty.FACT,
        ),
        # The repaired endpoint: one join.
        ([delta("SELECT * FROM reports JOIN items USING (id)", 20, 900)], None),
        # Three honest queries a request.
        ([delta(PARENT, 20, 400), delta(CHILD, 20, 400), delta("SELECT $1 + 2", 20, 20)], None),
        # What pools and transactions send.
        ([delta(PARENT, 20, 400), delta("BEGIN", 400, 0), delta("SELECT 1", 400, 400)], None),
        ([delta("SAVEPOINT sp_$1", 900, 0), delta("SET search_path TO x", 900, 0)], None),
    ],
)
def test_signature(deltas, expected):
    found = rule.repeats(deltas)
    assert (found[0].certainty if found else None) is expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("BEGIN", False),
        ("begin isolation level repeatable read", False),
        ("COMMIT", False),
        ("ROLLBACK TO SAVEPOINT a", False),
        ("SELECT 1", False),
        ("SELECT $1", False),
        ("/* ping */ SELECT 1;", False),
        ("SELECT pg_catalog.version()", False),
        ("SELECT * FROM pg_stat_activity", False),
        ("SHOW transaction_read_only", False),
        # What asyncpg's pool sends whenever a connection is given back, and drivers of MySQL.
        ("SELECT pg_advisory_unlock_all()", False),
        ("select current_schema()", False),
        ("SELECT pg_catalog.set_config($1, $2, $3)", False),
        ("SELECT ? AS `n`", False),
        ("SELECT @@`tx_isolation`", False),
        ("SELECT NOW ( )", False),
        ("SELECT now FROM clocks WHERE id = $1", True),
        ("SELECT name FROM settings WHERE id = $1", True),
        ("SELECT 1 FROM items WHERE id = $1 FOR UPDATE", True),
        ("UPDATE resets SET a = $1", True),
        ("WITH x AS (SELECT $1) SELECT * FROM x", True),
    ],
)
def test_what_is_a_query_of_the_endpoint(statement, expected):
    assert rule.is_query(statement) is expected


def probe(run, endpoint, statements, requests=20):
    before, after = f"before {endpoint}", f"after {endpoint}"
    for queryid, (query, calls, rows) in enumerate(statements):
        run.row("queries", t=0, mark=before, queryid=str(queryid), query=query, calls=7, rows=7)
        run.row(
            "queries",
            t=1,
            mark=after,
            queryid=str(queryid),
            query=query,
            calls=7 + calls,
            rows=7 + rows,
        )
    run.row(
        "probes",
        endpoint=endpoint,
        requests=requests,
        mark_before=before,
        mark_after=after,
        t_start=0,
        t_end=1,
    )


def test_black_box_names_the_endpoint_and_shows_both_statements(made_run):
    probe(made_run, "GET /reports", [(PARENT, 20, 500), (CHILD, 500, 500), ("BEGIN", 20, 0)])
    probe(made_run, "GET /reports/{id}", [(CHILD, 20, 500)])
    (finding,) = made_run.judge_by(rule)
    assert (finding.subject, finding.certainty) == ("GET /reports", Certainty.FACT)
    assert PARENT in finding.details[0] and CHILD in finding.details[0]
    values = [row.value for row in finding.evidence]
    assert values[0].startswith("25.0 (500 calls over 20 requests, 1.00 rows")
    assert values[-1] == "25 × 1 ms = 25 ms"


@pytest.mark.parametrize(("calls", "is_judged"), [(99, True), (100, False)])
def test_statements_of_which_nobody_kept_the_text(made_run, calls, is_judged):
    probe(made_run, "GET /reports", [(PARENT, 20, 500), (UNSEEN_STATEMENTS, calls, calls)])
    found = made_run.judge_by(rule)
    assert isinstance(found, NotJudged) is not is_judged
    assert is_judged or "GET /reports executed 5 statements a request" in found.why


def test_what_was_found_is_told_though_other_statements_are_unknown(made_run):
    probe(made_run, "GET /x", [(PARENT, 20, 500), (CHILD, 500, 500), (UNSEEN_STATEMENTS, 900, 9)])
    (finding,) = made_run.judge_by(rule)
    assert "-- prepared" not in "".join(finding.details)


def test_a_statement_that_is_new_after_the_probe_counts_from_zero(made_run):
    made_run.row("queries", t=0, mark="b", queryid="1", query="SELECT 9", calls=1, rows=1)
    made_run.row("queries", t=1, mark="a", queryid="2", query=CHILD, calls=400, rows=400)
    made_run.row("queries", t=1, mark="a", queryid="3", query=PARENT, calls=20, rows=400)
    made_run.row(
        "probes",
        endpoint="GET /x",
        requests=20,
        mark_before="b",
        mark_after="a",
        t_start=0,
        t_end=1,
    )
    (finding,) = made_run.judge_by(rule)
    assert finding.certainty is Certainty.FACT


def trace(run, number, children, sql=None, url="http://h/reports/17", **root):
    run.row(
        "spans",
        trace_id=f"t{number}",
        span_id=f"r{number}",
        name="genba",
        t_start=number,
        t_end=number + 1,
        method="GET",
        url=url,
        **root,
    )
    for k in range(children):
        run.row(
            "spans",
            trace_id=f"t{number}",
            span_id=f"r{number}.{k}",
            parent_id=f"r{number}",
            name="reports@db",
            namespace="remote",
            t_start=number + k / 100,
            t_end=number + k / 100 + 0.001,
            sql=sql(k) if sql else None,
        )


def by_id(k):
    return f"SELECT * FROM items WHERE report_id = {k} AND name = 'it''s {k}'"


def test_traces_with_sql_are_gathered_by_statement_and_endpoint(made_run):
    for number in range(6):
        trace(made_run, number, 12, by_id, url=f"http://h/reports/{number}?page={number}")
    (finding,) = made_run.judge_by(rule)
    assert (finding.subject, finding.certainty) == ("GET /reports/{id}", Certainty.FACT)
    assert finding.details == ("repeated: SELECT * FROM items WHERE report_id = ? AND name = ?",)
    assert finding.evidence[0].value == "median 12, most 12, in 6 of 6 traces"


def test_traces_of_one_statement_each_are_left_alone(made_run):
    for number in range(6):
        trace(made_run, number, 12, lambda k: f"SELECT c{chr(97 + k)} FROM t{chr(97 + k)}")
    assert made_run.judge_by(rule) is None


def test_a_minority_of_an_endpoints_traces_is_not_enough(made_run):
    for number in range(10):
        trace(made_run, number, 12 if number < 4 else 1, by_id)
    assert made_run.judge_by(rule) is None


def test_black_box_and_traces_of_one_endpoint_are_one_finding(made_run):
    probe(made_run, "GET /reports", [(PARENT, 20, 500), (CHILD, 500, 500)])
    for number in range(4):
        trace(made_run, number, 25, by_id, url="http://h/reports?limit=25")
    assert len(made_run.judge_by(rule)) == 1


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (RepeatedSpans("e", "s", True, 10, 5, 10, 10), Certainty.FACT),
        (RepeatedSpans("e", "s", True, 10, 5, 9, 30), Certainty.LIKELY),
        (RepeatedSpans("e", "s", True, 10, 4, 30, 30), None),
        (RepeatedSpans("e", "s", False, 10, 10, 30, 30), Certainty.LIKELY),
        (RepeatedSpans("e", "s", False, 10, 10, 6, 30), Certainty.HINT),
    ],
)
def test_thresholds_of_traces(group, expected):
    assert rule.certainty_of_spans(group) is expected


def test_without_probes_and_spans_it_does_not_judge(made_run):
    made_run.trial("steady", 0, 20)
    assert isinstance(made_run.judge_by(rule), NotJudged)


def test_a_probe_without_its_marks_is_no_evidence(made_run):
    made_run.row(
        "probes",
        endpoint="GET /x",
        requests=20,
        mark_before="b",
        mark_after="a",
        t_start=0,
        t_end=1,
    )
    assert isinstance(made_run.judge_by(rule), NotJudged)


def test_a_digest_is_told_as_one_would_write_it():
    digest = (
        "SELECT `a` . `id` , COUNT ( * ) FROM `accounts` `a` WHERE `a` . `id` IN ( ... ) LIMIT ?"
    )
    assert rule.told(digest) == ("SELECT a.id, COUNT(*) FROM accounts a WHERE a.id IN(...) LIMIT ?")
    assert rule.told("SELECT id , n FROM t") == "SELECT id , n FROM t"
