"""Where things lie: a project's own directory, or the user's."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hikkoshi.base.errors import CannotRun
from hikkoshi.base.state import index_directory

OWN_DIRECTORY = ".hikkoshi"


def region_index() -> Path:
    """Where the list of this user's regions is kept."""
    return index_directory(os.environ, os.getuid(), Path(tempfile.gettempdir()))


def region_state(directory: Path | None) -> Path:
    """The state of the region of a project, or of the one that belongs to no project."""
    if directory is None:
        return region_index() / "region"
    return directory / OWN_DIRECTORY / "region"


def region_records(directory: Path | None) -> Path:
    """Where a region that is not part of a rehearsal records what it sees."""
    if directory is None:
        return region_index() / "records"
    return directory / OWN_DIRECTORY / "records"


def runs(directory: Path) -> Path:
    return directory / OWN_DIRECTORY / "runs"


def make_run(directory: Path, run_id: str, *, is_latest: bool = True) -> Path:
    """A new run's directory, with `latest` pointing to it unless it rehearses something else than
    the project as it stands."""
    place = runs(directory) / run_id
    try:
        place.mkdir(parents=True)
        (directory / OWN_DIRECTORY / ".gitignore").write_text("*\n")
        if not is_latest:
            return place
        latest = runs(directory) / "latest"
        fresh = runs(directory) / f".latest-{run_id}"
        fresh.symlink_to(run_id)
        fresh.replace(latest)
    except OSError as error:
        raise CannotRun(
            f"cannot write to {error.filename or place}: {error.strerror}",
            fix="rehearse a copy of the project in a directory that you may write to",
        ) from error
    return place
