"""What a fault changed and has to put back, on disk, so that it is put back after SIGKILL too.

One file a run of a fault, written before the change and removed after the undo. A file whose
process is gone is what a killed run left; the next `hikkoshi fault` finishes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hikkoshi.base.scratch import start_of

# Beside the list of the user's regions.
DIRECTORY = "faults"


@dataclass(frozen=True, slots=True)
class Left:
    """A fault that was not undone. where: endpoint, region, profile, cluster and service."""

    file: Path
    fault: str
    where: Mapping[str, Any]
    change: Mapping[str, Any]

    def forget(self) -> None:
        self.file.unlink(missing_ok=True)


@dataclass(slots=True)
class Journal:
    """Of one run of one fault. Made before it, used by its thread alone."""

    directory: Path
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def file(self) -> Path:
        return self.directory / f"{self.name}.json"

    def keep(self, fault: str, where: Mapping[str, Any], change: Mapping[str, Any]) -> None:
        """On disk when it returns. OSError."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        written = self.directory / f"{self.name}.new"
        document = {
            "pid": os.getpid(),
            "started": start_of(os.getpid()),
            "fault": fault,
            "where": dict(where),
            "change": dict(change),
        }
        with written.open("w", encoding="utf-8") as out:
            json.dump(document, out)
            out.flush()
            os.fsync(out.fileno())
        written.replace(self.file)

    def forget(self) -> None:
        self.file.unlink(missing_ok=True)


def left_in(directory: Path) -> list[Left]:
    """What runs whose process is gone left; a file that cannot be read is passed over."""
    found = []
    for file in sorted(directory.glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError):
            document = json.loads(file.read_text("utf-8"))
            if start_of(int(document["pid"])) != document["started"]:
                found.append(
                    Left(file, str(document["fault"]), document["where"], document["change"])
                )
    return found
