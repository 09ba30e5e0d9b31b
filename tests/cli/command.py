"""The `hikkoshi` command as its users have it: a process, with a home directory of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

GENBA = Path(__file__).parents[2] / "examples" / "genba"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


class Command:
    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(exist_ok=True)
        kept = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "TMPDIR", "DOCKER_HOST")
        self.environment = {k: os.environ[k] for k in kept if k in os.environ} | {
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
        }

    @property
    def line(self) -> list[str]:
        return [str(BIN / "hikkoshi")]

    def __call__(
        self, *arguments: object, before: tuple[str, ...] = (), timeout: float = 100, **more: str
    ) -> Said:
        done = subprocess.run(
            [*before, *self.line, *(str(a) for a in arguments)],
            env=self.environment | more,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def regions(self) -> list[Path]:
        """What the list of this home's regions holds: nothing, when nothing was started."""
        return list((self.home / "state" / "hikkoshi").glob("*.json"))


def copy_genba(to: Path) -> Path:
    """before/ and after/ side by side, as `compare_with` wants them; answers their directory."""
    shutil.copytree(GENBA, to, ignore=shutil.ignore_patterns(".hikkoshi", "__pycache__"))
    return to
