"""The interpreter that hikkoshi runs with, as something that a container can use."""

from __future__ import annotations

import importlib.util
import site
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

PREFIX = "/python"
"""A virtual environment of the image's own; first on its PATH."""


@dataclass(frozen=True, slots=True)
class PythonHome:
    """executable: the base interpreter, not a virtual environment's link to it. version: `3.11`.
    site_directories: where the distributions of the environment are. code: where the hikkoshi
    package itself is imported from."""

    executable: Path
    prefix: Path
    version: str
    site_directories: tuple[Path, ...]
    code: Path

    @property
    def site_packages(self) -> str:
        """The image's own, as a path relative to its root."""
        return f"{PREFIX[1:]}/lib/python{self.version}/site-packages"


def current_python() -> PythonHome:
    """Of this process. A Debian python, a pyenv one and a virtual environment's base all do."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(getattr(sys, "_base_executable", sys.executable) or sys.executable)
    names = [*site.getsitepackages(), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    if site.ENABLE_USER_SITE:  # Not in a virtual environment: `pip install --user`.
        names.insert(0, site.getusersitepackages())
    found = [Path(name).resolve() for name in dict.fromkeys(names) if Path(name).is_dir()]
    spec = importlib.util.find_spec("hikkoshi")
    assert spec is not None and spec.origin is not None
    return PythonHome(
        base.resolve(),
        Path(sys.base_prefix).resolve(),
        version,
        tuple(dict.fromkeys(found)),
        Path(spec.origin).resolve().parent.parent,
    )


def write_home(home: PythonHome, layer: Path, paths: tuple[Path, ...] = ()) -> None:
    """Make the virtual environment in `layer`; `paths` are added to its sys.path."""
    binaries = layer / PREFIX[1:] / "bin"
    packages = layer / home.site_packages
    binaries.mkdir(parents=True)
    packages.mkdir(parents=True)
    for name in ("python", "python3", f"python{home.version}"):
        (binaries / name).symlink_to(home.executable)
    (layer / PREFIX[1:] / "pyvenv.cfg").write_text(
        f"home = {home.executable.parent}\ninclude-system-site-packages = false\n"
        f"version = {sys.version.split()[0]}\n"
    )
    if paths:
        (packages / "hikkoshi-paths.pth").write_text("".join(f"{path}\n" for path in paths))
