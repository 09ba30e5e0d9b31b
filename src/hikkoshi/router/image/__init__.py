"""What AWS's image of Fluent Bit has on its disk, for configurations that name it.

`/fluent-bit/configs/parse-json.conf` and its like are what most task definitions give as
`config-file-value`; `/fluent-bit/parsers/parsers.conf` has the parsers that Fluent Bit ships. The
files beside this one are of our own writing, with the same sections, names of fields and times.
Sources: github.com/aws/aws-for-fluent-bit (configs/, scripts/dockerfiles), read on 30 November
2026; github.com/fluent/fluent-bit, conf/parsers.conf.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

ROOT = "/fluent-bit"
_HERE = Path(__file__).parent
_ELSEWHERE = {"etc/parsers.conf": "parsers/parsers.conf"}
"""The image has its parsers twice; FireLens lays its own file into etc/."""


def on_disk(path: Path, warn: Callable[[str], None]) -> Path:
    """`path`, or where there is no such file, what AWS's image has there, if we play it."""
    try:
        name = str(path.relative_to(ROOT))
    except ValueError:
        return path
    if path.exists():
        return path
    if name in _ELSEWHERE:
        warn(f"{path} may be hidden by FireLens on Fargate: name {ROOT}/{_ELSEWHERE[name]} instead")
    own = _HERE / _ELSEWHERE.get(name, name)
    return own if own.suffix == ".conf" and own.is_file() else path


def played() -> tuple[str, ...]:
    """The paths in the image that are played here."""
    found = (str(file.relative_to(_HERE)) for file in _HERE.rglob("*.conf"))
    return tuple(sorted(f"{ROOT}/{name}" for name in (*found, *_ELSEWHERE)))
