"""Values as Python source, laid out as ruff and black lay it out."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Name:
    """Source that stands as it is: a name, an attribute."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """`name(positional…, keyword=…)`. Keywords whose value is None are left out."""

    name: str
    positional: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] | None = None


def source(value: Any, indent: int = 0, used: int = 0) -> str:
    """The value's source. indent: columns of the line it stands on; used: columns on that line
    that are taken by what is before and after it."""
    flat = _flat(value)
    if indent + used + len(flat) <= WIDTH:
        return flat
    inner = indent + 4
    if isinstance(value, str):
        return _folded(value, indent, inner)
    opening, items, closing = _parts(value)
    if not items:
        return flat
    lines = [opening]
    for prefix, item in items:
        text = source(item, inner, len(prefix) + 1)
        lines.append(f"{' ' * inner}{prefix}{text},")
    lines.append(f"{' ' * indent}{closing}")
    return "\n".join(lines)


def _folded(text: str, indent: int, inner: int) -> str:
    """A long text as several that Python joins."""
    room = max(20, WIDTH - inner - 4)
    pieces: list[str] = []
    for part in re.findall(r"[^ :/]*[ :/]?", text):
        if pieces and len(_string(pieces[-1] + part)) <= room:
            pieces[-1] += part
        elif part:
            pieces.append(part)
    if len(pieces) < 2:
        return _string(text)
    body = "".join(f"{' ' * inner}{_string(piece)}\n" for piece in pieces)
    return f"(\n{body}{' ' * indent})"


def identifier(words: str) -> str:
    """`log-router` → `log_router`; never a keyword, never starting with a digit."""
    name = re.sub(r"\W+", "_", words, flags=re.ASCII).strip("_").lower() or "it"
    if name[0].isdigit():
        name = f"the_{name}"
    return f"{name}_" if keyword.iskeyword(name) or name in ("self", "scope") else name


def title(words: str) -> str:
    """`log-router` → `LogRouter`: an id of a construct, the name of a class."""
    made = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", words))
    return made if made and not made[0].isdigit() else f"The{made}"


def _flat(value: Any) -> str:
    if isinstance(value, str):
        return _string(value)
    opening, items, closing = _parts(value)
    if not items and not closing:
        return opening
    inner = ", ".join(f"{prefix}{_flat(item)}" for prefix, item in items)
    is_pair = isinstance(value, tuple) and len(items) == 1
    return f"{opening}{inner}{',' if is_pair else ''}{closing}"


def _parts(value: Any) -> tuple[str, list[tuple[str, Any]], str]:
    match value:
        case Name():
            return value.text, [], ""
        case Call():
            keywords = {k: v for k, v in (value.keywords or {}).items() if v is not None}
            items = [("", item) for item in value.positional]
            items += [(f"{key}=", item) for key, item in keywords.items()]
            return f"{value.name}(", items, ")"
        case str():
            return _string(value), [], ""
        case Mapping():
            return "{", [(f"{_string(str(key))}: ", item) for key, item in value.items()], "}"
        case tuple():
            return "(", [("", item) for item in value], ")"
        case Sequence():
            return "[", [("", item) for item in value], "]"
        case _:
            return repr(value), [], ""


def _string(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    if '"' in text and "'" not in text and "\\" not in text:
        return f"'{text}'" if quoted == f'"{text.replace(chr(34), chr(92) + chr(34))}"' else quoted
    # JSON escapes no DEL and no line separators that Python would take as they are: harmless.
    return quoted
