"""One result, in vegeta's terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from hikkoshi.load.results import read_header, read_results


class Hit(NamedTuple):
    """timestamp_ns: since the epoch; ours is the moment the request was due, and latency_ns counts
    from there, where vegeta's own begin when a worker picked it up."""

    attack: str
    seq: int
    code: int
    timestamp_ns: int
    latency_ns: int
    bytes_out: int
    bytes_in: int
    error: str
    method: str
    url: str
    body: bytes = b""
    headers: Mapping[str, list[str]] | None = None


def hits_of(path: Path) -> Iterator[Hit]:
    """Our own results as vegeta would have them. Bodies and headers are not kept by us."""
    header = read_header(path)
    start_ns = int(float(header["t_start"]) * 1e9)
    name, targets = header.get("attack") or "", header["targets"]
    for result in read_results(path):
        method, url, _ = targets[result.target]
        yield Hit(
            name, result.seq, result.status, start_ns + int(result.intended * 1e9),
            int((result.ended - result.intended) * 1e9), result.bytes_out, result.bytes_in,
            error_of(result.status, result.failure, result.is_success), method, url,
        )  # fmt: skip


def error_of(status: int, failure: str | None, is_success: bool) -> str:
    """The failure's name, or as vegeta does the words of a status outside 200 to 399."""
    if failure:
        return str(failure)
    if is_success or 200 <= status < 400:
        return ""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
