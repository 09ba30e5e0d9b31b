"""JSONPath (RFC 9535, by python-jsonpath), with what people write beside the standard.

A last `.length()` counts what the path before it leads to; so does `.length`, as in JavaScript,
where there is no such member. `[(@.length-1)]` is `[-1]`. The `$` may be left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import jsonpath
from jsonpath.exceptions import JSONPathError

_FROM_THE_END = re.compile(r"\[\(@\.length\s*-\s*(\d+)\)\]")


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A parsed path. is_many: it may stand for any number of values."""

    text: str
    is_many: bool
    _compiled: Any
    _counts: bool = False

    def find(self, document: Any) -> list[Any]:
        """The values that the path leads to; empty when it leads nowhere."""
        found: list[Any] = self._compiled.findall(document)
        if self._counts:
            return _length(found, self.is_many)
        if not found and self.text.endswith(".length"):
            return _length(parse_path(self.text.removesuffix(".length")).find(document), False)
        return found


def _length(found: list[Any], is_many: bool) -> list[Any]:
    if is_many:
        return [len(each) for each in found if isinstance(each, (list, dict, str))]
    first = found[0] if found else None
    return [len(first)] if isinstance(first, (list, dict, str)) else []


def parse_path(text: str, *, needs_root: bool = False) -> JsonPath:
    """ValueError tells what is wrong and where. needs_root: a path must begin with $."""
    if needs_root and not re.match(r"\$(?:[.\[\s]|$)", text):
        raise ValueError(f"{text!r} is not a path: a path begins with $, as in $.reports[0].id")
    plain = _FROM_THE_END.sub(r"[-\1]", text.strip())
    counts = plain.endswith(".length()")
    try:
        compiled = jsonpath.compile(plain.removesuffix(".length()"))
    except JSONPathError as error:
        at = getattr(error.token, "index", None)
        place = "" if at is None else f", at character {(len(text) if at < 0 else at) + 1}"
        raise ValueError(f"{text!r} is not a JSONPath{place}: {error.args[0]}") from error
    singular = getattr(compiled, "singular_query", lambda: False)()
    return JsonPath(text, not singular, compiled, counts)
