"""Time_Format of a parser: strptime's letters plus Fluent Bit's %L for the fraction."""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Callable

NANOSECOND = 1_000_000_000
_MONTHS = tuple("jan feb mar apr may jun jul aug sep oct nov dec".split())  # noqa: SIM905
_TOKENS = {
    "Y": r"(?P<Y>\d{4})", "y": r"(?P<y>\d{2})", "m": r"(?P<m>\d{1,2})", "d": r"(?P<d>\s?\d{1,2})",
    "e": r"(?P<d>\s?\d{1,2})", "H": r"(?P<H>\d{1,2})", "I": r"(?P<I>\d{1,2})",
    "M": r"(?P<M>\d{1,2})", "S": r"(?P<S>\d{1,2})", "L": r"(?P<L>\d{1,9})",
    "b": r"(?P<b>[A-Za-z]{3})[a-z]*", "B": r"(?P<b>[A-Za-z]{3})[a-z]*",
    "h": r"(?P<b>[A-Za-z]{3})[a-z]*", "a": r"[A-Za-z]{3,9}", "A": r"[A-Za-z]{3,9}",
    "z": r"(?P<z>Z|[+-]\d{2}:?\d{2})", "Z": r"(?P<Z>[A-Z]{1,5})", "s": r"(?P<s>\d{1,11})",
    "p": r"(?P<p>[AaPp][Mm])", "j": r"(?P<j>\d{1,3})", "%": "%", "n": r"\s+", "t": r"\s+",
    "f": r"(?P<L>\d{1,9})",
}  # fmt: skip
_SHORT = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y"}


def compile_time(pattern: str, offset_s: int = 0) -> Callable[[str], int | None]:
    """A reader of times: text → nanoseconds since the epoch, or None. Without a zone in the text
    the time is UTC plus Time_Offset. ValueError for a letter that is not known."""
    for letter, long in _SHORT.items():
        pattern = pattern.replace(f"%{letter}", long)
    parts: list[str] = []
    index = 0
    while index < len(pattern):
        if pattern[index] == "%" and index + 1 < len(pattern):
            letter = pattern[index + 1]
            if letter not in _TOKENS:
                raise ValueError(f"%{letter} is not interpreted by the stand-in")
            parts.append(_TOKENS[letter])
            index += 2
        else:
            parts.append(r"\s+" if pattern[index] == " " else re.escape(pattern[index]))
            index += 1
    expression = re.compile("".join(parts))

    def read(text: str) -> int | None:
        match = expression.match(text.strip())
        return None if match is None else _nanoseconds(match.groupdict(), offset_s)

    return read


def parse_offset(text: str) -> int:
    """'+0900' or 'Z' → seconds east of UTC. ValueError otherwise."""
    if text in ("Z", ""):
        return 0
    match = re.fullmatch(r"([+-])(\d{2}):?(\d{2})", text)
    if match is None:
        raise ValueError(text)
    seconds = int(match.group(2)) * 3600 + int(match.group(3)) * 60
    return -seconds if match.group(1) == "-" else seconds


def _nanoseconds(found: dict[str, str | None], offset_s: int) -> int | None:
    fraction = int((found.get("L") or "0").ljust(9, "0"))
    if found.get("s"):
        return int(found["s"] or 0) * NANOSECOND + fraction
    now = time.gmtime()
    try:
        name = (found.get("b") or "").lower()
        month = _MONTHS.index(name) + 1 if name else _int(found, "m", 0)
    except ValueError:
        return None
    year = _int(found, "Y", 0) or (2000 + _int(found, "y", 0) if found.get("y") else now.tm_year)
    day = _int(found, "d", now.tm_mday if not month else 1)
    hour = _int(found, "H", _int(found, "I", 0))
    if found.get("p"):
        hour = hour % 12 + (12 if (found["p"] or "").lower() == "pm" else 0)
    text = found.get("z")
    zone = parse_offset(text) if text else offset_s
    seconds = calendar.timegm(
        (year, month or now.tm_mon, day, hour, _int(found, "M", 0), _int(found, "S", 0))
    )
    return (seconds - zone) * NANOSECOND + fraction


def _int(found: dict[str, str | None], key: str, default: int) -> int:
    value = found.get(key)
    return int(value) if value else default
