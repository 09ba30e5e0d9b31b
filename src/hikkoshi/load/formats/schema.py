"""Values for the schemas of an OpenAPI document: from examples, defaults, enums and plain types.

Source: OpenAPI Specification 3.0.3 and 3.1.0 (whose schemas are JSON Schema 2020-12).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from hikkoshi.base.errors import BadInput

FIX = "give an OpenAPI 3 document, in JSON or YAML"
MISSING: Any = object()
# As deep as a value is ever nested …
_DEEPEST = 12
# … of which so many levels have what is optional too. Below, only what is required: where schemas
# name each other freely (Kubernetes', GitHub's) a full value would have millions of parts.
_OPTIONAL_UNTIL = 4
_MOST_PARTS = 5000
# Plain values by type and format; what is generated is a variable of the load generator.
_BY_FORMAT: Mapping[tuple[str, str], Any] = {
    ("string", "uuid"): "${uuid}", ("string", "date"): "2024-01-01",
    ("string", "date-time"): "2024-01-01T00:00:00Z", ("string", "email"): "a@example.com",
    ("string", "uri"): "http://example.com/", ("string", ""): "string",
    ("integer", ""): 1, ("number", ""): 1.0, ("boolean", ""): True,
}  # fmt: skip


class Schemas:
    """Of one document. where: its name, for errors."""

    def __init__(self, document: Mapping[str, Any], where: str) -> None:
        self._document = document
        self._where = where
        self._parts = 0

    def resolved(self, node: Any, depth: int = 16) -> dict[str, Any]:
        """The object itself, or the one that its $ref leads to. BadInput when it leads nowhere."""
        if node is True:  # JSON Schema's way to write {}
            return {}
        if not isinstance(node, dict):
            raise BadInput(f"{str(node)[:60]!r} is no object", where=self._where, fix=FIX)
        reference = node.get("$ref")
        if reference is None:
            return node
        found: Any = self._document
        if depth <= 0 or not isinstance(reference, str) or not reference.startswith("#/"):
            raise BadInput(
                f"$ref {reference!r} cannot be followed", where=self._where,
                fix="bundle the document into one file without circles of references",
            )  # fmt: skip
        for step in reference[2:].split("/"):
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            found = _child(found, key)
        if found is None:
            raise BadInput(f"$ref {reference!r} leads nowhere", where=self._where, fix="define it")
        return self.resolved(found, depth - 1)

    def value(self, schema: Any) -> Any:
        """MISSING when there is nothing that it could be."""
        self._parts = 0
        return self._made(schema, 0, frozenset())

    def _made(self, schema: Any, depth: int, within: frozenset[str]) -> Any:
        """within: the references that are being filled: none of them again."""
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        self._parts += 1
        if depth > _DEEPEST or self._parts > _MOST_PARTS or reference in within:
            return MISSING
        if reference is not None:
            within |= {reference}
        schema = self.resolved(schema)
        if isinstance(schema.get("examples"), list) and schema["examples"]:
            return schema["examples"][0]
        for key in ("example", "const", "default"):
            if key in schema:
                return schema[key]
        if schema.get("enum"):
            return next((each for each in schema["enum"] if each is not None), None)
        for key in ("oneOf", "anyOf"):
            if schema.get(key):
                choices = (self._made(each, depth + 1, within) for each in schema[key])
                return self._whole(schema, [_first(choices)], depth, within)
        if schema.get("allOf"):
            parts = [self._made(each, depth + 1, within) for each in schema["allOf"]]
            return self._whole(schema, parts, depth, within)
        return self._made_by_type(schema, depth, within)

    def _whole(
        self, schema: dict[str, Any], parts: list[Any], depth: int, within: frozenset[str]
    ) -> Any:
        """The parts of an object as one, with the properties that stand beside them; of what is no
        object, the first."""
        if "properties" in schema:
            parts = [*parts, self._made_by_type(schema, depth, within)]
        objects = [part for part in parts if isinstance(part, dict)]
        if not objects:
            return _first(parts)
        whole: dict[str, Any] = {}
        for each in objects:
            whole |= each
        return whole

    def _made_by_type(self, schema: dict[str, Any], depth: int, within: frozenset[str]) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), None)
        if kind == "object" or "properties" in schema:
            return self._object(schema, depth, within)
        if kind == "array":
            each = self._made(schema.get("items") or {}, depth + 1, within)
            least = schema.get("minItems")
            count = max(1, min(least, 100)) if isinstance(least, int) else 1
            if each is MISSING:
                return MISSING if least else []
            return [each] * count
        if schema.get("pattern"):
            return MISSING
        if kind in ("integer", "number") and isinstance(schema.get("minimum"), (int, float)):
            return schema["minimum"]
        form = str(schema.get("format", ""))
        value = _BY_FORMAT.get((str(kind), form), _BY_FORMAT.get((str(kind), ""), MISSING))
        return _fitted(value, schema) if isinstance(value, str) else value

    def _object(self, schema: dict[str, Any], depth: int, within: frozenset[str]) -> Any:
        required = set(schema.get("required") or ())
        made = {}
        for name, each in (schema.get("properties") or {}).items():
            if each is False or (name not in required and depth >= _OPTIONAL_UNTIL):
                continue
            if self.resolved(each).get("readOnly"):
                continue
            value = self._made(each, depth + 1, within)
            if value is not MISSING:
                made[name] = value
            elif name in required:
                return MISSING
        return made


def _child(node: Any, key: str) -> Any:
    if isinstance(node, list) and key.isdigit() and int(key) < len(node):
        return node[int(key)]
    return node.get(key) if isinstance(node, dict) else None


def _first(values: Iterable[Any]) -> Any:
    """The first that is a value."""
    return next((each for each in values if each is not MISSING), MISSING)


def _fitted(value: str, schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minLength"), schema.get("maxLength")
    if value.startswith("${"):
        return value
    if isinstance(least, int) and len(value) < least:
        return value.ljust(least, "x")
    return value[:most] if isinstance(most, int) and most > 0 else value
