"""What the RDS room decides, in tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hikkoshi.region.rds.decisions import (
    MemberView,
    Promote,
    Refuse,
    RestartInPlace,
    choose_failover,
    has_diverged,
    parse_position,
    readers_behind_names,
)
from hikkoshi.region.rds.mariadb.parameters import known_parameters, names_a_parameter_of_aws
from hikkoshi.region.rds.mariadb.scans import with_values
from hikkoshi.region.rds.parameters import evaluate, memory_of_class
from hikkoshi.region.rds.passwords import password_fault, scram_verifier
from hikkoshi.region.rds.postgresql.configuration import (
    Following,
    ServerConfiguration,
    render_configuration,
    sync_names,
    with_defaults,
)
from hikkoshi.region.rds.postgresql.parameters import effective
from hikkoshi.region.rds.postgresql.serverlog import row_of
from hikkoshi.region.rds.records import ClusterRecord, Endpoints, InstanceRecord
from hikkoshi.region.rds.restore import comes_back
from hikkoshi.region.rds.sampling import summed

GIB = 1 << 30


def member(name: str, **more: object) -> MemberView:
    known = {"zone": "a", "status": "available", "is_writer": False, "is_in_sync": True}
    return MemberView(name, **(known | more))  # type: ignore[arg-type]


WRITER = member("w", is_writer=True, is_in_sync=False)


@pytest.mark.parametrize(
    ("members", "wanted", "expected"),
    [
        ([WRITER, member("r")], None, Promote("r", "ready, in promotion tier 1")),
        ([WRITER, member("r")], "r", Promote("r", "asked for")),
        (
            [WRITER, member("r1"), member("r2", promotion_tier=0)],
            None,
            Promote("r2", "ready, in promotion tier 0"),
        ),
        (
            [WRITER, member("r1", received=5), member("r2", received=9)],
            None,
            Promote("r2", "ready, in promotion tier 1"),
        ),
        ([WRITER], None, RestartInPlace("the cluster has no reader")),
    ],
)
def test_where_a_failover_goes(members: list[MemberView], wanted: str, expected: object) -> None:
    assert choose_failover("c", "available", members, wanted) == expected


@pytest.mark.parametrize(
    ("status", "members", "wanted", "fault"),
    [
        ("failing-over", [WRITER, member("r")], None, "state"),
        ("available", [], None, "state"),
        ("available", [WRITER, member("r")], "x", "instance"),
        ("available", [WRITER, member("r")], "w", "state"),
        ("available", [WRITER, member("r", is_in_sync=False)], None, "state"),
        ("available", [WRITER, member("r", status="rebooting")], "r", "state"),
    ],
)
def test_failovers_that_are_refused(
    status: str, members: list[MemberView], wanted: str, fault: str
) -> None:
    choice = choose_failover("c", status, members, wanted)
    assert isinstance(choice, Refuse) and choice.fault == fault


def test_who_serves_the_reader_endpoint() -> None:
    assert readers_behind_names([WRITER, member("a"), member("b")]) == ["a", "b"]
    assert readers_behind_names([WRITER, member("a", status="rebooting")]) == ["w"]


def test_positions_in_the_log() -> None:
    assert parse_position("16/B374D848") == 0x16B374D848
    assert parse_position(None) == 0
    assert has_diverged(2, 1) and not has_diverged(1, 1)


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("LEAST({DBInstanceClassMemory/9531392},5000)", "450"),
        ("GREATEST({DBInstanceClassMemory/1048576},7)", "4096"),
        ("SUM({DBInstanceClassMemory/12038},-0)", None),
        ("SUM({DBInstanceClassMemory*1/4294967296}, 2)", "3"),
        ("LEAST(LEAST(9,8),7)", "7"),
        ("{DBInstanceClassMemory/0}", None),
        ("LEAST(1,2", None),
        ("100 connections", None),
    ],
)
def test_formulas(formula: str, value: str | None) -> None:
    if value is None:
        with pytest.raises(ValueError):
            evaluate(formula, 4 * GIB)
    else:
        assert evaluate(formula, 4 * GIB) == value


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        ("db.t4g.medium", 4),
        ("db.t3.large", 8),
        ("db.r6g.large", 16),
        ("db.r7g.16xlarge", 512),
        ("db.x2g.large", 32),
        ("db.serverless", 4),
        ("db.r6g.medium", None),
        ("db.m5.large", None),
        ("large", None),
    ],
)
def test_memory_of_classes(name: str, gib: int | None) -> None:
    assert memory_of_class(name) == (gib * GIB if gib else None)


def test_what_the_server_gets_of_a_group() -> None:
    values = {"shared_buffers": "{DBInstanceClassMemory/12038}", "work_mem": "8192"}
    assert effective(values, 4 * GIB) == {"max_connections": "450", "work_mem": "8192"}


def test_statistics_are_always_loaded() -> None:
    found = with_defaults({"shared_preload_libraries": "auto_explain"})
    assert found["shared_preload_libraries"] == "auto_explain,pg_stat_statements"


def test_configuration_quotes_and_never_has_a_password(tmp_path: object) -> None:
    from pathlib import Path

    configuration = ServerConfiguration(
        "db-2",
        "10.0.1.2",
        5432,
        "10.0.0.1",
        Path("/state"),
        {"log_statement": "it's"},
        Following("10.0.1.1", 5432),
        ("db-1",),
    )
    text = render_configuration(configuration)
    assert "log_statement = 'it''s'\n" in text
    assert "synchronous_standby_names = '1 (\"db-1\")'\n" in text
    assert "host=10.0.1.1 port=5432 user=rdsrepladmin" in text and "password=" not in text
    assert sync_names(["a", 'b"c']) == '2 ("a", "b""c")'


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("short", "shorter than 8"),
        ("x" * 129, "longer than 128"),
        ("with space", "Only printable ASCII"),
        ("ユーザーの秘密です", "Only printable ASCII"),
        ("sla/shes-1", "Only printable ASCII"),
        ("good-enough", None),
    ],
)
def test_passwords(password: str, words: str | None) -> None:
    fault = password_fault(password)
    assert fault is None if words is None else words in (fault or "")


def test_a_verifier_is_the_one_of_rfc_7677() -> None:
    # The RFC's example: user, pencil, and its salt; the keys are PostgreSQL's own for it.
    import base64

    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    assert scram_verifier("pencil", salt) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


def test_endpoints_look_like_rds() -> None:
    names = Endpoints("123456789012", "ap-northeast-1")
    middle = names.instance("i").split(".")[1]
    assert len(middle) == 12
    assert names.cluster("c") == f"c.cluster-{middle}.ap-northeast-1.rds.amazonaws.com"
    assert names.reader("c") == f"c.cluster-ro-{middle}.ap-northeast-1.rds.amazonaws.com"


def test_one_row_a_query_over_all_servers() -> None:
    rows = [("1", "a", 2, 20, 0.5), ("2", "b", 1, 1, 0.1), ("1", "a", 3, 30, 0.25)]
    assert summed(rows) == [("1", "a", 5, 50, 0.75), ("2", "b", 1, 1, 0.1)]


def entry(**more: object) -> str:
    known = {
        "timestamp": "2026-11-23 18:30:00.250 UTC",
        "user": "genba",
        "dbname": "genba",
        "error_severity": "ERROR",
        "state_code": "40P01",
        "message": "deadlock detected",
        "detail": "Process 1 waits for ShareLock…",
        "statement": "UPDATE a",
        "application_name": "app",
        "backend_type": "client backend",
    }
    return json.dumps(known | more)


def test_a_line_of_the_log_becomes_a_row() -> None:
    row = row_of(entry())
    assert row is not None
    assert (row["sqlstate"], row["statement"]) == ("40P01", "UPDATE a")
    assert row["t"] == pytest.approx(1795458600.25)


@pytest.mark.parametrize(
    ("more", "is_kept"),
    [
        ({"error_severity": "LOG", "message": "checkpoint complete"}, False),
        ({"error_severity": "LOG", "message": "process 9 still waiting for ShareLock on"}, True),
        ({"error_severity": "FATAL", "state_code": "53300"}, True),
        ({"application_name": "hikkoshi"}, False),
        ({"user": "rdsadmin"}, False),
        ({"backend_type": "walreceiver", "error_severity": "FATAL"}, False),
    ],
)
def test_which_lines_are_kept(more: dict[str, object], is_kept: bool) -> None:
    assert (row_of(entry(**more)) is not None) == is_kept


@pytest.mark.parametrize("line", ["", "garbage", "[]", "7"])
def test_lines_that_are_no_entries(line: str) -> None:
    assert row_of(line) is None


@pytest.mark.parametrize(
    ("status", "is_furnished", "place", "is_back"),
    [
        ("available", True, "genba-1", True),
        ("available", True, "volume", True),
        ("available", True, "elsewhere", False),
        ("creating", False, "elsewhere", True),
        ("deleting", True, "genba-1", False),
    ],
)
def test_which_clusters_come_back(
    tmp_path: Path, status: str, is_furnished: bool, place: str, is_back: bool
) -> None:
    """One whose data are gone does not; one that never had any is made anew."""
    now = datetime(2026, 11, 30, tzinfo=UTC)
    record = ClusterRecord(
        "genba", "17.4", 5432, "genba", None, "default", "default", "w", "r", "id", now, ("a",),
        status=status, writer="genba-1", is_furnished=is_furnished,
        instances={"genba-1": InstanceRecord("genba-1", "genba", "c", "a", "e", "id", now)},
    )  # fmt: skip
    (tmp_path / place / "data").mkdir(parents=True)
    assert comes_back(record, tmp_path) is is_back


@pytest.mark.parametrize(
    ("name", "is_of_aws"),
    [("require_secure_transport", True), ("aurora_replica_read_consistency", True),
     ("character_set_client", True), ("no_such_thing", False)],
)  # fmt: skip
def test_a_parameter_of_mysql_that_is_not_played_is_known_by_name(
    name: str, is_of_aws: bool
) -> None:
    assert names_a_parameter_of_aws(name) is is_of_aws
    assert name not in known_parameters()


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT a FROM t WHERE b = ? OR c = 'so?'", "SELECT a FROM t WHERE b = '1' OR c = 'so?'"),
        ("SELECT `?` FROM t LIMIT ?", "SELECT `?` FROM t LIMIT 10"),
        ("SELECT a FROM t WHERE b IN (?, ?) limit ?, ?",
         "SELECT a FROM t WHERE b IN ('1', '1') limit 10, 10"),
        ("DELETE FROM t LIMIT ? OFFSET ?", "DELETE FROM t LIMIT 10 OFFSET 10"),
        ("SELECT 'it''s \\'?' FROM t WHERE a = ?", "SELECT 'it''s \\'?' FROM t WHERE a = '1'"),
    ],
)  # fmt: skip
def test_a_prepared_statement_gets_values_for_its_plan(statement: str, expected: str) -> None:
    assert with_values(statement) == expected
