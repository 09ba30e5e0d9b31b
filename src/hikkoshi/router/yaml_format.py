"""Fluent Bit's YAML configuration, turned into the same sections as the classic format.

https://docs.fluentbit.io/manual/administration/configuring-fluent-bit/yaml
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from hikkoshi.base.errors import BadInput
from hikkoshi.router.classic import expand
from hikkoshi.router.section import Property, Section

_LISTS = {"parsers": "PARSER", "multiline_parsers": "MULTILINE_PARSER"}
_PIPELINE = {"inputs": "INPUT", "filters": "FILTER", "outputs": "OUTPUT"}


def read_yaml(path: Path, environ: Mapping[str, str], warn: Callable[[str], None]) -> list[Section]:
    """BadInput with file:line for what is not interpreted."""
    return _Reader(dict(environ), warn).read(path, ())


class _Reader:
    def __init__(self, environ: dict[str, str], warn: Callable[[str], None]) -> None:
        self._environ = environ
        self._warn = warn

    def read(self, path: Path, opened: tuple[Path, ...]) -> list[Section]:
        if path in opened:
            raise BadInput("the file includes itself", where=str(path), fix="remove the include")
        try:
            root = yaml.compose(path.read_text("utf-8"))
        except OSError as error:
            raise BadInput(
                f"could not open the configuration file: {error.strerror}", where=str(path)
            ) from error
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or error
            raise BadInput(f"this is not YAML: {problem}", where=f"{path}{line}") from error
        sections: list[Section] = []
        for key, node in self._pairs(root, path):
            sections += self._top(key, node, path, opened)
        return sections

    def _top(
        self, key: str, node: yaml.Node, path: Path, opened: tuple[Path, ...]
    ) -> list[Section]:
        if key == "env":
            for name, value in self._pairs(node, path):
                self._environ[name] = self._text(value, path)
            return []
        if key == "includes":
            found: list[Section] = []
            for item in self._items(node, path):
                name = self._text(item, path)
                file = Path(name) if name.startswith("/") else path.parent / name
                found += self.read(file, (*opened, path))
            return found
        if key == "service":
            return [self._section("SERVICE", node, path)]
        if key in _LISTS:
            return [self._section(_LISTS[key], item, path) for item in self._items(node, path)]
        if key != "pipeline":
            raise self._refuse(f"unknown section '{key}'", node, path)
        sections = []
        for part, items in self._pairs(node, path):
            if part not in _PIPELINE:
                raise self._refuse(f"unknown part of the pipeline '{part}'", items, path)
            sections += [self._section(_PIPELINE[part], i, path) for i in self._items(items, path)]
        return sections

    def _section(self, kind: str, node: yaml.Node, path: Path) -> Section:
        properties: list[Property] = []
        for key, value in self._pairs(node, path):
            line = value.start_mark.line + 1
            if key == "processors":
                raise self._refuse("processors", value, path)
            if key == "rules" and kind == "MULTILINE_PARSER":
                for rule in self._items(value, path):
                    parts = {name: self._text(part, path) for name, part in self._pairs(rule, path)}
                    text = f'"{parts.get("state")}" "{parts.get("regex")}" '
                    text += f'"{parts.get("next_state")}"'
                    properties.append(Property("rule", text, str(path), line))
                continue
            values = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for entry in values:
                properties.append(Property(key, self._text(entry, path), str(path), line))
        return Section(kind, tuple(properties), str(path), node.start_mark.line + 1)

    def _pairs(self, node: yaml.Node | None, path: Path) -> list[tuple[str, yaml.Node]]:
        if node is None:
            return []
        if not isinstance(node, yaml.MappingNode):
            raise self._refuse("a mapping belongs here; this", node, path)
        return [(str(key.value), value) for key, value in node.value]

    def _items(self, node: yaml.Node, path: Path) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._refuse("a list belongs here; this", node, path)
        return list(node.value)

    def _text(self, node: yaml.Node, path: Path) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._refuse("a nested value", node, path)
        return expand(str(node.value), self._environ, self._warn)

    def _refuse(self, what: str, node: yaml.Node, path: Path) -> BadInput:
        return BadInput(
            f"{what} is not interpreted by the stand-in",
            where=f"{path}:{node.start_mark.line + 1}",
            fix="known are service, env, includes, parsers, multiline_parsers and pipeline",
        )
