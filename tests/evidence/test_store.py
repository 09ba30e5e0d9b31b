from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path

import duckdb
import pytest

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.evidence.build import build_store
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.findings.judge import judge
from hikkoshi.model.evidence import SCHEMA_VERSION, TABLES

DOCS = Path(__file__).parents[2] / "docs" / "evidence.md"


def write(directory: Path, table: str, *lines: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{table}.jsonl"
    path.write_text("\n".join(lines))
    return path


def test_every_table_and_column_is_there(tmp_path):
    with build_store([], [], tmp_path / "e.duckdb", service="genba") as store:
        for table, columns in TABLES.items():
            found = store.rows(
                "SELECT column_name, data_type FROM information_schema.columns "
                "WHERE table_name = ? ORDER BY ordinal_position",
                [table],
            )
            assert dict(found) == columns
        assert store.meta()["service"] == "genba"
        assert store.meta()["schema_version"] == str(SCHEMA_VERSION)


def test_lines_that_cannot_be_read_are_skipped_and_counted(tmp_path):
    write(
        tmp_path / "r", "logs",
        '{"t":1.5,"line":"good"}', "", "no json", '{"t":"when?"}', "[1]", '{"line":"no time"}',
        '{"t":2.5,"line":"also good","later":"unknown column"}', '{"t":3,"line":"torn',
    )  # fmt: skip
    with build_store([tmp_path / "r"], [], tmp_path / "e.duckdb") as store:
        assert store.rows("SELECT t, line FROM logs ORDER BY t") == [
            (1.5, "good"), (2.5, "also good"),
        ]  # fmt: skip
        assert store.meta()["skipped.logs"] == "5"


def test_several_directories_and_load_results(tmp_path):
    for name in ("region", "rehearsal"):
        write(tmp_path / name, "service_events", json.dumps({"t": 1, "message": name}))
    loads = tmp_path / "a.csv"
    loads.write_text(
        'trial,t_intended,latency_s,status,url\nsteady,1.5,0.01,200,"http://h/?q=a,b"\n'
        "steady,2.5,,,\nsteady,oops,0.1,200,x\n"
    )
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"trial":"soak","t_intended":9,"status":503}\n'))
    with build_store(
        [tmp_path / "region", tmp_path / "rehearsal", tmp_path / "absent"],
        [loads, packed, tmp_path / "absent.csv"],
        tmp_path / "e.duckdb",
    ) as store:
        assert store.rows("SELECT count(*) FROM service_events") == [(2,)]
        assert store.rows("SELECT trial, t_intended, status, url FROM requests ORDER BY 2") == [
            ("steady", 1.5, 200, "http://h/?q=a,b"),
            ("steady", 2.5, None, None),
            ("soak", 9.0, 503, None),
        ]
        assert store.meta()["skipped.requests"] == "1"


def test_csv_without_a_header_has_the_columns_in_order(tmp_path):
    (tmp_path / "a.csv").write_text("steady,1.5,1.6,0.01\n")
    with build_store([], [tmp_path / "a.csv"], tmp_path / "e.duckdb") as store:
        assert store.rows("SELECT t_sent, latency_s FROM requests") == [(1.6, 0.01)]


def test_an_unknown_column_of_a_load_result_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("trial,t_intended,colour\n")
    with pytest.raises(BadInput, match=r"a\.csv:1: .*'colour'"):
        build_store([], [tmp_path / "a.csv"], tmp_path / "e.duckdb")
    assert not list(tmp_path.glob("*.duckdb*")) and not list(tmp_path.glob(".*part*"))


def test_paths_are_never_read_as_sql_or_patterns(tmp_path):
    place = tmp_path / 'it\'s; DROP TABLE "x" -- [a] *'
    write(place, "logs", '{"t":1,"line":"here"}')
    write(tmp_path / 'it\'s; DROP TABLE "x" -- a b', "logs", '{"t":2,"line":"not here"}')
    with build_store([place], [], place / "e.duckdb") as store:
        assert store.rows("SELECT line FROM logs") == [("here",)]


