"""What every format hands back, and what they share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from hikkoshi.load.targets import MAX_WEIGHT, Target

_NUMBER = re.compile(r"^\d+$")
_IDENTIFIER = re.compile(
    r"^(?=.*\d)[0-9A-Fa-f]{8,}$|^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
)


@dataclass(frozen=True, slots=True)
class Found:
    """notes: what was left out and why, for the user's eyes."""

    targets: tuple[Target, ...]
    notes: tuple[str, ...] = ()


def endpoint_of(method: str, url: str) -> str:
    """Method and path, with numbers and ids as `:id`, so that one endpoint is one line."""
    parts = (urlsplit(url).path or "/").split("/")
    named = [":id" if _NUMBER.match(each) or _IDENTIFIER.match(each) else each for each in parts]
    return f"{method} {'/'.join(named)}"


def literal(text: str) -> str:
    """What was recorded is no template of ours: whoever asked for `${env:TOKEN}` at a server is not
    to be told it."""
    return text.replace("${", "$${")


def weighted(counts: Mapping[Target, int]) -> tuple[Target, ...]:
    """Each target as often as it was counted, scaled down to what a weight may be."""
    most = max(counts.values())
    scale = min(1.0, MAX_WEIGHT / most)
    return tuple(
        replace(target, weight=max(1, round(count * scale))) for target, count in counts.items()
    )


def told(left_out: Counter[str]) -> tuple[str, ...]:
    return tuple(f"{count} {what}" for what, count in left_out.most_common())


def without_origin(targets: Iterable[Target]) -> tuple[Target, ...]:
    """Paths alone, for a base address to complete."""
    return tuple(replace(target, url=_path(target.url)) for target in targets)


def _path(url: str) -> str:
    if url.startswith("/"):
        return url
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
