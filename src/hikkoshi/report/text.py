"""Text from outside, made harmless to look at."""

from __future__ import annotations

import datetime
import math
import re

from hikkoshi.base.units import format_duration
from hikkoshi.model.trials import Measure

# Controls but newline and tab; bidirectional overrides and isolates; invisible characters;
# lone surrogates and non-characters. A reader must see that they are there.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Controls as their pictures (␀, ␛), other unseen characters as ⟨U+202E⟩."""
    return _UNSEEN.sub(_picture, text)


def one_line(text: str, longest: int = 200) -> str:
    """`visible`, in one line and cut with an ellipsis."""
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"


def cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text) - longest} more)"


def measured(measure: Measure) -> str:
    """'1.2 s', '0 requests', '∞', or '–' when it was not measured."""
    return quantity(measure.value, measure.unit)


def quantity(value: float | None, unit: str) -> str:
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if unit == "s":
        return format_duration(value) if value else "0 s"
    if unit in {"share", "ratio"}:
        return f"{value * 100:.3g} %"
    number = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"
    return f"{number} {unit}".rstrip()


def utc(t: float) -> str:
    """'2020-11-23 04:05:06 UTC'; '–' for a time that no calendar has."""
    try:
        moment = datetime.datetime.fromtimestamp(t, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return "–"
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"
