"""Durations, rates, sizes and shares as people write them."""

from __future__ import annotations

import re

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|µs|ms|s|m|h|d)")
_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(?:/\s*(\d+(?:\.\d+)?)?\s*(ms|s|m|h)?)?\s*$")


def parse_duration(text: str | float) -> float:
    """'1m30s', '300ms' or a number of seconds → seconds. ValueError if it is neither."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(text)
    stripped = str(text).strip()
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        return float(stripped)
    parts = _DURATION.findall(stripped)
    if not parts or _DURATION.sub("", stripped).strip():
        raise ValueError(f"{text!r} is not a duration; write 30s, 1m30s or 300ms")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def format_duration(seconds: float) -> str:
    """1.5 → '1.5 s'; 0.0123 → '12.3 ms'; 90 → '1 m 30 s'."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest} s" if rest else f"{minutes} m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m"


def parse_rate(text: str | float) -> float:
    """'120/s', '600/1m', '50' → requests a second. ValueError if it is none."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(text)
    match = _RATE.match(str(text))
    if match is None:
        raise ValueError(f"{text!r} is not a rate; write 100/s or 6000/1m")
    count, every, unit = match.groups()
    return float(count) / (float(every or 1) * _SECONDS[unit or "s"])


def parse_share(text: str | float) -> float:
    """'0.1%' → 0.001; a bare number is taken as the share itself. ValueError if it is neither."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(text)
    stripped = str(text).strip()
    if stripped.endswith("%"):
        return float(stripped[:-1]) / 100
    return float(stripped)


def format_share(share: float) -> str:
    return f"{share * 100:.3g} %"


def format_bytes(count: float) -> str:
    """`812 B`, `3.2 kB`, `41.7 MB`: in thousands, as registries show it."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} GB"
