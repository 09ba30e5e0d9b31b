"""Temporary directories that a killed process leaves, and the next one removes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path


def start_of(pid: int) -> int | None:
    """Clock ticks after boot at which the process started: with its number, its identity."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def own_prefix(prefix: str) -> str:
    """For `tempfile.TemporaryDirectory(prefix=…)`: the prefix with this process in it. First, those
    directories of this user's that have a prefix made so, and whose process is gone, are removed.

    Processes of another PID namespace (a container that has the same /tmp) are not ours to judge.
    """
    world = Path("/proc/self/ns/pid").stat().st_ino
    for place in Path(tempfile.gettempdir()).glob(f"{prefix}{world}-*"):
        found = re.fullmatch(r"(\d+)-(\d+)-\w+", place.name.removeprefix(f"{prefix}{world}-"))
        if found is None or start_of(int(found[1])) == int(found[2]):
            continue
        with contextlib.suppress(OSError):  # another one may be removing it
            if not place.is_symlink() and place.stat().st_uid == os.getuid():
                shutil.rmtree(place, ignore_errors=True)
    pid = os.getpid()
    return f"{prefix}{world}-{pid}-{start_of(pid)}-"
