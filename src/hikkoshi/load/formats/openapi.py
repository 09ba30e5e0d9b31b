"""OpenAPI 3: a request for each operation, filled from its examples, defaults and schemas.

Source: OpenAPI Specification 3.0.3 and 3.1.0. Operations that delete are left out unless they are
asked for by method; so is what needs a value for which the document has neither example, default,
enum nor a plain type.
"""

from __future__ import annotations

import datetime
import json
from collections import Counter
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import yaml

from hikkoshi.base.errors import BadInput
from hikkoshi.load.formats.found import Found, told
from hikkoshi.load.formats.schema import FIX, MISSING, Schemas
from hikkoshi.load.targets import CONTROL, TOKEN, Target, url_problem

_METHODS = ("get", "head", "options", "post", "put", "patch", "delete")
# Headers of which the specification says that parameters of these names are not looked at.
_NOT_PARAMETERS = frozenset({"accept", "content-type", "authorization"})


def parse_openapi(text: str, where: str, methods: frozenset[str] | None = None) -> Found:
    """methods: in capitals; None takes all but DELETE. BadInput names line or key."""
    document = _read(text, where)
    reader = _Reader(document, where)
    left_out: Counter[str] = Counter()
    targets = []
    for path, item in document.get("paths", {}).items():
        if str(path).startswith("x-"):
            continue
        item = reader.item(str(path), item)
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
                targets.append(reader.target(str(path), method, item))
            except _NoValue as error:
                left_out[f"operations were left out: no example for {error}"] += 1
    if not targets:
        why = f": {'; '.join(told(left_out))}" if left_out else ""
        raise BadInput(f"no operation that can be sent{why}", where=where, fix=FIX)
    return Found(tuple(targets), told(left_out))


class _NoValue(Exception):
    """The document has no value, or none that can be sent, for something that is required."""


def _read(text: str, where: str) -> dict[str, Any]:
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except json.JSONDecodeError as error:
        raise BadInput(
            f"not JSON: {error.msg}", where=f"{where}:{error.lineno}", fix=FIX
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        # ValueError: a date that there is not.
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}" if mark else where
        raise BadInput(
            f"not YAML: {getattr(error, 'problem', error)}", where=place, fix=FIX
        ) from error
    if not isinstance(document, dict) or not str(document.get("openapi", "")).startswith("3."):
        is_old = isinstance(document, dict) and "swagger" in document
        what = "Swagger 2 is not read" if is_old else "no `openapi: 3.…` in it"
        raise BadInput(what, where=where, fix="convert it to OpenAPI 3" if is_old else FIX)
    if not isinstance(document.get("paths", {}), dict):
        raise BadInput("paths is not an object", where=f"{where}: paths", fix=FIX)
    return document


