"""Which form a file of results has, and its hits; ours or vegeta's."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from hikkoshi.base.errors import BadInput
from hikkoshi.load.results import MAGIC
from hikkoshi.load.vegeta.gob import read_gob
from hikkoshi.load.vegeta.hit import Hit, hits_of
from hikkoshi.load.vegeta.text import read_csv, read_json


def form_of(path: Path) -> str:
    """`ours`, `json`, `csv` or `gob`, by how the file begins. BadInput when it cannot be read."""
    with _opened(path) as file:
        start = file.read(64)
    if start.startswith(MAGIC):
        return "ours"
    if start.lstrip()[:1] == b"{":
        return "json"
    if start[:1].isdigit() and b"," in start:
        return "csv"
    if b"Result" in start:
        return "gob"
    raise BadInput(
        "not a results file",
        where=str(path),
        fix="name a file that `hikkoshi load -o FILE` or `vegeta attack` wrote",
    )


def read_hits(path: Path) -> Iterator[Hit]:
    """Of either. A vegeta file's are in the order in which it wrote them."""
    form = form_of(path)
    if form == "ours":
        yield from hits_of(path)
        return
    with _opened(path) as file:
        if form == "gob":
            yield from read_gob(file, str(path))
            return
        lines = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
        yield from (read_json if form == "json" else read_csv)(lines, str(path))


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise BadInput(
            f"the results cannot be read: {error.strerror}", where=str(path), fix="name a file"
        ) from error
