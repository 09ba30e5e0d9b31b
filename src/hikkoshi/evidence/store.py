"""A run's evidence, opened for reading: one DuckDB file with the tables of model/evidence.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from hikkoshi.base.errors import BadInput
from hikkoshi.model.evidence import SCHEMA_VERSION, TABLES


@dataclass(frozen=True, slots=True)
class Answer:
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    has_more: bool


class EvidenceStore:
    """Read-only access. `rows` takes only the SQL that this program brings; whatever came from
    outside is handed over as a parameter."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        self._connection = connection
        self.path = path

    @staticmethod
    def open(path: Path) -> EvidenceStore:
        """BadInput when there is no such file, or it is not evidence, or it is newer than we."""
        path = Path(path)
        if not path.is_file():
            raise BadInput(
                "there is no evidence here",
                where=str(path),
                fix="name the directory of a run that hikkoshi rehearse made",
            )
        try:
            connection = duckdb.connect(str(path), read_only=True)
        except duckdb.Error as error:
            raise BadInput(
                f"this is not a readable evidence file: {error}",
                where=str(path),
                fix="rehearse again; each run writes its own evidence",
            ) from error
        connection.execute("SET threads = 2; SET enable_external_access = false;")
        store = EvidenceStore(connection, path)
        store._check_version()
        store.complete()
        return store

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, list(parameters)).fetchall()

    def named_rows(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """As `rows`, with parameters by name ($name)."""
        return self._connection.execute(sql, dict(parameters)).fetchall()

    def ask(self, sql: str, most: int | None = None) -> Answer:
        """The answer to one statement that a user wrote: at most `most` rows. BadInput for what
        DuckDB does not take."""
        try:
            statements = self._connection.extract_statements(sql)
            if len(statements) != 1:
                raise BadInput(
                    f"{len(statements)} statements were given", fix="ask one question at a time"
                )
            # So that the statement cannot take back what `open` denied.
            self._connection.execute("SET lock_configuration = true")
            cursor = self._connection.execute(statements[0])
            if cursor.description is None:
                return Answer((), [], False)
            columns = tuple(str(column[0]) for column in cursor.description)
            rows = cursor.fetchall() if most is None else cursor.fetchmany(most + 1)
        except duckdb.Error as error:
            raise BadInput(
                f"the evidence cannot answer: {error}",
                where=str(self.path),
                fix="docs/evidence.md has the tables; SHOW TABLES and DESCRIBE spans work too",
            ) from error
        kept = rows if most is None else rows[:most]
        return Answer(columns, kept, len(rows) > len(kept))

    def meta(self) -> dict[str, str]:
        """Facts about the run as text; the keys are in docs/evidence.md."""
        return {key: value or "" for key, value in self.rows("SELECT key, value FROM meta")}

    def has_rows(self, table: str) -> bool:
        """Whether anything at all was recorded in that table. `table` is one of TABLES."""
        return bool(self.rows(f'SELECT 1 FROM "{table}" LIMIT 1'))

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> EvidenceStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def complete(self) -> None:
        """An older run lacks tables and columns that came later: they are there, and empty, for
        this connection alone; the file stays as it is."""
        held: dict[str, set[str]] = {}
        for table, column in self.rows(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal"
        ):
            held.setdefault(table, set()).add(column)
        (catalog,) = self.rows("SELECT current_database()")[0]
        for table, columns in TABLES.items():
            missing = [name for name in columns if name not in held.get(table, set())]
            if not missing:
                continue
            nothing = ", ".join(f'NULL::{columns[name]} AS "{name}"' for name in missing)
            source = f'SELECT *, {nothing} FROM "{catalog}".main."{table}"'
            if table not in held:
                source = f"SELECT {nothing} WHERE false"
            self._connection.execute(f'CREATE TEMP VIEW "{table}" AS {source}')

    def _check_version(self) -> None:
        try:
            version = int(self.meta().get("schema_version", "0"))
        except (duckdb.Error, ValueError) as error:
            self.close()
            raise BadInput(
                "this DuckDB file has no evidence of ours",
                where=str(self.path),
                fix="name the evidence.duckdb of a run",
            ) from error
        if version > SCHEMA_VERSION:
            self.close()
            raise BadInput(
                f"the evidence has schema {version}, this hikkoshi reads up to {SCHEMA_VERSION}",
                where=str(self.path),
                fix="read it with the hikkoshi that wrote it, or a newer one",
            )
