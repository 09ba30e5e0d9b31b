"""Holds a document in AWS's shape against botocore's own service model.

botocore's validator stops at types and says paths in words of its own; this walk has the same
knowledge, the path as data (for the line), and the nearest known name for an unknown one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.loaders
import botocore.model

from hikkoshi.fargate.problem import Problem
from hikkoshi.project.documents import Document, KeyPath, nearest

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "a string"),
    "integer": ((int,), "a whole number"),
    "long": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "double": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
    "structure": ((dict,), "an object"),
    "map": ((dict,), "an object"),
    "list": ((list,), "a list"),
}


@cache
def input_shape(service: str, operation: str) -> Any:
    """The input shape of an operation, such as ("ecs", "RegisterTaskDefinition")."""
    loaded = botocore.loaders.Loader().load_service_model(service, "service-2")
    return botocore.model.ServiceModel(loaded, service).operation_model(operation).input_shape


def check_shape(document: Document, value: Any, shape: Any) -> None:
    """Raises BadInput, with the line, at the first member that AWS would not take."""
    for problem in shape_problems(value, shape):
        raise document.refuse(problem.path, problem.message, problem.fix)


def shape_problems(value: Any, shape: Any, key: KeyPath = ()) -> Iterator[Problem]:
    """Everything that AWS would not take, in the order of the document."""
    kinds, words = _KINDS.get(shape.type_name, ((object,), ""))
    if not _is_one_of(value, kinds):
        yield Problem(key, f"this must be {words}, not {_say(value)}")
    elif shape.type_name == "structure":
        yield from _member_problems(value, shape, key)
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            yield from shape_problems(item, shape.member, (*key, index))
    elif shape.type_name == "map":
        for name, item in value.items():
            yield from shape_problems(item, shape.value, (*key, name))
    elif shape.type_name == "string" and shape.enum and value not in shape.enum:
        yield Problem(
            key, f"AWS does not know the value {value!r} here", nearest(value, shape.enum)
        )


def _member_problems(value: dict[str, Any], shape: Any, key: KeyPath) -> Iterator[Problem]:
    for name, item in value.items():
        if name not in shape.members:
            yield Problem(
                (*key, name),
                f"AWS has no key {name!r} in {shape.name}",
                nearest(name, shape.members),
            )
        elif item is None:
            yield Problem((*key, name), "null is not a value that AWS takes", "take it out")
        else:
            yield from shape_problems(item, shape.members[name], (*key, name))
    for name in shape.required_members:
        if name not in value:
            yield Problem(key, f"the key {name!r} is missing in {shape.name}")


def _say(value: Any) -> str:
    kinds: dict[type, str] = {dict: "an object", list: "a list", str: f"the string {value!r}"}
    return kinds.get(type(value), repr(value))


def _is_one_of(value: Any, kinds: tuple[type, ...]) -> bool:
    """True and false are no numbers here, whatever Python says."""
    if isinstance(value, bool):
        return bool in kinds or object in kinds
    return isinstance(value, kinds)


@cache
def output_member_shape(service: str, operation: str, member: str) -> Any:
    """The structure behind a member of an operation's answer; of a list, that of its items."""
    loaded = botocore.loaders.Loader().load_service_model(service, "service-2")
    shape = botocore.model.ServiceModel(loaded, service).operation_model(operation).output_shape
    found = shape.members[member]
    return found.member if found.type_name == "list" else found


def only_input(document: Document, taken: Any, shown: Any) -> Document:
    """Without the members that AWS only shows (revision, status, createdAt, …), as people have
    them in a file that was once an answer of AWS's."""
    if not isinstance(document.data, dict):
        return document
    extra = set(shown.members) - set(taken.members)
    data = {k: v for k, v in document.data.items() if k not in extra and v is not None}
    return Document(document.path, data, document.places)
