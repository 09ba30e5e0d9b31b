"""The last minutes of evidence, in memory, with the tables and readers of a finished run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb

from hikkoshi.base.scratch import own_prefix
from hikkoshi.evidence.build import create_tables, load_file
from hikkoshi.evidence.joined import DERIVED
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.model.evidence import TABLES

KEPT_S = 900.0
_TIMES = ("t", "t_start", "t_intended", "t_injected")
_KEPT_WHOLE = frozenset({"trials", "faults", "probes", "task_events", "load_steps"})
"""Few rows, and needed to know what runs now."""


class Window:
    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:")
        self._connection.execute("SET threads = 1; SET memory_limit = '512MB';")
        create_tables(self._connection)
        self._scratch = tempfile.TemporaryDirectory(prefix=own_prefix("hikkoshi-watch-"))
        self.store = EvidenceStore(self._connection, Path(self._scratch.name))
        self.skipped = 0
        """Lines that could not be read."""

    def take(self, table: str, lines: bytes) -> None:
        """JSON lines of one table."""
        place = Path(self._scratch.name) / f"{table}.jsonl"
        place.write_bytes(lines)
        self.skipped += load_file(self._connection, table, place)
        if table in ("spans", "balanced"):
            for derived in ("trace_heads", *DERIVED):
                self._connection.execute(f"DROP TABLE IF EXISTS {derived}")

    def prune(self, now: float) -> None:
        """Forget what is older than KEPT_S."""
        for table, columns in TABLES.items():
            time = next((name for name in _TIMES if name in columns), None)
            if time and table not in _KEPT_WHOLE:
                self._connection.execute(
                    f'DELETE FROM "{table}" WHERE "{time}" < ?', [now - KEPT_S]
                )

    def close(self) -> None:
        self._connection.close()
        self._scratch.cleanup()
