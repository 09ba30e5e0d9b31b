"""A stream of results read while it is written."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.load.failures import FAILURES
from hikkoshi.load.results import RECORD, RESULT, read_header

MOST_BYTES = 16_000 * RECORD.size


class FollowedResults:
    """Rows of the table `requests` that came since the last call. A file whose header is not
    whole yet gives none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._header: dict[str, Any] | None = None
        self._offset = 0
        self._texts = {0: ""}

    def fresh(self) -> list[dict[str, Any]]:
        try:
            if self._header is None:
                self._header = read_header(self._path)
                with self._path.open("rb") as file:
                    file.readline()
                    file.readline()
                    self._offset = file.tell()
            with self._path.open("rb") as file:
                file.seek(self._offset)
                block = file.read(MOST_BYTES)
        except (BadInput, OSError):
            return []
        block = block[: len(block) - len(block) % RECORD.size]
        self._offset += len(block)
        found = []
        for number, record in enumerate(RECORD.iter_unpack(block)):
            if record[0] == RESULT:
                found.append(self._row(record))
            else:  # a marked text, which later records name by number
                at = number * RECORD.size + 4
                self._texts[record[2]] = block[at : at + record[1]].decode("utf-8", "replace")
        return found

    def lines(self) -> bytes:
        """The same as JSON lines."""
        return b"".join(json.dumps(row).encode() + b"\n" for row in self.fresh())

    def _row(self, record: Any) -> dict[str, Any]:
        header: dict[str, Any] = self._header or {}
        (_, code, status, target, _, intended, sent, ended, bytes_in, bytes_out, _, text, _, _) = (
            record
        )
        start, is_sent = float(header["t_start"]), not math.isnan(sent)
        method, url, endpoint = header["targets"][target]
        return {
            "trial": header["trial"],
            "t_intended": start + intended,
            "t_sent": start + sent if is_sent else None,
            "latency_s": ended - intended,
            "service_s": ended - sent if is_sent else None,
            "status": status or None,
            "error": FAILURES[code - 1].value if code else None,
            "bytes_in": bytes_in,
            "bytes_out": bytes_out,
            "method": method,
            "url": url,
            "endpoint": endpoint,
            "target_group": self._texts.get(text) or None,
        }
