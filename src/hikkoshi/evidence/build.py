"""From a run's JSON lines and load results to one DuckDB file, by DuckDB's own readers."""

from __future__ import annotations

import contextlib
import csv
import gzip
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import duckdb

import hikkoshi
from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.model.evidence import SCHEMA_VERSION, TABLES

# What a row cannot do without; a line that lacks it was torn or is not ours.
_REQUIRED = {
    "trials": ("name", "t_start"),
    "requests": ("t_intended",),
    "spans": ("trace_id", "span_id"),
    "probes": ("endpoint", "mark_before", "mark_after"),
    "faults": ("name",),
    "balanced": ("t_start", "trace_id"),
    "load_steps": ("trial", "t_start"),
}
_LONGEST_LINE_BYTES = 16 * 1024 * 1024


def build_store(
    record_dirs: Iterable[Path],
    load_files: Iterable[Path],
    path: Path,
    *,
    service: str = "",
    meta: Mapping[str, str] | None = None,
) -> EvidenceStore:
    """Load `<table>.jsonl` of each record directory and each load result into `path`, and open it.

    load_files: rows of `requests`, as JSON lines, or as CSV (`.csv`, with or without a header
    line), plain or `.gz`. A file or directory that is missing adds nothing. Lines that cannot be
    read (a crash tears the last one) are skipped and counted in `meta` as `skipped.<table>`.
    meta: further facts about the service, as text; the keys that rules know are in
    docs/evidence.md. An existing file at `path` is replaced at the end, in one step.
    CannotRun when the file cannot be written; BadInput when a load result has a column that is
    not known, or the path has a question mark.
    """
    path = Path(path).absolute()
    if "?" in str(path):  # DuckDB reads what follows as options
        raise BadInput(
            "evidence cannot be kept in a path with a question mark",
            where=str(path),
            fix="rename the directory",
        )
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.unlink(missing_ok=True)
        with duckdb.connect(str(unfinished)) as connection:
            connection.execute("SET threads = 2; SET preserve_insertion_order = true;")
            _load(connection, list(record_dirs), list(load_files), service, meta or {})
        unfinished.replace(path)
    except (OSError, duckdb.IOException) as error:
        raise CannotRun(
            f"the evidence could not be written: {error}",
            where=str(path),
            fix="free some space there, or give another directory",
        ) from error
    finally:
        for left in (unfinished, unfinished.with_name(unfinished.name + ".wal")):
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)
    return EvidenceStore.open(path)


def _load(
    connection: duckdb.DuckDBPyConnection,
    record_dirs: list[Path],
    load_files: list[Path],
    service: str,
    meta: Mapping[str, str],
) -> None:
    create_tables(connection)
    skipped: dict[str, int] = {}
    for table in TABLES:
        files = [Path(directory) / f"{table}.jsonl" for directory in record_dirs]
        if table == "requests":
            files += [Path(file) for file in load_files]
        for file in files:
            if file.exists() and file.stat().st_size:
                lost = load_file(connection, table, file)
                skipped[table] = skipped.get(table, 0) + lost
    facts = {
        **meta,
        "schema_version": str(SCHEMA_VERSION),
        "hikkoshi_version": hikkoshi.__version__,
        "service": service,
        **{f"skipped.{table}": str(count) for table, count in skipped.items() if count},
    }
    connection.executemany("INSERT INTO meta VALUES (?, ?)", sorted(facts.items()))


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """All tables of the schema, empty, and `meta`."""
    connection.execute("CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR)")
    for table, columns in TABLES.items():
        declared = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        connection.execute(f'CREATE TABLE "{table}" ({declared})')


def load_file(connection: duckdb.DuckDBPyConnection, table: str, file: Path) -> int:
    """Add the rows of one file; how many of them were skipped because they could not be read.

    file: JSON lines, or, by its suffix, CSV; plain or .gz."""
    columns = TABLES[table]
    before = _count(connection, table)
    present = list(columns)
    if ".csv" in file.suffixes:
        present, has_header = _csv_columns(file, columns)
        reader = _csv_reader([(name, columns[name]) for name in present], has_header)
        lines = _lines_of(file) - has_header
    else:
        reader = _json_reader(columns)
        lines = _lines_of(file)
    required = _REQUIRED.get(table, ("t",))
    kept = " AND ".join(
        f'isfinite("{name}")' if columns[name] == "DOUBLE" else f'"{name}" IS NOT NULL'
        for name in required
        if name in present
    )
    names = ", ".join(f'"{name}"' for name in present)
    connection.execute(
        f'INSERT INTO "{table}" ({names}) SELECT {names} FROM {reader} WHERE {kept or "false"}',
        [_literal_path(file)],
    )
    return max(0, lines - (_count(connection, table) - before))


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()
    return int(row[0]) if row else 0


def _json_reader(columns: Mapping[str, str]) -> str:
    kinds = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
    return (
        f"read_json(?, columns = {{{kinds}}}, format = 'newline_delimited', "
        f"ignore_errors = true, maximum_object_size = {_LONGEST_LINE_BYTES})"
    )


def _csv_reader(columns: list[tuple[str, str]], has_header: bool) -> str:
    kinds = ", ".join(f"'{name}': '{kind}'" for name, kind in columns)
    return (
        f"read_csv(?, columns = {{{kinds}}}, header = {str(has_header).lower()}, "
        "auto_detect = false, delim = ',', quote = '\"', escape = '\"', "
        "ignore_errors = true, null_padding = true)"
    )


def _csv_columns(file: Path, columns: Mapping[str, str]) -> tuple[list[str], bool]:
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="utf-8", errors="replace", newline="") as lines:
        first = next(csv.reader(lines), [])
    if not any(cell in columns for cell in first):
        return list(columns)[: len(first)], False
    unknown = [cell for cell in first if cell not in columns]
    if unknown:
        raise BadInput(
            f"unknown column {unknown[0]!r} in a load result",
            where=f"{file}:1",
            fix="the columns are those of `requests` in docs/evidence.md",
        )
    return first, True


def _lines_of(file: Path) -> int:
    """Lines that hold something; a last one without its newline counts."""
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rb") as stream:
        return sum(1 for line in stream if line.strip())


def _literal_path(file: Path) -> str:
    """DuckDB takes *, ? and [ in a path as a pattern; each stands for itself in brackets."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(file.absolute()))