def test_a_path_that_duckdb_cannot_take_is_refused(tmp_path):
    with pytest.raises(BadInput, match="question mark"):
        build_store([], [], tmp_path / "what?" / "e.duckdb")


def test_the_store_is_read_only_and_reaches_no_file(tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with build_store([], [], tmp_path / "e.duckdb") as store:
        with pytest.raises(duckdb.Error):
            store.rows("INSERT INTO logs (t) VALUES (1)")
        with pytest.raises(duckdb.Error):
            store.rows("SELECT * FROM read_csv(?)", [str(secret)])


def test_an_old_store_is_replaced_whole(tmp_path):
    path = tmp_path / "e.duckdb"
    write(tmp_path / "r", "logs", '{"t":1}')
    build_store([tmp_path / "r"], [], path).close()
    with build_store([], [], path) as store:
        assert not store.has_rows("logs")
    assert os.listdir(tmp_path) in (["r", "e.duckdb"], ["e.duckdb", "r"])


def test_what_is_no_evidence_is_refused_with_its_path(tmp_path):
    with pytest.raises(BadInput, match="no evidence here"):
        EvidenceStore.open(tmp_path / "absent.duckdb")
    (tmp_path / "text.duckdb").write_text("hello, this is only text")
    with pytest.raises(BadInput, match="not a readable evidence file"):
        EvidenceStore.open(tmp_path / "text.duckdb")
    duckdb.connect(str(tmp_path / "other.duckdb")).close()
    with pytest.raises(BadInput, match="no evidence of ours"):
        EvidenceStore.open(tmp_path / "other.duckdb")
    with duckdb.connect(str(tmp_path / "newer.duckdb")) as connection:
        connection.execute("CREATE TABLE meta AS SELECT 'schema_version' AS key, '99' AS value")
    with pytest.raises(BadInput, match="schema 99"):
        EvidenceStore.open(tmp_path / "newer.duckdb")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotRun, match="could not be written"):
        build_store([], [], tmp_path / "file" / "e.duckdb")


def test_the_documentation_has_every_column():
    text = DOCS.read_text()
    sections = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
    for table, columns in TABLES.items():
        documented = re.findall(r"^\| `(\w+)` \| (\w+) \|", sections[table], re.MULTILINE)
        assert dict(documented) == columns, table


def test_an_older_run_is_read_with_what_came_later_empty(tmp_path):
    """As schema 1 was: fewer tables, and `task_events` without the task's address."""
    path = tmp_path / "old.duckdb"
    since_2 = {
        "database_sessions", "table_scans", "scan_plans", "container_ends", "listening", "network",
        "name_queries", "load_steps",
    }  # fmt: skip
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE meta AS SELECT 'schema_version' AS key, '1' AS value")
        for table, columns in TABLES.items():
            if table not in since_2:
                kept = {
                    k: v for k, v in columns.items() if (table, k) != ("task_events", "address")
                }
                declared = ", ".join(f'"{name}" {kind}' for name, kind in kept.items())
                connection.execute(f'CREATE TABLE "{table}" ({declared})')
        connection.execute("INSERT INTO task_events (t, task) VALUES (1, 'a')")
        connection.execute("INSERT INTO trials VALUES ('steady', 0, 9, 'held', '')")
    before = path.read_bytes()
    with EvidenceStore.open(path) as store:
        assert store.rows("SELECT task, address FROM task_events") == [("a", None)]
        for table in since_2:
            assert not store.has_rows(table)
        judgement = judge(store)
    assert not judgement.findings
    older = [r for r in judgement.not_judged if "recorded before" in r.why]
    assert {"ignores-sigterm", "binds-localhost"} <= {r.rule for r in older}
    assert path.read_bytes() == before
