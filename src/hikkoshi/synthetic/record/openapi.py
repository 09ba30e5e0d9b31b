"""Tests from an OpenAPI document (3.x, or Swagger 2.0), in JSON or YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from hikkoshi.base.errors import BadInput
from hikkoshi.synthetic.record.drafts import Drafts, from_environment, named_apart

_METHODS = ("get", "head", "post", "put", "patch", "delete")
_DEEPEST = 12


class _NoExample(Exception):
    pass


def from_openapi(text: str, file: str) -> Drafts:
    """A test for each operation whose parameters and body have examples (or defaults, or enums),
    with the status of its first success and the schema of its answer."""
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise BadInput(f"neither JSON nor YAML: {error}", where=file, fix="correct it") from error
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise BadInput("not an OpenAPI document: no paths", where=file, fix="it has paths:")
    tests: list[dict[str, Any]] = []
    notes: list[str] = []
    for path, item in document["paths"].items():
        if not isinstance(item, dict):
            continue
        for method in _METHODS:
            operation = item.get(method)
            if not isinstance(operation, dict):
                continue
            try:
                tests.append(_Operation(document, str(path), method, item, operation).test())
            except _NoExample as error:
                notes.append(f"{method.upper()} {path} is left out: {error}")
    return Drafts(named_apart(tests), tuple(notes))


class _Operation:
    def __init__(
        self,
        document: Mapping[str, Any],
        path: str,
        method: str,
        item: Mapping[str, Any],
        operation: Mapping[str, Any],
    ) -> None:
        self._document = document
        self._path = path
        self._method = method
        self._operation = operation
        given = [*(item.get("parameters") or []), *(operation.get("parameters") or [])]
        self._parameters = [self._resolved(each) for each in given]

    def test(self) -> dict[str, Any]:
        path = self._path
        query: list[str] = []
        headers: dict[str, str] = {}
        for parameter in self._parameters:
            place, name = parameter.get("in"), str(parameter.get("name"))
            if place not in ("path", "query", "header") or not (
                parameter.get("required") or place == "path"
            ):
                continue
            value = self._example(parameter, f"parameter {name}")
            if place == "path":
                path = path.replace(f"{{{name}}}", str(value))
            elif place == "query":
                query.append(f"{name}={value}")
            else:
                headers[name] = str(value)
        headers.update(self._authorization())
        target = f"{self._method.upper()} {path}{'?' + '&'.join(query) if query else ''}"
        name = self._operation.get("summary") or self._operation.get("operationId") or target
        test: dict[str, Any] = {"name": str(name), "request": target}
        if headers:
            test["headers"] = headers
        body = self._body()
        if body is not None:
            test["body"] = body
        return {**test, "expect": self._expectation()}

    def _authorization(self) -> dict[str, str]:
        wanted = self._operation.get("security", self._document.get("security"))
        if not wanted or {} in wanted:
            return {}
        components = self._document.get("components") or {}
        schemes = components.get("securitySchemes") or self._document.get("securityDefinitions")
        for name in wanted[0]:
            scheme = self._resolved((schemes or {}).get(name) or {})
            if scheme.get("type") == "apiKey" and scheme.get("in") == "header":
                return {str(scheme["name"]): from_environment(str(scheme["name"]))}
            if scheme.get("scheme") == "basic" or scheme.get("type") == "basic":
                return {"Authorization": "Basic {{env.BASIC_LOGIN}}"}
            if scheme.get("type") in ("http", "oauth2", "openIdConnect"):
                return {"Authorization": "Bearer {{env.TOKEN}}"}
        return {}

    def _body(self) -> Any:
        asked = self._resolved(self._operation.get("requestBody") or {})
        media = (asked.get("content") or {}).get("application/json")
        for parameter in self._parameters:
            if parameter.get("in") == "body":
                media = parameter
        if not isinstance(media, dict):
            if asked.get("required"):
                raise _NoExample("its body is not JSON")
            return None
        return self._example(media, "its body")

    def _expectation(self) -> dict[str, Any]:
        responses = self._operation.get("responses") or {}
        good = sorted(str(status) for status in responses if str(status)[0] == "2")
        if not good:
            return {"status": "2xx"}
        status = good[0]
        code: Any = int(status) if status.isdigit() else "2xx"
        answer = self._resolved(responses.get(status) or responses.get(code) or {})
        media = (answer.get("content") or {}).get("application/json") or {}
        schema = media.get("schema") or answer.get("schema")
        expect: dict[str, Any] = {"status": code}
        if isinstance(schema, dict):
            expect["schema"] = self._inlined(schema)
        return expect

    def _example(self, holder: Mapping[str, Any], what: str) -> Any:
        if "example" in holder:
            return holder["example"]
        examples = holder.get("examples")
        if isinstance(examples, dict) and examples:
            first = self._resolved(next(iter(examples.values())))
            if "value" in first:
                return first["value"]
        schema = self._inlined(holder.get("schema") or holder)
        return self._of_schema(schema, what)

    def _of_schema(self, schema: Any, what: str) -> Any:
        if isinstance(schema, dict):
            for key in ("example", "default", "const"):
                if key in schema:
                    return schema[key]
            for key in ("examples", "enum"):
                if isinstance(schema.get(key), list) and schema[key]:
                    return schema[key][0]
            properties = schema.get("properties")
            if isinstance(properties, dict):
                needed = schema.get("required") or []
                return {
                    name: self._of_schema(each, f"{what}.{name}")
                    for name, each in properties.items()
                    if name in needed or (isinstance(each, dict) and "example" in each)
                }
            if schema.get("type") == "array":
                return [self._of_schema(schema.get("items"), f"{what}[0]")]
        raise _NoExample(f"{what} has no example")

    def _resolved(self, value: Any) -> dict[str, Any]:
        for _ in range(_DEEPEST):
            if not isinstance(value, dict):
                return {}
            reference = value.get("$ref")
            if not isinstance(reference, str):
                return value
            value = self._at(reference)
        return {}

    def _at(self, reference: str) -> Any:
        found: Any = self._document
        for part in reference.removeprefix("#/").split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def _inlined(self, schema: Any, within: tuple[str, ...] = ()) -> Any:
        """References replaced by what they lead to; where one leads into itself, anything is
        allowed. OpenAPI 3.0's `nullable` becomes JSON Schema's null."""
        if isinstance(schema, list):
            return [self._inlined(each, within) for each in schema]
        if not isinstance(schema, dict):
            return schema
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if reference in within or len(within) >= _DEEPEST:
                return {}
            return self._inlined(self._at(reference), (*within, reference))
        plain = {
            key: self._inlined(value, within)
            for key, value in schema.items()
            if key not in ("nullable", "discriminator", "xml", "externalDocs")
        }
        return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain
