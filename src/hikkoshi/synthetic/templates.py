"""{{names}} in requests and expectations: captured values, and {{env.NAME}}."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_TEMPLATE = re.compile(r"\{\{\s*([A-Za-z_][\w.]*)\s*\}\}")


class UnknownName(Exception):
    """A name that nothing has given a value to."""


def names_in(value: Any) -> list[str]:
    """All names that a value, of any depth, mentions."""
    if isinstance(value, str):
        return _TEMPLATE.findall(value)
    if isinstance(value, dict):
        return [name for pair in value.items() for each in pair for name in names_in(each)]
    if isinstance(value, (list, tuple)):
        return [name for each in value for name in names_in(each)]
    return []


def filled(value: Any, names: Mapping[str, Any], quote: Callable[[str], str] = str) -> Any:
    """The value with its names replaced. A text that is one name alone becomes the value itself,
    of whatever type; quote: how a value is put inside a longer text."""
    if isinstance(value, str):
        whole = _TEMPLATE.fullmatch(value)
        if whole:
            return _value_of(whole[1], names)
        return _TEMPLATE.sub(lambda match: quote(_text(_value_of(match[1], names))), value)
    if isinstance(value, dict):
        return {filled(key, names): filled(each, names) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(each, names) for each in value]
    return value


def filled_text(value: str, names: Mapping[str, Any], quote: Callable[[str], str] = str) -> str:
    """As `filled`, but always a text, and quoted also where it is one name alone."""
    return _TEMPLATE.sub(lambda match: quote(_text(_value_of(match[1], names))), value)


def _value_of(name: str, names: Mapping[str, Any]) -> Any:
    try:
        return names[name]
    except KeyError:
        raise UnknownName(name) from None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def filled_known(value: Any, names: Mapping[str, Any]) -> Any:
    """As `filled`, but a name without a value stays as it is written: it may be meant so."""
    if isinstance(value, str):
        return _TEMPLATE.sub(
            lambda match: _text(names[match[1]]) if match[1] in names else match[0], value
        )
    if isinstance(value, dict):
        return {filled_known(k, names): filled_known(each, names) for k, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled_known(each, names) for each in value]
    return value
