"""What differs from one request to the next: `${seq}`, `${uuid}`, `${random:1:100}`, columns.

A text with variables is cut once into what stays and what is filled in; a text without any costs
nothing. `$${` writes a literal `${`.
"""

from __future__ import annotations

import csv
import os
import random
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import quote

from hikkoshi.base.errors import BadInput

Fill = Callable[[int], str]
Piece = bytes | Fill

_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][\w.-]*)((?::[^{}]*)?)\}")
BUILT_IN = ("seq", "uuid", "now", "now_ms", "random", "choice", "env")
VARIABLES_FORM = (
    "there are ${seq}, ${uuid}, ${now} (epoch seconds), ${now_ms}, ${random:1:100}, "
    "${choice:a|b|c}, ${env:NAME}, and the columns of --feed FILE.csv; $${ writes ${ itself"
)


@dataclass(frozen=True, slots=True)
class Feed:
    """Rows of values, taken in turn by the number of the request."""

    columns: Mapping[str, Sequence[str]]
    path: str = ""


def read_feed(path: Path) -> Feed:
    """A CSV file with a header line. BadInput names the line."""
    fix = "write CSV in UTF-8 with a header line of names and at least one row"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            names = next(reader, [])
            rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"the feed cannot be read: {error}", where=str(path), fix=fix) from error
    if not names or not rows:
        raise BadInput("the feed has no rows", where=str(path), fix=fix)
    for line, row in rows:
        if len(row) != len(names):
            raise BadInput(
                f"{len(row)} values for {len(names)} columns", where=f"{path}:{line}", fix=fix
            )
    columns = {name.strip(): [row[at] for _, row in rows] for at, name in enumerate(names)}
    return Feed(columns, str(path))


def has_variables(text: str | bytes) -> bool:
    return (b"${" in text) if isinstance(text, bytes) else ("${" in text)


def pieces_of(
    text: str, feed: Feed | None, *, where: str, is_address: bool = False, is_strict: bool = True
) -> list[Piece]:
    """is_address: what is filled in is written as %XX where an address needs it. is_strict: a
    name that is not known is a BadInput; else (in a body) it stays as it is written."""
    pieces: list[Piece] = []
    at = 0
    for match in _VARIABLE.finditer(text):
        if match[1] is None:
            fill: Fill | str = "${"
        else:
            known = _fill(match[1], match[2][1:], feed, where)
            if known is None and is_strict:
                raise _unknown(match[1], feed, where)
            fill = known if known is not None else match[0]
        pieces.append(text[at : match.start()].encode())
        if isinstance(fill, str):
            pieces.append(fill.encode())
        else:
            pieces.append(_quoted(fill) if is_address else fill)
        at = match.end()
    pieces.append(text[at:].encode())
    return _joined(pieces)


def fill_in(pieces: Sequence[Piece], seq: int) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else piece(seq).encode() for piece in pieces)


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Neighbouring fixed pieces as one."""
    joined: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] = joined[-1] + piece
        elif piece:
            joined.append(piece)
    return joined


def _quoted(fill: Fill) -> Fill:
    return lambda seq: quote(fill(seq), safe="-._~")


def _fill(name: str, argument: str, feed: Feed | None, where: str) -> Fill | None:
    if feed is not None and name in feed.columns:
        values = feed.columns[name]
        return lambda seq: values[seq % len(values)]
    if name == "seq":
        return str
    if name == "uuid":
        # From the generator's own random numbers: asking the kernel each time costs ten times it.
        return lambda seq: str(uuid.UUID(int=random.getrandbits(128), version=4))
    if name == "now":
        return lambda seq: str(int(time.time()))
    if name == "now_ms":
        return lambda seq: str(int(time.time() * 1000))
    if name == "random":
        low, high = _bounds(argument, where)
        return lambda seq: str(random.randint(low, high))
    if name == "choice" and argument:
        choices = argument.split("|")
        return lambda seq: random.choice(choices)
    if name == "env" and argument:
        value = os.environ.get(argument)
        if value is None:
            raise BadInput(
                f"the environment has no {argument}", where=where, fix=f"export {argument}=…"
            )
        return lambda seq: value
    return None


def _bounds(argument: str, where: str) -> tuple[int, int]:
    low, _, high = argument.partition(":")
    try:
        bounds = int(low), int(high)
    except ValueError:
        bounds = (1, 0)
    if bounds[0] > bounds[1]:
        raise BadInput(
            f"${{random:{argument}}} has no bounds", where=where, fix="write ${random:1:100}"
        )
    return bounds


def _unknown(name: str, feed: Feed | None, where: str) -> BadInput:
    known = [*BUILT_IN, *(feed.columns if feed else ())]
    near = get_close_matches(name, known, 1)
    hint = f"did you mean ${{{near[0]}}}? " if near else ""
    return BadInput(f"there is no variable ${{{name}}}", where=where, fix=hint + VARIABLES_FORM)
