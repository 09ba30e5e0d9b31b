"""vegeta's JSON lines and its CSV of 12 columns."""

from __future__ import annotations

import base64
import csv
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import IO, Any

from hikkoshi.base.errors import BadInput
from hikkoshi.load.vegeta.hit import Hit

_TIME = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)$")
_FIX = "give results as `vegeta encode` writes them"


def read_json(lines: Iterable[str], where: str) -> Iterator[Hit]:
    """BadInput names the line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _hit(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(
                f"not a result of vegeta: {error}", where=f"{where}:{number}", fix=_FIX
            ) from error


def _hit(document: dict[str, Any]) -> Hit:
    return Hit(
        attack=document.get("attack", ""),
        seq=int(document.get("seq", 0)),
        code=int(document["code"]),
        timestamp_ns=_nanoseconds(document["timestamp"]),
        latency_ns=int(document["latency"]),
        bytes_out=int(document.get("bytes_out", 0)),
        bytes_in=int(document.get("bytes_in", 0)),
        error=document.get("error") or "",
        method=document.get("method", ""),
        url=document.get("url", ""),
        body=base64.b64decode(document.get("body") or ""),
        headers=document.get("headers"),
    )


def _nanoseconds(text: str) -> int:
    match = _TIME.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time of RFC 3339")
    zone = match[3].replace("Z", "+00:00")
    whole = datetime.fromisoformat(match[1] + zone)
    seconds = int(whole.timestamp())
    return seconds * 1_000_000_000 + int((match[2] or "0").ljust(9, "0"))


def write_json(hits: Iterable[Hit], file: IO[str]) -> int:
    count = 0
    for hit in hits:
        document = {
            "attack": hit.attack, "seq": hit.seq, "code": hit.code,
            "timestamp": time_text(hit.timestamp_ns), "latency": hit.latency_ns,
            "bytes_out": hit.bytes_out, "bytes_in": hit.bytes_in, "error": hit.error,
            "body": base64.b64encode(hit.body).decode() if hit.body else None,
            "method": hit.method, "url": hit.url, "headers": hit.headers,
        }  # fmt: skip
        file.write(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")
        count += 1
    return count


def time_text(nanoseconds: int) -> str:
    """As Go prints it: without trailing noughts."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{rest:09d}".rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"


def read_csv(lines: Iterable[str], where: str) -> Iterator[Hit]:
    """BadInput names the line."""
    reader = csv.reader(lines)
    while True:
        try:
            row = next(reader)
            if len(row) != 12:
                raise ValueError(f"{len(row)} columns, not 12")
            yield Hit(
                timestamp_ns=int(row[0]), code=int(row[1]), latency_ns=int(row[2]),
                bytes_out=int(row[3]), bytes_in=int(row[4]), error=row[5],
                body=base64.b64decode(row[6]), attack=row[7], seq=int(row[8]), method=row[9],
                url=row[10], headers=_headers(row[11]),
            )  # fmt: skip
        except StopIteration:
            return
        except (ValueError, csv.Error) as error:
            raise BadInput(
                f"not a result of vegeta: {error}", where=f"{where}:{reader.line_num}", fix=_FIX
            ) from error


def _headers(packed: str) -> dict[str, list[str]] | None:
    headers: dict[str, list[str]] = {}
    for line in base64.b64decode(packed).decode("utf-8", "replace").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name, []).append(value.strip())
    return headers or None


def write_csv(hits: Iterable[Hit], file: IO[str]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    count = 0
    for hit in hits:
        lines = "".join(
            f"{name}: {value}\r\n"
            for name, values in (hit.headers or {}).items()
            for value in values
        )
        writer.writerow([
            hit.timestamp_ns, hit.code, hit.latency_ns, hit.bytes_out, hit.bytes_in, hit.error,
            base64.b64encode(hit.body).decode(), hit.attack, hit.seq, hit.method, hit.url,
            base64.b64encode((lines + "\r\n").encode()).decode() if lines else "",
        ])  # fmt: skip
        count += 1
    return count
