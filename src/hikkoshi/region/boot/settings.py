"""What a region is started with, and the record that finds and removes it again."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

RECORD_FILE = "region.json"
LOCK_FILE = "lock"
GROUND = "ground"
KEPT = "kept"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class LaunchSettings:
    """state: the region's directory, made here and removed with the region. record_directory:
    where what is recorded (JSON lines) and `region.log` go; it stays. entry_point: the coroutine
    function `main(ground, context)` as `package.module:main`. payload: JSON, given to it as it is.
    port 0: any free one. A detached region outlives the process that launched it.
    index: where the list of all regions of this user is kept (`index_directory`).
    docker_socket: the daemon's socket on this machine, for the engine `docker`."""

    state: Path
    record_directory: Path
    entry_point: str
    index: Path
    payload: Any = None
    host: str = "127.0.0.1"
    port: int = 0
    is_detached: bool = False
    engine: str = "embedded"
    docker_socket: str = ""
    stop_deadline_s: float = 30.0


@dataclass(frozen=True, slots=True)
class RegionRecord:
    """The journal of a region: enough to end and remove it after its processes were killed.

    A start time is in clock ticks after boot (/proc/PID/stat), so that a pid that was given to
    another process since is never taken for ours. `init_pid` is 0 until there is one."""

    region_id: str
    state: str
    record_directory: str
    engine: str
    entry_point: str
    boot_id: str
    started_at: float
    door_pid: int
    door_start: int
    host: str
    port: int
    is_detached: bool
    cgroups: tuple[str, ...]
    index_entry: str
    init_pid: int = 0
    init_start: int = 0
    is_ready: bool = False
    stop_deadline_s: float = 30.0
    docker_socket: str = ""
    version: int = _VERSION

    @property
    def api_url(self) -> str:
        return f"http://{self.host}:{self.port}"


def write_record(record: RegionRecord) -> None:
    """Into the state directory, at once or not at all."""
    write_whole(Path(record.state) / RECORD_FILE, json.dumps(asdict(record), indent=1))


def read_record(state: Path) -> RegionRecord | None:
    """None if there is none, or none that this version can read."""
    try:
        document = json.loads((state / RECORD_FILE).read_text())
        if document["version"] != _VERSION:
            return None
        known = {field.name for field in fields(RegionRecord)}
        values = {key: value for key, value in document.items() if key in known}
        return RegionRecord(**{**values, "cgroups": tuple(values["cgroups"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old text or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def index_entry(index: Path, state: Path) -> Path:
    """The file in the index that points to this state directory."""
    digest = hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:24]
    return index / f"{digest}.json"
