"""YAML whose every value knows its line, so that an error can name it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import yaml

from hikkoshi.base.errors import BadInput
from hikkoshi.base.units import parse_duration
from hikkoshi.synthetic.jsonpath import JsonPath, parse_path


@dataclass(frozen=True, slots=True)
class Marked:
    """A node of a YAML document with the file and key that lead to it."""

    node: yaml.Node
    file: str
    key: str = ""

    @property
    def where(self) -> str:
        place = f"{self.file}:{self.node.start_mark.line + 1}"
        return f"{place} ({self.key})" if self.key else place

    def wrong(self, what: str, fix: str) -> BadInput:
        return BadInput(what, where=self.where, fix=fix)

    def value(self) -> Any:
        """The whole node as plain Python values."""
        try:
            return _Constructor().construct_document(self.node)
        except (yaml.YAMLError, RecursionError) as error:
            raise self.wrong(f"not a plain value: {_problem(error)}", "write plain YAML") from error

    def pairs(self, known: Iterable[str] | None = None) -> dict[str, Marked]:
        """A mapping's members by key. An unknown or repeated key is a BadInput."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong(f"{self.key or 'the document'} is not a mapping", "write key: value")
        allowed = None if known is None else tuple(known)
        members: dict[str, Marked] = {}
        for key_node, value_node in self.node.value:
            name = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else ""
            here = Marked(key_node, self.file, f"{self.key}.{name}" if self.key else name)
            if not isinstance(key_node, yaml.ScalarNode):
                raise here.wrong("a key is not plain text", "quote it if it has { or [ in it")
            if name in members:
                raise here.wrong(f"{name!r} is there twice", "keep one of them")
            if allowed is not None and name not in allowed:
                near = get_close_matches(name, allowed, 1)
                told = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(allowed)}"
                raise here.wrong(f"unknown key {name!r}", told)
            members[name] = Marked(value_node, self.file, here.key)
        return members

    def items(self) -> list[Marked]:
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong(f"{self.key} is not a list", "write each entry after a dash")
        return [
            Marked(node, self.file, f"{self.key}[{index}]")
            for index, node in enumerate(self.node.value)
        ]

    def text(self, fix: str) -> str:
        value = self.value()
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(f"{self.key} is {value!r}, not a text", fix)
        return value


class _Constructor(yaml.constructor.SafeConstructor):
    """Without dates: 2026-07-01 stays the text that it is in JSON."""


_Constructor.yaml_constructors = {
    **yaml.constructor.SafeConstructor.yaml_constructors,
    "tag:yaml.org,2002:timestamp": yaml.constructor.SafeConstructor.construct_yaml_str,
}


def read_marked(text: str, file: str) -> Marked:
    """BadInput with line and column when it is not YAML."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise BadInput(
            f"not YAML: {_problem(error)}",
            where=place,
            fix="inside { } put quotes around what has [ ] or { } in it: '$.reports[0].id', "
            "'{{name}}'",
        ) from error
    if node is None:
        raise BadInput("the file is empty", where=file, fix="write tests:")
    return Marked(node, file)


def _problem(error: Exception) -> str:
    return str(getattr(error, "problem", None) or error)


def read_duration(member: Marked) -> float:
    plain = member.value()
    try:
        seconds = parse_duration(plain)
    except ValueError as error:
        raise member.wrong(str(error), "write 500ms or 2s") from error
    if seconds <= 0:
        raise member.wrong(f"{plain!r} is no time at all", "give more than nought")
    return seconds


def read_path(member: Marked, text: str) -> JsonPath:
    try:
        return parse_path(text, needs_root=True)
    except ValueError as error:
        raise member.wrong(str(error), "write a path like $.reports[0].id") from error
