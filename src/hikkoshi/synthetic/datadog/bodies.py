"""The body of a request of Datadog's."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from hikkoshi.synthetic.datadog.operators import text


def body_of(asked: Mapping[str, Any]) -> tuple[bytes | None, str]:
    """The body, and the Content-Type that its bodyType stands for (empty: none)."""
    kind = str(asked.get("bodyType") or "")
    form = asked.get("form")
    if kind == "multipart/form-data" or (isinstance(form, dict) and form):
        return _multipart(form if isinstance(form, dict) else {})
    body = asked.get("body")
    if body is None or body == "":
        return None, ""
    if not isinstance(body, str):
        return json.dumps(body, ensure_ascii=False).encode("utf-8"), kind or "application/json"
    if kind == "graphql":
        return _graphql(body), "application/json"
    return body.encode("utf-8"), kind


def _graphql(body: str) -> bytes:
    """A bare query is wrapped as GraphQL over HTTP wants it."""
    try:
        is_wrapped = isinstance(json.loads(body), dict)
    except ValueError:
        is_wrapped = False
    return body.encode() if is_wrapped else json.dumps({"query": body}).encode()


def _multipart(form: Mapping[str, Any]) -> tuple[bytes, str]:
    boundary = f"hikkoshi{os.urandom(12).hex()}"
    parts = []
    for name, value in form.items():
        quoted = str(name).replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{quoted}"\r\n\r\n{text(value)}'
        )
    whole = "\r\n".join((*parts, f"--{boundary}--", ""))
    return whole.encode("utf-8"), f"multipart/form-data; boundary={boundary}"
