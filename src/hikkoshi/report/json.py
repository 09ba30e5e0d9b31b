"""verdict.json: the verdict as a versioned document, and back.

Version 1 is one object: `"schema": 1` and the fields of `model.trials.Verdict` under their own
names; tuples are arrays, enumerations their values, times epoch seconds. Fields are only added
within a version, and a reader ignores those that it does not know.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hikkoshi.base.errors import BadInput
from hikkoshi.model.trials import Verdict

SCHEMA = 1


def to_json(verdict: Verdict) -> str:
    """Indented JSON, ending in a newline. Numbers that JSON lacks (NaN, infinity) become null."""
    try:
        document: dict[str, Any] = {"schema": SCHEMA, **msgspec.to_builtins(verdict)}
        text = msgspec.json.encode(document)
    except UnicodeEncodeError:  # a lone surrogate from a file name or a log line
        text = msgspec.json.encode(_encodable(document))
    return msgspec.json.format(text, indent=2).decode() + "\n"


def from_json(text: str | bytes, *, where: str | None = None) -> Verdict:
    """BadInput, with the place, when the text is not such a document or is of a later version."""
    try:
        document = msgspec.json.decode(text)
        if not isinstance(document, dict) or "schema" not in document:
            raise BadInput(
                "this is not a verdict: it has no `schema`",
                where=where,
                fix="name the verdict.json of a run",
            )
        if document["schema"] != SCHEMA:
            raise BadInput(
                f"this verdict has schema {document['schema']!r}, this hikkoshi reads {SCHEMA}",
                where=where,
                fix="read it with the hikkoshi that wrote it",
            )
        return msgspec.convert(document, Verdict)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(
            f"this is not a verdict document: {error}",
            where=where,
            fix="rehearse again, or take the verdict.json as it was written",
        ) from error


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_encodable(key): _encodable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encodable(inner) for inner in value]
    return value
