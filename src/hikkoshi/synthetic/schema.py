"""JSON Schema, by jsonschema; references are never fetched."""

from __future__ import annotations

from typing import Any

import jsonschema
import jsonschema.validators
import referencing
import referencing.exceptions

_DRAFTS = {
    "draft-07": jsonschema.Draft7Validator,
    "draft-06": jsonschema.Draft6Validator,
}
_NOWHERE: Any = referencing.Registry()


def check_schema(schema: Any) -> None:
    """ValueError: not a schema."""
    try:
        _validator(schema, None).check_schema(schema)
    except jsonschema.SchemaError as error:
        place = "/".join(str(each) for each in error.absolute_path)
        raise ValueError(f"not a JSON Schema: {place or 'the schema'}: {error.message}") from error


def complaints(schema: Any, document: Any, draft: str | None = None) -> list[str]:
    """What in a document does not fit, each with its place. draft: `draft-07` or `draft-06`; None:
    what $schema says, else the newest. ValueError: not a schema."""
    check_schema(schema)
    validator = _validator(schema, draft)(schema, registry=_NOWHERE)
    try:
        errors = sorted(validator.iter_errors(document), key=lambda e: list(map(str, e.path)))
    except referencing.exceptions.Unresolvable as error:
        raise ValueError(f"a reference of the schema leads nowhere: {error}") from error
    return [f"{error.json_path}: {error.message}"[:200] for error in errors]


def _validator(schema: Any, draft: str | None) -> Any:
    if draft in _DRAFTS:
        return _DRAFTS[draft]
    if not isinstance(schema, (dict, bool)):
        raise ValueError("a JSON Schema is an object, true or false")
    return jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
