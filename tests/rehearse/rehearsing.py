"""A rehearsal as its users start it: the command, on a copy of an example, in a home of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

GENBA = Path(__file__).parents[2] / "examples" / "genba"
HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")


def copy_genba(to: Path) -> Path:
    """before/ and after/ side by side, as `compare_with` wants them."""
    shutil.copytree(GENBA, to, ignore=shutil.ignore_patterns(".hikkoshi", "__pycache__"))
    return to


class Home:
    """A home directory whose path stands in the environment of all that is started from it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(exist_ok=True)
        kept = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "TMPDIR")
        self.environment = {k: os.environ[k] for k in kept if k in os.environ} | {
            "HOME": str(path),
            "XDG_STATE_HOME": str(path / "state"),
        }

    def start(
        self, *arguments: object, out: IO[str] | int, err: IO[str] | int
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [HIKKOSHI, *(str(a) for a in arguments)],
            env=self.environment, cwd=self.path, text=True,
            stdin=subprocess.DEVNULL, stdout=out, stderr=err,
        )  # fmt: skip

    def run(self, *arguments: object, timeout: float = 100) -> tuple[int, str, str]:
        process = self.start(*arguments, out=subprocess.PIPE, err=subprocess.PIPE)
        with process:
            out, err = process.communicate(timeout=timeout)
        return process.returncode, out, err

    def regions(self) -> list[Path]:
        return list((self.path / "state" / "hikkoshi").glob("*.json"))

    def wait_api(self, process: subprocess.Popen[str], deadline_s: float = 60.0) -> str:
        """The API's address, once the region that `process` starts is ready."""
        deadline = time.monotonic() + deadline_s
        while time.monotonic() < deadline and process.poll() is None:
            for entry in self.regions():
                try:
                    state = Path(json.loads(entry.read_text())["state"])
                    record = json.loads((state / "region.json").read_text())
                except (OSError, ValueError):
                    continue
                if record["is_ready"]:
                    return f"http://{record['host']}:{record['port']}"
            time.sleep(0.05)
        raise AssertionError("the region did not become ready")
