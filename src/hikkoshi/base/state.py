"""Where what belongs to a user, and to no project, is kept between two commands."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def index_directory(environment: Mapping[str, str], uid: int, temporary: Path) -> Path:
    """Where the list of this user's regions is kept.

    $XDG_STATE_HOME/hikkoshi, else ~/.local/state/hikkoshi; where neither can be written, a
    directory of this uid's own under the temporary directory."""
    candidates = []
    if environment.get("XDG_STATE_HOME"):
        candidates.append(Path(environment["XDG_STATE_HOME"]) / "hikkoshi")
    if environment.get("HOME"):
        candidates.append(Path(environment["HOME"]) / ".local" / "state" / "hikkoshi")
    for candidate in candidates:
        try:
            candidate.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(candidate, os.W_OK | os.X_OK):
            return candidate
    fallback = temporary / f"hikkoshi-{uid}"
    fallback.mkdir(mode=0o700, parents=True, exist_ok=True)
    if fallback.stat().st_uid != uid or fallback.is_symlink():
        return Path(tempfile.mkdtemp(prefix=f"hikkoshi-{uid}-", dir=temporary))
    return fallback
