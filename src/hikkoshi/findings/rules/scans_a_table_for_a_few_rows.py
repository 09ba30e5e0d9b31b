"""Statements that read a whole table to return a few rows of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hikkoshi.evidence import database
from hikkoshi.evidence.database import Scan
from hikkoshi.evidence.engines import Engine, engine_of
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import measured, surest
from hikkoshi.findings.rule import Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "scans-a-table-for-a-few-rows"
TITLE = "Reads a whole table for a few of its rows"
APPLIES = Applies((Need.DATABASE, Need.LOAD), ("one-by-one",), since=2)

# Own cuts: of a smaller table a scan is cheap, and the planner's choice.
LEAST_ROWS = 1000
FEW_SHARE = 0.05
# Own cut: the counters must show that such scans were made, not only that they are planned.
READ_SHARE = 0.5

_PLAIN_KEY = re.compile(
    r"(?:[\w`\"]+\.)*[`\"]?([a-z_]\w*)[`\"]?(?: (?:asc|desc))?(?: nulls (?:first|last))?",
    re.IGNORECASE,
)
_GATHERS = re.compile(
    r"\b(?:count|sum|avg|min|max|bool_or|bool_and|array_agg|string_agg|json_agg|jsonb_agg)\s*\(|"
    r"\bgroup\s+by\b|\bdistinct\b|\bexists\b",
    re.IGNORECASE,
)


def certainty_of(scan: Scan) -> Certainty | None:
    """Of a statement that gathers rows (count, sum, GROUP BY) how many it returns says nothing of
    how many it needs: there the planner's estimate decides, and is no fact. Nor is a sort for its
    first rows: an index would serve it, and costs each write."""
    if scan.live_rows < LEAST_ROWS or scan.calls < 1:
        return None
    gathers = bool(_GATHERS.search(scan.query))
    needed = scan.kept_rows if gathers else scan.rows / scan.calls
    if needed is None or needed > FEW_SHARE * scan.live_rows:
        return None
    if gathers or is_sort(scan):
        return Certainty.LIKELY
    is_counted = scan.scans >= 1 and scan.scanned_rows / scan.scans >= READ_SHARE * scan.live_rows
    return Certainty.FACT if is_counted else Certainty.LIKELY


def is_sort(scan: Scan) -> bool:
    return scan.condition.startswith("ORDER BY ")


def _needed(scan: Scan) -> str:
    if _GATHERS.search(scan.query):
        return f"about {scan.kept_rows} (the planner's estimate)"
    return f"{scan.rows / scan.calls:.1f}"


def judge(evidence: EvidenceStore, windows: Windows) -> tuple[Finding, ...] | NotJudged | None:
    if not database.was_explained(evidence):
        return NotJudged(NAME, "no endpoint was sent alone between two marks of the statistics")
    by_table: dict[str, list[tuple[Certainty, Scan]]] = {}
    for scan in database.scans(evidence):
        if level := certainty_of(scan):
            by_table.setdefault(scan.table, []).append((level, scan))
    engine = engine_of(evidence)
    return tuple(_finding(table, found, engine) for table, found in by_table.items()) or None


def _finding(table: str, found: list[tuple[Certainty, Scan]], engine: Engine) -> Finding:
    found = sorted(found, key=lambda pair: (list(Certainty).index(pair[0]), -pair[1].calls))
    worst = found[0][1]
    numbers = [
        measured(
            "rows that a call needs, of the rows that it reads",
            f"{_needed(scan)} of {scan.live_rows} ({scan.calls} calls)",
            f"at most {FEW_SHARE:.0%} of a table of {LEAST_ROWS} rows or more",
        )
        for _, scan in found
    ]
    numbers.append(
        measured(
            engine.scanned,
            f"{worst.scanned_rows} in {worst.scans} scans",
            f"{READ_SHARE:.0%} of the table in each makes it a fact; a sort for its first rows, "
            "and what is gathered (count, sum), stay likely",
        )
    )
    return Finding(
        NAME,
        surest([level for level, _ in found]),
        table,
        f"{table} ({worst.live_rows} rows) is read whole for {_rows_needed(worst)}: "
        f"no index serves {worst.condition}. The cost grows with the table.",
        tuple(numbers),
        _advice(table, [scan for _, scan in found], engine),
        tuple(
            f"{scan.query}\n" + (scan.condition if is_sort(scan) else f"filter: {scan.condition}")
            for _, scan in found
        ),
    )


def _rows_needed(scan: Scan) -> str:
    if _GATHERS.search(scan.query):
        return f"about {scan.kept_rows} of its rows"
    number = f"{scan.rows / scan.calls:.0f}"
    return f"{number} row{'' if number == '1' else 's'}"


def columns_of(condition: str) -> tuple[str, ...]:
    """The names that a plan's filter compares, or its sort orders by, in its order: what an index
    would lead with."""
    found: list[str] = []
    if condition.startswith("ORDER BY "):
        for key in condition.removeprefix("ORDER BY ").split(","):
            match = _PLAIN_KEY.fullmatch(key.strip())
            if match is None:
                return ()
            found.append(match[1])
        return tuple(found)
    for name in re.findall(
        r"\(*(?:\w+\.)?\"?([a-z_]\w*)\"?\)*(?:::[\w ]+)?\)*\s*(?:=|<|>|~~|IS\b)", condition
    ):
        if name not in found:
            found.append(name)
    return tuple(found)


def _advice(table: str, scans: Sequence[Scan], engine: Engine) -> tuple[str, ...]:
    """One index for each set of columns, those of the surest first."""
    wanted = dict.fromkeys(columns_of(scan.condition) for scan in scans)
    indexes = [
        engine.index.format(table=table, columns=", ".join(columns), name="_".join(columns))
        for columns in wanted
        if columns
    ]
    if () in wanted:
        indexes.append(f"Index the columns of {table} that the filter compares.")
    return (f"{' '.join(indexes)} {engine.index_note}", *_LOOK[engine.name])


_LOOK = {
    "postgresql": (
        "If the filter wraps the column (lower(x), x::date, x LIKE '%…'), index the expression "
        "(or use pg_trgm), or write the condition on the bare column.",
        "Look at it with EXPLAIN (ANALYZE, BUFFERS) and production's number of rows.",
    ),
    "mysql": (
        "If the filter wraps the column (lower(x), date(x), x LIKE '%…') or compares a text column "
        "with a number, no index serves it: write the condition on the bare column, in its type, "
        "or index the expression (MySQL 8.0.13: ((lower(x)))) or the words (FULLTEXT).",
        "Look at it with EXPLAIN ANALYZE (MariaDB: ANALYZE FORMAT=JSON) and production's number "
        "of rows.",
    ),
}
