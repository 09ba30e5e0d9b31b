"""Tests as they are drafted, without secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

_SECRET = re.compile(
    r"token|secret|passw|api[-_]?key|^key$|signature|^sig$|session|auth|credential", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Drafts:
    """tests: as mappings of our format. notes: what was left out, and why."""

    tests: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()


def is_secret(name: str) -> bool:
    return _SECRET.search(name) is not None


def from_environment(name: str) -> str:
    """The template that stands for a secret that is not written down."""
    plain = re.sub(r"\W+", "_", name).strip("_").upper() or "SECRET"
    return f"{{{{env.{plain}}}}}"


def path_of(url: str) -> str:
    """Path and query of an address; secrets of the query come from the environment."""
    parts = urlsplit(url)
    pairs = [
        f"{quote(name)}={from_environment(name) if is_secret(name) else quote(value, safe='/:,')}"
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=-._~")
    return f"{path}?{'&'.join(pairs)}" if pairs else path


def without_secrets(value: Any) -> Any:
    """A JSON body whose secret members come from the environment."""
    if isinstance(value, dict):
        return {
            name: from_environment(name)
            if is_secret(name) and isinstance(each, str)
            else without_secrets(each)
            for name, each in value.items()
        }
    return [without_secrets(each) for each in value] if isinstance(value, list) else value


def named_apart(tests: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Each with a name of its own."""
    seen: dict[str, int] = {}
    for test in tests:
        seen[test["name"]] = seen.get(test["name"], 0) + 1
        if seen[test["name"]] > 1:
            test["name"] = f"{test['name']} ({seen[test['name']]})"
    return tuple(tests)
