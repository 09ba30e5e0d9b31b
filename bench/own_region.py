"""A local region of a bench's own, started and ended by it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hikkoshi.model.timers import Timers
from hikkoshi.region.boot.launch import RegionHandle, launch
from hikkoshi.region.boot.settings import LaunchSettings
from hikkoshi.region.payload import payload_of


@contextlib.contextmanager
def own_region() -> Iterator[tuple[RegionHandle, Path]]:
    """(a region that is ready, its state directory), with a rehearsal's timers; nothing is left."""
    with tempfile.TemporaryDirectory(prefix="hikkoshi-bench-") as name:
        place = Path(name)
        handle = launch(
            LaunchSettings(
                state=place / "state",
                record_directory=place / "records",
                entry_point="hikkoshi.region.region:main",
                index=place / "index",
                payload=payload_of(None, Timers.for_rehearsal()),
            )
        )
        try:
            handle.wait_ready()
            yield handle, place / "state"
        finally:
            handle.stop()
