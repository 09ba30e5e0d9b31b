"""What an executable or shared library says of itself: its loader and what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Elf:
    """interpreter: the program that loads it (PT_INTERP), None for a library or a static binary.
    needed: sonames, in order. rpath and runpath: directories, with $ORIGIN as it stands. machine:
    EM_X86_64, …; is_64: the class; kind: both as they stand in the file's header. Only libraries of
    the same kind fit each other."""

    machine: str
    is_64: bool
    kind: bytes
    interpreter: str | None = None
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()


def kind_of(path: Path) -> bytes | None:
    """The class, byte order and machine in an ELF file's header; None: it is none."""
    try:
        with path.open("rb") as file:
            header = file.read(20)
    except OSError:
        return None
    is_elf = len(header) == 20 and header.startswith(b"\x7fELF")
    return header[4:6] + header[18:20] if is_elf else None


def read_elf(path: Path) -> Elf | None:
    """None: not an ELF file, or a broken one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return _read(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4096)
def _read(path: Path, size: int, mtime_ns: int) -> Elf | None:
    """size and mtime_ns tell a file that was changed from the one that was read before."""
    kind = kind_of(path)
    if kind is None:
        return None
    # Here and not above: every region imports this module, and most never read such a file.
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as file:
            return _parse(ELFFile(file), kind)
    except (OSError, ELFError, ValueError, KeyError, AssertionError):
        return None


def _parse(elf: Any, kind: bytes) -> Elf:
    interpreter: str | None = None
    needed: list[str] = []
    paths: dict[str, tuple[str, ...]] = {"DT_RPATH": (), "DT_RUNPATH": ()}
    # By segments, as the loader does: a stripped file may have no sections at all.
    for segment in elf.iter_segments():
        if segment["p_type"] == "PT_INTERP":
            interpreter = segment.get_interp_name()
        elif segment["p_type"] == "PT_DYNAMIC":
            for tag in segment.iter_tags():
                name = tag.entry.d_tag
                if name == "DT_NEEDED":
                    needed.append(tag.needed)
                elif name in paths:
                    text = tag.rpath if name == "DT_RPATH" else tag.runpath
                    paths[name] = tuple(part for part in text.split(":") if part)
    return Elf(
        elf["e_machine"],
        elf.elfclass == 64,
        kind,
        interpreter,
        tuple(needed),
        paths["DT_RPATH"],
        paths["DT_RUNPATH"],
    )
