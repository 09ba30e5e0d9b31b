"""An rpm database on a disk, read without rpm: which packages are installed, and their files.

rpm's SQLite format (rpm 4.16 and later: Amazon Linux 2023, RHEL 9, Fedora): the table Packages has
each package's header as a blob. Layout and tags: rpm's docs/manual/format_header.md and tags.md.
Not read: the older Berkeley DB format (Amazon Linux 2, CentOS 7), and what a `-wal` file beside the
database holds (rpm empties it when it ends).
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

DATABASES = ("/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite")
OLDER = ("/var/lib/rpm/Packages", "/usr/lib/sysimage/rpm/Packages")
_NAME, _VERSION, _RELEASE, _EPOCH = 1000, 1001, 1002, 1003
_DIRECTORY_OF, _BASE_NAMES, _DIRECTORIES = 1116, 1117, 1118
_INT32, _STRING, _STRINGS, _TRANSLATED = 4, 6, 8, 9
_MOST = 1 << 20
"""Own cut: entries of a header's tag; the largest package of Fedora has 60,000 files."""


@dataclass(frozen=True, slots=True)
class Installed:
    """version: with epoch and release, as `rpm -q` shows it."""

    name: str
    version: str
    files: tuple[str, ...]


def read_rpm(data: bytes) -> tuple[Installed, ...]:
    """data: the whole rpmdb.sqlite. ValueError: it is none, or it is damaged."""
    if not data.startswith(b"SQLite format 3\0"):
        raise ValueError("it is no SQLite database")
    # Written with a log beside it; in memory there is none. Source: SQLite's file format, 1.3.3.
    plain = data[:18] + b"\x01\x01" + data[20:]
    try:
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(plain)
            database.execute("PRAGMA trusted_schema = OFF")
            rows = database.execute("SELECT blob FROM Packages ORDER BY hnum").fetchall()
    except sqlite3.Error as error:
        raise ValueError(str(error)) from error
    return tuple(_package(bytes(blob)) for (blob,) in rows)


def _package(header: bytes) -> Installed:
    try:
        tags = dict(_tags(header))
        version = f"{tags[_VERSION][0]}-{tags[_RELEASE][0]}"
        if _EPOCH in tags:
            version = f"{tags[_EPOCH][0]}:{version}"
        directories = tags.get(_DIRECTORIES, [])
        files = tuple(
            f"{directories[int(index)]}{name}"
            for index, name in zip(
                tags.get(_DIRECTORY_OF, []), tags.get(_BASE_NAMES, []), strict=True
            )
        )
        return Installed(str(tags[_NAME][0]), version, files)
    except (struct.error, KeyError, IndexError) as error:
        raise ValueError(f"a package's header is damaged: {error!r}") from error


def _tags(header: bytes) -> Iterator[tuple[int, list[str | int]]]:
    entries, length = struct.unpack_from(">II", header)
    start = 8 + 16 * entries
    if start + length > len(header):
        raise ValueError("a package's header is cut short")
    for number in range(entries):
        tag, kind, offset, count = struct.unpack_from(">IIII", header, 8 + 16 * number)
        if count > _MOST:
            raise ValueError(f"a package's header has {count} of tag {tag}")
        if tag < _NAME:
            continue  # Of the header itself: signatures, digests, regions.
        if kind == _INT32:
            yield tag, list(struct.unpack_from(f">{count}I", header, start + offset))
        elif kind in (_STRING, _STRINGS, _TRANSLATED):
            yield tag, list(_strings(header, start + offset, count))


def _strings(header: bytes, place: int, count: int) -> Iterator[str]:
    for _ in range(count):
        end = header.find(b"\0", place)
        if end < 0:
            raise ValueError("a text in a package's header has no end")
        yield header[place:end].decode("utf-8", "replace")
        place = end + 1
