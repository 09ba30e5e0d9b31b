"""Fluent Bit's classic configuration format: sections, indented entries, @INCLUDE, @SET, ${VAR}.

https://docs.fluentbit.io/manual/administration/configuring-fluent-bit/classic-mode
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from hikkoshi.base.errors import BadInput
from hikkoshi.router import image
from hikkoshi.router.section import Property, Section

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_HEADER = re.compile(r"^\[([A-Za-z_]+)\]\s*$")

KINDS = ("SERVICE", "INPUT", "FILTER", "OUTPUT", "PARSER", "MULTILINE_PARSER")
NOT_INTERPRETED = ("CUSTOM", "PROCESSOR", "STREAM_TASK", "PLUGINS", "UPSTREAM", "NODE")


def expand(text: str, environ: Mapping[str, str], warn: Callable[[str], None] | None = None) -> str:
    """Replace ${NAME}; a name that is not set becomes nothing, as in Fluent Bit."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environ and warn is not None:
            warn(f"[env] variable ${{{name}}} is used but not set")
        return environ.get(name, "")

    return _VARIABLE.sub(value, text)


def _fix_of_missing(path: Path) -> str:
    fix = "check the path and that the file is in the image"
    if path.is_relative_to(image.ROOT):
        fix += "; of AWS's image the stand-in has " + ", ".join(image.played())
    return fix


class ClassicReader:
    """Reads a file and what it includes into sections.

    @SET writes into `environ` (a private copy), where later ${…} find it.
    """

    def __init__(self, environ: Mapping[str, str], warn: Callable[[str], None]) -> None:
        self.environ = dict(environ)
        self._warn = warn
        self._open: list[Path] = []

    def read(self, path: Path) -> list[Section]:
        """BadInput with file:line for whatever Fluent Bit would refuse."""
        if path in self._open:
            raise BadInput(
                "the file includes itself", where=str(path), fix="remove the @INCLUDE that loops"
            )
        try:
            lines = image.on_disk(path, self._warn).read_text("utf-8").splitlines()
        except OSError as error:
            raise BadInput(
                f"could not open the configuration file: {error.strerror}",
                where=str(path),
                fix=_fix_of_missing(path),
            ) from error
        except UnicodeDecodeError as error:
            raise BadInput(
                "the configuration file is not plain text in UTF-8",
                where=str(path),
                fix="save it as UTF-8 without special characters",
            ) from error
        self._open.append(path)
        try:
            return self._parse(path, lines)
        finally:
            self._open.pop()

    def _parse(self, path: Path, lines: list[str]) -> list[Section]:
        sections: list[Section] = []
        head: tuple[str, int] | None = None
        entries: list[Property] = []
        indent: str | None = None

        def close() -> None:
            if head is not None:
                sections.append(Section(head[0], tuple(entries), str(path), head[1]))

        for number, raw in enumerate(lines, 1):
            line = raw.rstrip()
            stripped = line.strip()
            if not stripped or stripped.startswith("#"):
                continue
            where = f"{path}:{number}"
            if line[0] == "@":
                close()
                head, entries, indent = None, [], None
                sections.extend(self._command(path, line, where))
                continue
            if line[0] == "[":
                close()
                head, entries, indent = (self._kind(line, where), number), [], None
                continue
            white = line[: len(line) - len(line.lstrip())]
            if head is None:
                raise BadInput(
                    f"{stripped!r} stands outside of any section",
                    where=where,
                    fix="start a section first, such as [OUTPUT]",
                )
            if not white or (indent is not None and white != indent):
                raise BadInput(
                    "invalid indentation level",
                    where=where,
                    fix="indent every entry of a section by the same spaces",
                )
            indent = white
            entries.append(self._entry(path, stripped, number, where))
        close()
        return sections

    def _kind(self, line: str, where: str) -> str:
        match = _HEADER.match(line)
        if match is None:
            raise BadInput(
                f"{line!r} is not a section", where=where, fix="write [INPUT], alone on its line"
            )
        kind = match.group(1).upper()
        if kind in NOT_INTERPRETED:
            raise BadInput(
                f"section [{kind}] is not interpreted by the stand-in",
                where=where,
                fix="run the real Fluent Bit (--engine docker) for it",
            )
        if kind not in KINDS:
            raise BadInput(
                f"unknown section [{match.group(1)}]",
                where=where,
                fix="one of: " + ", ".join(f"[{known}]" for known in KINDS),
            )
        return kind

    def _entry(self, path: Path, stripped: str, number: int, where: str) -> Property:
        key, _, value = stripped.partition(" ") if " " in stripped else stripped.partition("\t")
        if "\t" in key:
            key, _, rest = key.partition("\t")
            value = rest + " " + value
        if not value.strip():
            raise BadInput(
                f"key {key!r} has no value", where=where, fix=f"write `{key} VALUE`, or remove it"
            )
        return Property(key, expand(value.strip(), self.environ, self._warn), str(path), number)

    def _command(self, path: Path, line: str, where: str) -> list[Section]:
        command, _, argument = line.partition(" ")
        argument = expand(argument.strip(), self.environ, self._warn)
        if command.upper() == "@SET":
            name, found, value = argument.partition("=")
            if not found:
                raise BadInput("@SET without '='", where=where, fix="write @SET NAME=value")
            self.environ[name.strip()] = value.strip()
            return []
        if command.upper() != "@INCLUDE":
            raise BadInput(
                f"unknown command {command}", where=where, fix="@INCLUDE FILE or @SET NAME=value"
            )
        pattern = argument if argument.startswith("/") else str(path.parent / argument)
        has_wildcard = any(c in pattern for c in "*?[")
        matches = sorted(glob.glob(pattern)) if has_wildcard else [pattern]  # noqa: PTH207
        found_sections: list[Section] = []
        for match in matches:
            try:
                found_sections.extend(self.read(Path(match)))
            except BadInput as error:
                if error.where == match:
                    raise BadInput(
                        error.what, where=f"{where} (@INCLUDE {match})", fix=error.fix
                    ) from error
                raise
        return found_sections