class _Reader:
    def __init__(self, document: dict[str, Any], where: str) -> None:
        self._where = where
        self._schemas = Schemas(document, where)
        self._servers = document.get("servers")

    def item(self, path: str, item: Any) -> dict[str, Any]:
        """The path's item; what stands beside its $ref overrules what that leads to."""
        if not isinstance(item, dict):
            raise BadInput("a path is an object", where=f"{self._where}: paths.{path}", fix=FIX)
        own = {key: value for key, value in item.items() if key != "$ref"}
        return {**self._schemas.resolved(item), **own}

    def target(self, path: str, method: str, item: dict[str, Any]) -> Target:
        operation = self._schemas.resolved(item[method])
        filled = path
        query: list[tuple[str, str]] = []
        headers: list[tuple[str, str]] = []
        cookies: list[str] = []
        for parameter in self._parameters(item, operation):
            name, place = str(parameter.get("name")), parameter.get("in")
            value = self._value_of(parameter)
            is_required = bool(parameter.get("required")) or place == "path"
            if value in (MISSING, None) or (not is_required and self._is_made_up(parameter)):
                if is_required:
                    raise _NoValue(f"{place} parameter {name}")
                continue
            if place == "path":
                filled = filled.replace("{" + name + "}", _quoted(_listed(value)))
            elif place == "query":
                values = value if isinstance(value, list) else [value]
                query += [(name, _text(each)) for each in values]
            elif place == "header" and name.lower() not in _NOT_PARAMETERS:
                headers.append((name, _listed(value)))
            elif place == "cookie":
                cookies.append(f"{name}={_listed(value)}")
        if "{" in filled.replace("${", ""):
            raise _NoValue(f"a path parameter of {path}")
        if query:
            filled += "?" + urlencode(query, safe="${}:|")
        if cookies:
            headers.append(("Cookie", "; ".join(cookies)))
        body, kind = self._body(operation)
        if kind:
            headers.append(("Content-Type", kind))
        url = self._server_of(operation, item) + filled
        _check(url, headers)
        return Target(
            method.upper(), url, tuple(headers), body,
            name=f"{method.upper()} {path}", where=f"{self._where}: paths.{path}.{method}",
        )  # fmt: skip

    def _server_of(self, operation: dict[str, Any], item: dict[str, Any]) -> str:
        """The first server's address, the nearest one's; a path alone when it has no host."""
        servers = operation.get("servers") or item.get("servers") or self._servers or [{"url": "/"}]
        server = servers[0] if isinstance(servers, list) and isinstance(servers[0], dict) else {}
        url = str(server.get("url", "/"))
        for name, variable in (server.get("variables") or {}).items():
            default = variable.get("default", "") if isinstance(variable, dict) else ""
            url = url.replace("{" + str(name) + "}", str(default))
        is_whole = urlsplit(url).scheme in ("http", "https")
        return url.rstrip("/") if is_whole or url.startswith("/") else ""

    def _parameters(self, item: dict[str, Any], operation: dict[str, Any]) -> list[dict[str, Any]]:
        """The path's own, overruled by the operation's."""
        both: dict[tuple[Any, Any], dict[str, Any]] = {}
        for each in [*(item.get("parameters") or []), *(operation.get("parameters") or [])]:
            parameter = self._schemas.resolved(each)
            both[(parameter.get("name"), parameter.get("in"))] = parameter
        return list(both.values())

    def _is_made_up(self, parameter: dict[str, Any]) -> bool:
        schema = self._schemas.resolved(parameter.get("schema") or {})
        told = ("example", "examples", "default", "enum", "const")
        return not any(key in parameter or key in schema for key in told)

    def _value_of(self, holder: dict[str, Any]) -> Any:
        """A parameter's or media type's value: its example, else one of its schema."""
        if "example" in holder:
            return holder["example"]
        examples = holder.get("examples")
        if isinstance(examples, dict):
            for each in examples.values():
                example = self._schemas.resolved(each)
                if "value" in example:
                    return example["value"]
        content = holder.get("content")
        if isinstance(content, dict) and content:  # a parameter that is a document of its own
            value = self._value_of(self._schemas.resolved(next(iter(content.values()))))
            return value if value is MISSING or isinstance(value, str) else _dumped(value)
        return self._schemas.value(holder.get("schema") or {})

    def _body(self, operation: dict[str, Any]) -> tuple[bytes, str]:
        content = self._schemas.resolved(operation.get("requestBody") or {}).get("content") or {}
        if not content:
            return b"", ""
        kind = next((each for each in content if "json" in each), next(iter(content)))
        value = self._value_of(self._schemas.resolved(content[kind]))
        if value is MISSING:
            raise _NoValue(f"the {kind} body")
        if isinstance(value, str) and "json" not in kind:
            return value.encode(), kind
        if "x-www-form-urlencoded" in kind and isinstance(value, dict):
            pairs = [(str(name), _listed(each)) for name, each in value.items()]
            return urlencode(pairs, safe="${}:|").encode(), kind
        if "json" not in kind:
            raise _NoValue(f"the {kind} body")
        return _dumped(value).encode(), kind


def _check(url: str, headers: list[tuple[str, str]]) -> None:
    if problem := url_problem(url):
        raise _NoValue(f"its address: {url[:80]!r} {problem}")
    for name, value in headers:
        if not TOKEN.match(name) or CONTROL.search(value):
            raise _NoValue(f"header {name!r} that can be sent")


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_written)


def _written(value: Any) -> str:
    """What YAML reads as a date, as JSON would have it."""
    is_moment = isinstance(value, datetime.date)
    return value.isoformat() if is_moment else str(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value if isinstance(value, str) else _dumped(value)


def _listed(value: Any) -> str:
    """A list as the styles `simple` and `form` write it: with commas."""
    return ",".join(map(_text, value)) if isinstance(value, list) else _text(value)


def _quoted(text: str) -> str:
    return text if text.startswith("${") else quote(text, safe="-._~,")
