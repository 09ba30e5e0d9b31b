"""botocore's service models, loaded once each and asked by operation, path and error code."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from botocore.loaders import Loader
from botocore.model import ServiceModel


class ServiceDescription:
    """One service model of botocore with what a server needs of it."""

    def __init__(self, name: str, loader: Any | None = None) -> None:
        document = (loader or Loader()).load_service_model(name, "service-2")
        self.name = name
        self.model: Any = ServiceModel(document, name)
        self.protocol: str = self.model.metadata["protocol"]
        self.namespace: str = self.model.metadata.get("xmlNamespace", "")
        self.json_version: str = self.model.metadata.get("jsonVersion", "1.1")
        self._operations = frozenset(self.model.operation_names)

    def operation(self, name: str | None) -> Any | None:
        """botocore's OperationModel; None if the API has no such operation."""
        return self.model.operation_model(name) if name in self._operations else None

    def match(self, method: str, path: str) -> tuple[Any, dict[str, str]] | None:
        """For the REST protocols: the operation of this method and path, and the path's labels."""
        for verb, pattern, name in self._paths:
            if verb == method and (found := pattern.fullmatch(path)):
                labels = {key: unquote(value) for key, value in found.groupdict().items()}
                return self.operation(name), {_unslug(key): value for key, value in labels.items()}
        return None

    def error(self, code: str) -> tuple[str, int | None]:
        """The code as it goes over the wire, and the status of the model, for an error that is
        named either by its shape or by its code."""
        shape = self._errors.get(code)
        if shape is None:
            return code, None
        known = shape.metadata.get("error", {})
        wire = known.get("code", shape.name) if self.protocol in ("query", "ec2") else shape.name
        return wire, known.get("httpStatusCode")

    @cached_property
    def _errors(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for shape in self.model.error_shapes:
            found[shape.name] = shape
            found.setdefault(shape.metadata.get("error", {}).get("code", shape.name), shape)
        return found

    @cached_property
    def _paths(self) -> list[tuple[str, re.Pattern[str], str]]:
        rows = []
        for name in sorted(self._operations):
            http = self.model.operation_model(name).http
            path = http.get("requestUri", "/").partition("?")[0]
            rows.append((http.get("method", "POST"), _path_pattern(path), name))
        # A literal path wins over one with a label in the same place.
        return sorted(rows, key=lambda row: row[1].pattern.count("(?P<"))


def _path_pattern(path: str) -> re.Pattern[str]:
    pieces = re.split(r"\{([^}]+)\}", path)
    pattern = ""
    for index, piece in enumerate(pieces):
        if index % 2 == 0:
            pattern += re.escape(piece)
        elif piece.endswith("+"):
            pattern += f"(?P<{_slug(piece[:-1])}>.+)"
        else:
            pattern += f"(?P<{_slug(piece)}>[^/]+)"
    return re.compile(pattern)


def _slug(label: str) -> str:
    return "_" + label.encode().hex()


def _unslug(slug: str) -> str:
    return bytes.fromhex(slug[1:]).decode()
