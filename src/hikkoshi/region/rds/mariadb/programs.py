"""Where MariaDB's programs are: on the machine, by the distribution's package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

from hikkoshi.base.errors import CannotRun

# A user's PATH often has no sbin, where Debian puts the server.
PLACES = "/usr/local/sbin:/usr/sbin:/sbin:/usr/libexec:/usr/local/bin:/usr/bin:/bin"
LEAST = (10, 6)
FIX = "install it as root: apt-get install mariadb-server (Debian, Ubuntu; it need not be started)"


@dataclass(frozen=True, slots=True)
class Programs:
    """version: as the server tells it, without the packager's part."""

    server: str
    install: str
    version: str

    def environment(self) -> dict[str, str]:
        return {"PATH": PLACES, "LC_ALL": "C", "TZ": "UTC"}


@cache
def find_programs() -> Programs:
    """Raises CannotRun, with the package to install, where MariaDB is missing or too old."""
    path = os.pathsep.join((os.environ.get("PATH", ""), PLACES))
    server = shutil.which("mariadbd", path=path)
    install = shutil.which("mariadb-install-db", path=path)
    if server is None or install is None:
        missing = "mariadbd" if server is None else "mariadb-install-db"
        raise CannotRun(
            f"MariaDB, which plays Aurora MySQL, is not installed: no {missing}", fix=FIX
        )
    said = subprocess.run(
        [server, "--no-defaults", "--version"], capture_output=True, text=True, check=False,
        timeout=30,
    ).stdout  # fmt: skip
    found = re.search(r"\bVer (\d+)\.(\d+)(\.\d+)?-MariaDB", said)
    if found is None or (int(found[1]), int(found[2])) < LEAST:
        least = ".".join(map(str, LEAST))
        raise CannotRun(f"{server} is no MariaDB of {least} or later: {said.strip()!r}", fix=FIX)
    return Programs(server, install, f"{found[1]}.{found[2]}{found[3] or ''}")
