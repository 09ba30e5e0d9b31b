"""OpenAPI 3: a request for each operation, filled from its examples, defaults and schemas.

Source: OpenAPI Specification 3.0.3 and 3.1.0. Operations that delete are left out unless they are
asked for by method; so is what needs a value for which the document has neither example, default,
enum nor a plain type.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import yaml

from hikkoshi.base.errors import BadInput
from hikkoshi.load.formats.found import Found, told
from hikkoshi.load.targets import Target

_METHODS = ("get", "head", "options", "post", "put", "patch", "delete")
_DEEPEST = 12
_FIX = "give an OpenAPI 3 document, in JSON or YAML"
_MISSING: Any = object()
# Plain values by type and format; what is generated is a variable of the load generator.
_BY_FORMAT: Mapping[tuple[str, str], Any] = {
    ("string", "uuid"): "${uuid}", ("string", "date"): "2024-01-01",
    ("string", "date-time"): "2024-01-01T00:00:00Z", ("string", "email"): "a@example.com",
    ("string", "uri"): "http://example.com/", ("string", ""): "string",
    ("integer", ""): 1, ("number", ""): 1.0, ("boolean", ""): True,
}  # fmt: skip


def parse_openapi(text: str, where: str, methods: frozenset[str] | None = None) -> Found:
    """methods: in capitals; None takes all but DELETE. BadInput names line or key."""
    document = _read(text, where)
    reader = _Reader(document, where)
    left_out: Counter[str] = Counter()
    targets = []
    for path, item in document.get("paths", {}).items():
        if not isinstance(item, dict):
            raise BadInput("a path is an object", where=f"{where}: paths.{path}", fix=_FIX)
        for method in _METHODS:
            if method not in item:
                continue
            is_wanted = method != "delete" if methods is None else method.upper() in methods
            if not is_wanted:
                left_out[
                    f"{method.upper()} operations were left out (ask for them with --methods)"
                ] += 1
                continue
            try:
                targets.append(reader.target(path, method, item))
            except _NoValue as error:
                left_out[f"operations were left out: no example for {error}"] += 1
    if not targets:
        why = f": {'; '.join(told(left_out))}" if left_out else ""
        raise BadInput(f"no operation that can be sent{why}", where=where, fix=_FIX)
    return Found(tuple(targets), told(left_out))


class _NoValue(Exception):
    """The document has no value for something that is required."""


def _read(text: str, where: str) -> dict[str, Any]:
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except json.JSONDecodeError as error:
        raise BadInput(
            f"not JSON: {error.msg}", where=f"{where}:{error.lineno}", fix=_FIX
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}" if mark else where
        raise BadInput(
            f"not YAML: {getattr(error, 'problem', error)}", where=place, fix=_FIX
        ) from error
    if not isinstance(document, dict) or not str(document.get("openapi", "")).startswith("3."):
        is_old = isinstance(document, dict) and "swagger" in document
        what = "Swagger 2 is not read" if is_old else "no `openapi: 3.…` in it"
        raise BadInput(what, where=where, fix="convert it to OpenAPI 3" if is_old else _FIX)
    if not isinstance(document.get("paths", {}), dict):
        raise BadInput("paths is not an object", where=f"{where}: paths", fix=_FIX)
    return document


class _Reader:
    def __init__(self, document: dict[str, Any], where: str) -> None:
        self._document = document
        self._where = where
        self._server = self._server_of(document)

    def target(self, path: str, method: str, item: dict[str, Any]) -> Target:
        operation = self._resolved(item[method])
        filled, query, headers = path, [], []
        for parameter in self._parameters(item, operation):
            name, place = str(parameter.get("name")), parameter.get("in")
            value = self._value_of(parameter)
            if value is _MISSING or (not parameter.get("required") and self._is_made_up(parameter)):
                if parameter.get("required"):
                    raise _NoValue(f"{place} parameter {name}")
                continue
            if place == "path":
                filled = filled.replace("{" + name + "}", _quoted(_text(value)))
            elif place == "query":
                values = value if isinstance(value, list) else [value]
                query += [(name, _text(each)) for each in values]
            elif place == "header":
                headers.append((name, _text(value)))
            elif place == "cookie":
                headers.append(("Cookie", f"{name}={_text(value)}"))
        if "{" in filled.replace("${", ""):
            raise _NoValue(f"a path parameter of {path}")
        if query:
            filled += "?" + urlencode(query, safe="${}:|")
        body, kind = self._body(operation)
        if kind:
            headers.append(("Content-Type", kind))
        return Target(
            method.upper(), self._server + filled, tuple(headers), body,
            name=f"{method.upper()} {path}", where=f"{self._where}: paths.{path}.{method}",
        )  # fmt: skip

    def _server_of(self, document: dict[str, Any]) -> str:
        """The first server's address; a path alone when it has no host."""
        servers = document.get("servers") or [{"url": "/"}]
        server = servers[0] if isinstance(servers, list) and isinstance(servers[0], dict) else {}
        url = str(server.get("url", "/"))
        for name, variable in (server.get("variables") or {}).items():
            url = url.replace("{" + name + "}", str(variable.get("default", "")))
        is_whole = urlsplit(url).scheme in ("http", "https")
        return url.rstrip("/") if is_whole or url.startswith("/") else ""

    def _parameters(self, item: dict[str, Any], operation: dict[str, Any]) -> list[dict[str, Any]]:
        """The path's own, overruled by the operation's."""
        both: dict[tuple[Any, Any], dict[str, Any]] = {}
        for each in [*(item.get("parameters") or []), *(operation.get("parameters") or [])]:
            parameter = self._resolved(each)
            both[(parameter.get("name"), parameter.get("in"))] = parameter
        return list(both.values())

    def _is_made_up(self, parameter: dict[str, Any]) -> bool:
        schema = self._resolved(parameter.get("schema") or {})
        told = ("example", "examples", "default", "enum", "const")
        return not any(key in parameter or key in schema for key in told)

    def _value_of(self, holder: dict[str, Any]) -> Any:
        """A parameter's or media type's value: its example, else one of its schema."""
        if "example" in holder:
            return holder["example"]
        examples = holder.get("examples")
        if isinstance(examples, dict):
            for each in examples.values():
                example = self._resolved(each)
                if "value" in example:
                    return example["value"]
        return self._made(holder.get("schema") or {}, _DEEPEST)

    def _made(self, schema: Any, depth: int) -> Any:
        schema = self._resolved(schema)
        if depth <= 0:
            return _MISSING
        if isinstance(schema.get("examples"), list) and schema["examples"]:
            return schema["examples"][0]
        for key in ("example", "const", "default"):
            if key in schema:
                return schema[key]
        if schema.get("enum"):
            return schema["enum"][0]
        for key in ("oneOf", "anyOf"):
            if schema.get(key):
                return self._made(schema[key][0], depth - 1)
        if schema.get("allOf"):
            parts = [self._made(each, depth - 1) for each in schema["allOf"]]
            whole: dict[str, Any] = {}
            for part in parts:
                whole |= part if isinstance(part, dict) else {}
            return whole
        return self._made_by_type(schema, depth)

    def _made_by_type(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), None)
        if kind == "object" or "properties" in schema:
            required = set(schema.get("required") or ())
            made = {}
            for name, each in (schema.get("properties") or {}).items():
                if self._resolved(each).get("readOnly"):
                    continue
                value = self._made(each, depth - 1)
                if value is not _MISSING:
                    made[name] = value
                elif name in required:
                    return _MISSING
            return made
        if kind == "array":
            each = self._made(schema.get("items") or {}, depth - 1)
            return [] if each is _MISSING else [each]
        if schema.get("pattern"):
            return _MISSING
        if kind in ("integer", "number") and isinstance(schema.get("minimum"), (int, float)):
            return schema["minimum"]
        form = str(schema.get("format", ""))
        value = _BY_FORMAT.get((str(kind), form), _BY_FORMAT.get((str(kind), ""), _MISSING))
        if isinstance(value, str) and len(value) < (schema.get("minLength") or 0):
            value = value.ljust(schema["minLength"], "x")
        return value

    def _body(self, operation: dict[str, Any]) -> tuple[bytes, str]:
        content = self._resolved(operation.get("requestBody") or {}).get("content") or {}
        if not content:
            return b"", ""
        kind = next((each for each in content if "json" in each), next(iter(content)))
        value = self._value_of(self._resolved(content[kind]))
        if value is _MISSING:
            raise _NoValue(f"the {kind} body")
        if isinstance(value, str) and "json" not in kind:
            return value.encode(), kind
        if "x-www-form-urlencoded" in kind and isinstance(value, dict):
            return urlencode(value).encode(), kind
        if "json" not in kind:
            raise _NoValue(f"the {kind} body")
        return json.dumps(value, ensure_ascii=False, default=str).encode(), kind

    def _resolved(self, node: Any, depth: int = 16) -> dict[str, Any]:
        if not isinstance(node, dict):
            raise BadInput(f"{str(node)[:60]!r} is no object", where=self._where, fix=_FIX)
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
            key = step.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
        if found is None:
            raise BadInput(f"$ref {reference!r} leads nowhere", where=self._where, fix="define it")
        return self._resolved(found, depth - 1)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _quoted(text: str) -> str:
    return text if text.startswith("${") else quote(text, safe="-._~")
