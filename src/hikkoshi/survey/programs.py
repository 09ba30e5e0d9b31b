"""What kind of file is started: by its own bytes, not by asking it."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from pathlib import PurePosixPath

from hikkoshi.model.survey import Program

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB = 1, 5
_INTERPRETERS = re.compile(
    r"^(?:python[\d.]*|pypy3?|ruby[\d.]*|node|nodejs|perl[\d.]*|php[\d.]*|java|bash|sh|dash|dotnet)$"
)


def is_interpreter(path: str) -> bool:
    return bool(_INTERPRETERS.match(PurePosixPath(path).name))


def describe(path: str, data: bytes, package: str | None = None, size: int = 0) -> Program:
    """data: the file, or as much of its start as there is."""
    if data[:4] == b"\x7fELF":
        interpreter, libraries = _elf(data)
        kind = "elf-dynamic" if interpreter or libraries else "elf-static"
        return Program(path, kind, package, interpreter, size or len(data), libraries)
    line = data[:200].split(b"\n", 1)[0].decode("utf-8", "replace") if data[:2] == b"#!" else ""
    words = line[2:].split()
    interpreter = words[0] if words else None
    if interpreter and PurePosixPath(interpreter).name == "env" and len(words) > 1:
        interpreter = words[-1]
    if zip_names(data):
        return Program(path, "zipapp", package, interpreter or "python3", size or len(data))
    if interpreter:
        return Program(path, "script", package, interpreter, size or len(data))
    kind = "unknown" if not data or b"\0" in data[:1000] else "text"
    return Program(path, kind, package, None, size or len(data))


def zip_names(data: bytes) -> tuple[str, ...]:
    """Names inside, if the bytes are a whole zip archive (a zipapp has a line before it)."""
    if b"PK\x03\x04" not in data[:300]:
        return ()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return tuple(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return ()


def _elf(data: bytes) -> tuple[str | None, tuple[str, ...]]:
    """PT_INTERP, and DT_NEEDED as far as the bytes reach. Source: elf(5)."""
    try:
        is_64, order = data[4] == 2, "<" if data[5] == 1 else ">"
        head = f"{order}QQQ" if is_64 else f"{order}III"
        _, program_offset, _ = struct.unpack_from(head, data, 24)
        size, count = struct.unpack_from(f"{order}HH", data, 54 if is_64 else 42)
        interpreter, dynamic, loads = None, None, []
        for index in range(count):
            at = program_offset + index * size
            if is_64:
                kind, _, offset, address, _, length = struct.unpack_from(f"{order}IIQQQQ", data, at)
            else:
                kind, offset, address, _, length = struct.unpack_from(f"{order}IIIII", data, at)
            if kind == _PT_INTERP:
                interpreter = (
                    data[offset : offset + length].rstrip(b"\0").decode("utf-8", "replace")
                )
            elif kind == _PT_DYNAMIC:
                dynamic = (offset, length)
            elif kind == _PT_LOAD:
                loads.append((address, offset, length))
    except (struct.error, IndexError):
        return None, ()
    if dynamic is None:
        return interpreter, ()
    return interpreter, _needed(data, dynamic, loads, f"{order}{'QQ' if is_64 else 'II'}")


def _needed(
    data: bytes, dynamic: tuple[int, int], loads: list[tuple[int, int, int]], form: str
) -> tuple[str, ...]:
    step = struct.calcsize(form)
    names, table = [], None
    for at in range(dynamic[0], min(dynamic[0] + dynamic[1], len(data) - step + 1), step):
        tag, value = struct.unpack_from(form, data, at)
        if tag == _DT_NEEDED:
            names.append(value)
        elif tag == _DT_STRTAB:
            table = value
    for address, offset, length in loads:
        if table is not None and address <= table < address + length:
            start = table - address + offset
            found = (data[start + name : data.find(b"\0", start + name)] for name in names)
            return tuple(name.decode("utf-8", "replace") for name in found if name)
    return ()
