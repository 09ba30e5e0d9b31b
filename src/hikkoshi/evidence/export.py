"""Evidence for other tools: whole tables as Parquet or CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.model.evidence import TABLES

FORMATS = {"parquet": "FORMAT parquet, COMPRESSION zstd", "csv": "FORMAT csv, HEADER"}


def export(path: Path, directory: Path, kind: str, tables: Sequence[str] = ()) -> dict[str, int]:
    """Each table that has rows to `directory/<table>.<kind>`; the rows of each. kind: a key of
    FORMATS. Tables of an older run are written as the present schema has them."""
    unknown = [name for name in tables if name not in TABLES and name != "meta"]
    if unknown:
        raise BadInput(
            f"there is no table {unknown[0]!r}", fix=f"name some of: meta, {', '.join(TABLES)}"
        )
    written: dict[str, int] = {}
    EvidenceStore.open(path).close()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # Writing needs what a reader of evidence is denied; no statement but ours runs here.
        with duckdb.connect(str(path), read_only=True) as connection:
            store = EvidenceStore(connection, path)
            store.complete()
            for table in tables or ("meta", *TABLES):
                rows = store.rows(f'SELECT count(*) FROM "{table}"')[0][0]
                if rows or tables:
                    place = str(directory.absolute() / f"{table}.{kind}").replace("'", "''")
                    connection.execute(f"COPY \"{table}\" TO '{place}' ({FORMATS[kind]})")
                    written[table] = rows
    except (OSError, duckdb.IOException) as error:
        raise CannotRun(
            f"cannot write: {error}", where=str(directory), fix="name a directory you may write to"
        ) from error
    return written
