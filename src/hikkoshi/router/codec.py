"""JSON of the router: the standard library's at first, msgspec's once there is much to do.

Loading msgspec costs 40 ms of CPU, more than most routers of a rehearsal spend on all their JSON;
one that carries thousands of lines a second spends a third on each with it. What comes out is the
same JSON, but for the spelling of numbers (1e+16, 1e16).
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Callable, Iterable
from types import NoneType
from typing import Any

_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=lambda v: _plain(v)
).encode

_SCALARS = frozenset({str, int, float, bool, NoneType})

_quick_decode: Callable[[str], Any] | None = None
_quick_encode: Callable[[Any], bytes] | None = None


def quicken() -> threading.Thread:
    """Load msgspec, beside what goes on; without it all stays as it is."""
    loading = threading.Thread(target=_load, name="codec", daemon=True)
    loading.start()
    return loading


def _load() -> None:
    global _quick_decode, _quick_encode
    with contextlib.suppress(ImportError):
        import msgspec

        _quick_decode, _quick_encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode


def from_json(text: str) -> Any:
    """Raises ValueError, or RecursionError for what is nested too deeply."""
    if _quick_decode is not None:
        try:
            return _quick_decode(text)
        except ValueError:
            # NaN, lone surrogates and infinite numbers are Python's JSON alone.
            return json.loads(text)
    return json.loads(text)


def to_json(value: Any) -> bytes:
    """JSON in UTF-8; bytes that are no UTF-8 become U+FFFD, what is no number null."""
    if _quick_encode is not None and _is_plain((value,)):
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            return _quick_encode(value)
    try:
        text = _encode(value)
    except ValueError:  # NaN or an infinite number
        text = _encode(_finite(value))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()


def _is_plain(values: Iterable[Any]) -> bool:
    """Whether both encoders write these alike: no bytes, no keys but text."""
    if _SCALARS.issuperset(map(type, values)):
        return True
    for value in values:
        kind = type(value)
        if kind is dict:
            if not (all(type(key) is str for key in value) and _is_plain(value.values())):
                return False
        elif kind is list:
            if not _is_plain(value):
                return False
        elif kind not in _SCALARS:
            return False
    return True


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    return str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value
