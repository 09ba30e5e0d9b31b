"""Python distributions, taken from the environment that hikkoshi runs in."""

from __future__ import annotations

import os
import py_compile
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from hikkoshi.model.images import ImageNotHere

_LAUNCHER = """\
#!{python}
import sys
from {module} import {first}
sys.exit({attribute}())
"""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def close_over(wanted: Iterable[str], where: Iterable[Path]) -> list[metadata.Distribution]:
    """The distributions and all they require, each once, sorted by name. `psycopg[binary]` asks
    for an extra. Raises ImageNotHere for one that is not installed."""
    installed: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions(path=[str(path) for path in where]):
        name = distribution.metadata["Name"]
        if name:
            installed.setdefault(canonical(name), distribution)
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    queue = [(parse_requirement(name), "named in packages") for name in wanted]
    while queue:
        requirement, asked_by = queue.pop()
        key = canonical(requirement.name)
        if key not in installed:
            if requirement.is_conditional:
                continue
            raise ImageNotHere(
                f"the Python distribution {requirement.name!r} ({asked_by}) is not installed beside"
                f" hikkoshi; install it there: pip install {requirement.name}"
            )
        found[key] = installed[key]
        for extra in ("", *sorted(requirement.extras)):
            if (key, extra) not in seen:
                seen.add((key, extra))
                needed = [parse_requirement(text) for text in installed[key].requires or []]
                queue += [(one, f"required by {key}") for one in needed if one.is_for(extra)]
    return [found[key] for key in sorted(found)]


@dataclass(frozen=True, slots=True)
class Requirement:
    """A requirement of a distribution, as far as it matters among what is installed already: what
    its marker says of versions and platforms was decided when the environment was made."""

    name: str
    extras: frozenset[str]
    marker: str

    @property
    def is_conditional(self) -> bool:
        return bool(self.marker)

    def is_for(self, extra: str) -> bool:
        asked = re.findall(r"""extra\s*==\s*["']([^"']+)["']""", self.marker)
        return extra in {canonical(one) for one in asked} if asked else extra == ""


_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?([^;]*)(?:;(.*))?$")


def parse_requirement(text: str) -> Requirement:
    """`psycopg[binary]>=3.2; python_version >= "3.9"`. Raises ImageNotHere."""
    match = _REQUIREMENT.match(text)
    if match is None:
        raise ImageNotHere(f"{text!r} is not the name of a Python distribution")
    extras = frozenset(canonical(one.strip()) for one in (match[2] or "").split(",") if one.strip())
    return Requirement(match[1], extras, (match[4] or "").strip())


def copy_distribution(
    distribution: metadata.Distribution, target: Path, binaries: Path, *, is_compiled: bool = True
) -> None:
    """Its files into `target` (a site-packages), its console scripts into `binaries`.

    Files are linked where the file system allows, else copied. What has no byte code gets some, so
    that not every start of a container has to compile it. Raises ImageNotHere where nobody can say
    which files are its own."""
    for relative in files_of(distribution):
        source = Path(str(distribution.locate_file(str(relative))))
        if relative.is_absolute() or ".." in relative.parts or not source.is_file():
            continue
        place = target / relative
        if place.suffix != ".pyc":
            link_or_copy(source, place)
        if place.suffix == ".py" and is_compiled:
            _compile(source, place)
    for point in distribution.entry_points:
        if point.group == "console_scripts":
            _write_launcher(point, binaries / point.name, "/python/bin/python3")


def files_of(distribution: metadata.Distribution) -> list[Path]:
    """Relative to where it is installed. A distribution's package (Debian's python3-pymysql) has no
    list of its files: then what top_level.txt names is its own, and what describes it."""
    listed = [Path(entry) for entry in distribution.files or []]
    if listed:
        return listed
    name = distribution.metadata["Name"]
    site = Path(str(distribution.locate_file("")))
    tops = (distribution.read_text("top_level.txt") or "").split()
    if not tops:
        raise ImageNotHere(
            f"the Python distribution {name!r} in {site} has no list of its files; install it "
            f"beside hikkoshi: pip install --force-reinstall {name}"
        )
    found = [path for top in tops for path in (site / top, *site.glob(f"{top}.*"))]
    found += [path for path in site.glob("*.*-info") if _is_of(path, name)]
    return sorted(
        {
            file.relative_to(site)
            for path in found
            for file in (path.rglob("*") if path.is_dir() else (path,))
            if file.is_file()
        }
    )


def _is_of(info: Path, name: str) -> bool:
    """`PyMySQL-1.0.2.egg-info`, and with a Python's version after it."""
    return canonical(info.name.partition("-")[0]) == canonical(name)


def link_or_copy(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        return
    try:
        os.link(source, place)
    except OSError:
        shutil.copy2(source, place)


def _compile(source: Path, place: Path) -> None:
    tag = f"{place.stem}.{_cache_tag()}.pyc"
    made = source.parent / "__pycache__" / tag
    ours = place.parent / "__pycache__" / tag
    ours.parent.mkdir(exist_ok=True)
    if made.is_file() and made.stat().st_mtime >= source.stat().st_mtime:
        link_or_copy(made, ours)
        return
    # A file that cannot be compiled (a template, another version's syntax) is left as it is.
    py_compile.compile(str(place), cfile=str(ours), doraise=False, quiet=2)


def _cache_tag() -> str:
    return sys.implementation.cache_tag or "none"


def _write_launcher(point: metadata.EntryPoint, place: Path, python: str) -> None:
    attribute = point.attr or "main"
    text = _LAUNCHER.format(
        python=python, module=point.module, first=attribute.split(".")[0], attribute=attribute
    )
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(0o755)
