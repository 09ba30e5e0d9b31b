"""A file of the project as data, with the line of each of its keys."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hikkoshi.base.errors import BadInput
from hikkoshi.project.json_positions import JsonMistake, read_json

KeyPath = tuple[str | int, ...]
MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Document:
    """places: the line and column (both from 1) of each key, or of a list's item."""

    path: Path
    data: Any
    places: dict[KeyPath, tuple[int, int]]

    def place(self, key: KeyPath = ()) -> tuple[int, int]:
        """Line and column of the key, else of its nearest ancestor that stands in the file."""
        known = key
        while known and known not in self.places:
            known = known[:-1]
        return self.places.get(known, (1, 1))

    def where(self, key: KeyPath = ()) -> str:
        """`file:line (key.path)` of the nearest known ancestor of that key."""
        name = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in key).lstrip(".")
        return f"{self.path}:{self.place(key)[0]}" + (f" ({name})" if name else "")

    def refuse(self, key: KeyPath, what: str, fix: str | None = None) -> BadInput:
        return BadInput(what, where=self.where(key), fix=fix)


def read_text(path: Path, *, named_by: str | None = None) -> str:
    """The file's text. BadInput names the file, and who asked for it, when it cannot be read."""
    asked = f", which {named_by} names" if named_by else ""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput(f"{path} is larger than {MAX_BYTES >> 20} MiB{asked}")
        return path.read_text("utf-8")
    except FileNotFoundError:
        near = _nearest_file(path)
        raise BadInput(
            f"there is no file {path}{asked}",
            fix=f"did you mean {near}?" if near else "write it, or correct the name",
        ) from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a directory, not a file{asked}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 text (byte {error.start}){asked}") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}{asked}") from error


def read_document(path: Path, *, named_by: str | None = None) -> Document:
    """JSON for `.json`, else YAML. BadInput has file, line, and the fix."""
    return parse_document(path, read_text(path, named_by=named_by))


def parse_document(path: Path, text: str) -> Document:
    """The text of that file, read before or made from it; as `read_document`."""
    if path.suffix == ".json":
        try:
            read = read_json(text)
        except JsonMistake as error:
            raise BadInput(
                error.what, where=f"{path}:{error.line}:{error.column}", fix=error.fix
            ) from error
        return Document(path, read.value, read.places)
    return read_yaml(path, text)


MOST_KEYS = 100_000
"""Own cut: a handful of lines of aliases can stand for billions of items."""


def read_yaml(path: Path, text: str) -> Document:
    """BadInput with line and column for what is not YAML, or has a key twice."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        loader = yaml.SafeLoader(text)
        places: dict[KeyPath, tuple[int, int]] = {}
        if node is None:
            return Document(path, {}, places)
        _walk(path, node, (), places, loader, 0)
        return Document(path, yaml.safe_load(text), places)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        hint = None
        if "\t" in text:
            hint = "YAML does not take tabs for indentation; use spaces"
        raise BadInput(str(error.problem or error.context), where=place, fix=hint) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise BadInput(f"not YAML: {error}", where=str(path)) from error


def _walk(
    path: Path,
    node: yaml.Node,
    key: KeyPath,
    places: dict[KeyPath, tuple[int, int]],
    loader: yaml.SafeLoader,
    depth: int,
) -> None:
    if depth > 60:
        raise BadInput("nested more than 60 deep", where=f"{path}:{node.start_mark.line + 1}")
    if len(places) > MOST_KEYS:
        raise BadInput(
            f"more than {MOST_KEYS} keys and items, aliases counted each time",
            where=f"{path}:{node.start_mark.line + 1}",
            fix="write less of it by aliases (*name)",
        )
    places.setdefault(key, (node.start_mark.line + 1, node.start_mark.column + 1))
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            name = str(loader.construct_object(key_node))
            line = key_node.start_mark.line + 1
            if name in seen:
                raise BadInput(f"the key {name!r} stands twice", where=f"{path}:{line}")
            seen.add(name)
            places[(*key, name)] = (line, key_node.start_mark.column + 1)
            _walk(path, value_node, (*key, name), places, loader, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(path, item, (*key, index), places, loader, depth + 1)


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` or the known words, for an error's fix."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, 1, 0.6) or [
        w for w in words if w.lower() == word.lower()
    ]
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known here: {', '.join(words)}" if len(words) <= 30 else "see the documentation"


def _nearest_file(path: Path) -> str | None:
    try:
        names = [p.name for p in path.parent.iterdir()]
    except OSError:
        return None
    close = difflib.get_close_matches(path.name, names, 1, 0.7)
    return str(path.parent / close[0]) if close else None
