"""query, evidence export, compare, and the formats for CI."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET

import duckdb
import pytest
from click.testing import CliRunner
from fake_run import build, verdict_of

from hikkoshi.base.errors import BadInput
from hikkoshi.cli.compare import compare
from hikkoshi.cli.evidence import evidence
from hikkoshi.cli.query import query
from hikkoshi.cli.report import report
from hikkoshi.evidence.latencies import Endpoint, differences
from hikkoshi.report.json import to_json


@pytest.fixture(scope="module")
def runs_on_disk(tmp_path_factory):
    """{sick, healthy, again}: a run's directory each; `again` is healthy from another seed."""
    made = {}
    for name, healthy, seed in (("sick", False, 1), ("healthy", True, 1), ("again", True, 2)):
        made[name] = run = tmp_path_factory.mktemp(name)
        with build(run, healthy=healthy, seed=seed) as store:
            (run / "verdict.json").write_text(to_json(verdict_of(store, healthy=healthy)))
    return {name: str(run) for name, run in made.items()}


def asked(command, *arguments):
    return CliRunner().invoke(
        command, list(arguments), catch_exceptions=False, standalone_mode=False
    )


SQL = "SELECT trial, count(*) AS n, max(latency_s) AS worst FROM requests GROUP BY 1 ORDER BY 2, 1"


def test_a_question_is_answered_as_table_json_and_csv(runs_on_disk):
    run = runs_on_disk["sick"]
    as_json = json.loads(asked(query, SQL, run, "--json").stdout)
    assert as_json[0]["trial"] == "scp-swap" or as_json[0]["n"] > 0
    as_csv = list(csv.DictReader(io.StringIO(asked(query, SQL, run, "--csv").stdout)))
    assert [row["trial"] for row in as_csv] == [row["trial"] for row in as_json]
    assert {int(row["n"]) for row in as_csv} == {row["n"] for row in as_json}
    table = asked(query, SQL, run, "--limit", "2")
    assert len(table.stdout.splitlines()) == 3 and "the first 2 rows" in table.stderr


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT nothing FROM requests",
        "SELECT 1; DROP TABLE spans",
        "DELETE FROM requests",
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY requests TO '/tmp/leak-of-a-query.csv'",
        "ATTACH '/tmp/other-of-a-query.duckdb'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ],
)
def test_a_question_changes_nothing_and_reaches_nothing(runs_on_disk, sql):
    with pytest.raises(BadInput):
        asked(query, sql, runs_on_disk["sick"])


def test_evidence_is_exported_as_other_tools_read_it(runs_on_disk, tmp_path):
    places = ["--parquet", str(tmp_path / "it's"), "--csv", str(tmp_path / "c")]
    tables = ["--table", "requests", "--table", "spans"]
    done = asked(evidence, "export", runs_on_disk["sick"], *places, *tables)
    assert done.exit_code == 0 and len(done.output.splitlines()) == 4
    told = asked(query, "SELECT count(*) AS n, sum(latency_s) AS s FROM requests",
                 runs_on_disk["sick"], "--json")  # fmt: skip
    for name in ("it's/requests.parquet", "c/requests.csv"):
        place = str(tmp_path / name).replace("'", "''")
        told_sql = f"SELECT count(*), sum(latency_s) FROM '{place}'"
        ((count, total),) = duckdb.sql(told_sql).fetchall()
        (row,) = json.loads(told.stdout)
        assert count == row["n"] and total == pytest.approx(row["s"])
    with pytest.raises(BadInput, match="there is no table 'nope'"):
        asked(evidence, "export", runs_on_disk["sick"], "--csv", str(tmp_path), "--table", "nope")


def test_a_cure_is_seen_and_so_is_a_relapse(runs_on_disk):
    done = asked(compare, runs_on_disk["sick"], runs_on_disk["healthy"])
    assert done.return_value == 0 and "not ready → ready" in done.output
    for rule in ("opens-a-connection-for-each-request", "deadlocks-under-load"):
        assert f"gone {rule} (fact)" in done.output
    back = asked(compare, runs_on_disk["healthy"], runs_on_disk["sick"], "--json")
    document = json.loads(back.stdout)
    assert back.return_value == 1 and document["is_worse"]
    assert {"repeats-a-query-for-each-row", "saturates-task-cpu"} <= {
        each["rule"] for each in document["new"]
    }


def test_two_runs_of_one_service_do_not_differ(runs_on_disk):
    document = json.loads(
        asked(compare, runs_on_disk["healthy"], runs_on_disk["again"], "--json").stdout
    )
    assert document["differences"] == [] and document["gone"] == document["new"] == []


def test_a_run_is_not_compared_with_itself(runs_on_disk):
    with pytest.raises(BadInput, match="the same run"):
        asked(compare, runs_on_disk["sick"], runs_on_disk["sick"])


def endpoint(p50, p99=1.0, requests=1000, failed=0):
    spread = [0.97, 1.01, 0.99, 1.02, 1.0, 0.98, 1.03, 1.0, 0.99, 1.01]
    return Endpoint("steady", "GET /", requests, failed, tuple(p50 * x for x in spread),
                    tuple(p99 * x for x in spread))  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (endpoint(0.010), endpoint(0.020), [("p50", True)]),
        (endpoint(0.010), endpoint(0.0104), []),  # within noise
        (endpoint(0.0010), endpoint(0.0015), []),  # half a millisecond is nobody's concern
        (endpoint(0.010, p99=2.0), endpoint(0.010, p99=1.0), [("p99", False)]),
        (endpoint(0.010), endpoint(0.010, failed=30), [("errors", True)]),
        (endpoint(0.010, failed=3), endpoint(0.010, failed=7), []),
        (endpoint(0.010, requests=40), endpoint(0.1, requests=40), []),  # too few to tell
    ],
)
def test_only_what_is_larger_than_noise_differs(before, after, expected):
    assert [(each.what, each.is_worse) for each in differences(before, after)] == expected


def test_annotations_are_lines_that_github_reads(runs_on_disk):
    lines = asked(report, runs_on_disk["sick"], "--format", "github").output.splitlines()
    assert all(line.startswith(("::error ", "::warning ", "::notice ")) for line in lines)
    assert any(line.startswith("::error title=deadlocks-under-load (fact)::") for line in lines)
    assert lines[-1].startswith("::error title=hikkoshi%3A not ready::genba is not ready%0A")
    ready = asked(report, runs_on_disk["healthy"], "--format", "github").output.splitlines()
    assert ready[-1].startswith("::notice title=hikkoshi%3A ready::")


def test_junit_is_printed_alone(runs_on_disk):
    root = ET.fromstring(asked(report, runs_on_disk["sick"], "--format", "junit").stdout)
    assert root.tag == "testsuites" and root.find(".//failure") is not None
