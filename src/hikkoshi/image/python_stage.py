"""Python in an image of its own: interpreter and standard library at /usr/local, and a virtual
environment at /python for what the application needs.

The interpreter finds its library from where it itself is, so that it may be moved; what a service
never imports (tests, IDLE, Tk, pip's seed) is left out. Byte code is made without times in it, so
that the same input gives the same bytes.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

from hikkoshi.image.packages import close_over, copy_distribution
from hikkoshi.image.python_home import PREFIX, PythonHome
from hikkoshi.image.stage import Stage
from hikkoshi.model.images import ImageNotHere

_BASE = "/usr/local"
_NOT_NEEDED = (
    "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data",
    "site-packages", "dist-packages", "turtle.py", "__phello__",
)  # fmt: skip
_NOT_NEEDED_MODULES = ("_tkinter", "_test", "_xxtestfuzz", "xxlimited", "_ctypes_test")
ENVIRONMENT = {
    "PATH": f"{PREFIX}/bin:/usr/local/bin:/usr/bin:/bin",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "LANG": "C.UTF-8",
}


def put_python(stage: Stage, home: PythonHome) -> None:
    library = f"{_BASE}/lib/python{home.version}"
    source = Path(sysconfig.get_path("stdlib"))
    _put_library(stage, source, library)
    executable = f"{_BASE}/bin/python{home.version}"
    stage.put(executable, home.executable)
    for name in ("python3", "python"):
        stage.put_link(f"{_BASE}/bin/{name}", f"python{home.version}")
    for name in ("python", "python3"):
        stage.put_link(f"{PREFIX}/bin/{name}", executable)
    stage.make_directory(f"/{home.site_packages}")
    stage.put_text(
        f"{PREFIX}/pyvenv.cfg", f"home = {_BASE}/bin\ninclude-system-site-packages = false\n"
    )


def put_packages(stage: Stage, home: PythonHome, names: tuple[str, ...]) -> None:
    """Distributions and all that they need. Raises ImageNotHere."""
    packages = stage.here.root / home.site_packages
    binaries = stage.here.root / PREFIX[1:] / "bin"
    for distribution in close_over(names, home.site_directories):
        copy_distribution(distribution, packages, binaries, is_compiled=False)
    for path in sorted(packages.rglob("*.so*")):
        stage.note("/" + path.relative_to(stage.here.root).as_posix())


def compile_all(stage: Stage, home: PythonHome) -> None:
    """Byte code for all that was put: checked by nothing, for nothing in an image changes."""
    places = [
        stage.here.root / _BASE[1:] / "lib" / f"python{home.version}",
        stage.here.root / home.site_packages,
    ]
    done = subprocess.run(
        [
            str(home.executable), "-I", "-m", "compileall", "-q", "-j", "1",
            "--invalidation-mode", "unchecked-hash", "-s", str(stage.here.root), "-p", "/",
            *map(str, places),
        ],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    # A template that is no Python fails, and is left as it is; no byte code at all is a mistake.
    if not any(places[0].rglob("*.pyc")):
        raise ImageNotHere(f"the standard library could not be compiled: {done.stderr[-500:]}")


def _put_library(stage: Stage, source: Path, target: str) -> None:
    for top, directories, files in os.walk(source):
        relative = Path(top).relative_to(source)
        directories[:] = sorted(
            d
            for d in directories
            if d != "__pycache__" and d not in _NOT_NEEDED and not d.startswith("config-")
        )
        base = Path(target) / relative
        for name in sorted(files):
            is_wanted = name not in _NOT_NEEDED and not name.startswith(_NOT_NEEDED_MODULES)
            if is_wanted and not name.endswith((".pyc", ".a")):
                stage.put(str(base / name), Path(top) / name)
