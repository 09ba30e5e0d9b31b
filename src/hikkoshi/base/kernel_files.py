"""Reading what the kernel writes when it is asked: files of /proc and of control groups."""

from __future__ import annotations

import os
from pathlib import Path

_PIECE = 1 << 16


def read_kernel_file(path: Path | str) -> str:
    """As Path.read_text, in half the time: such a file has no size to ask for and is no terminal.
    Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while piece := os.read(descriptor, _PIECE):
            data += piece
    finally:
        os.close(descriptor)
    return data.decode(errors="replace")
