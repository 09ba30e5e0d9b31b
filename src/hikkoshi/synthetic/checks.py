"""One thing that was expected and what came."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

SHOWN = 200


@dataclass(frozen=True, slots=True)
class Check:
    """is_soft: broken, it degrades and does not fail. not_tried: why it could not be judged at
    all; `is_kept` is then False and counts for nothing."""

    what: str
    expected: str
    came: str
    is_kept: bool
    is_soft: bool = False
    not_tried: str | None = None


def shown(value: Any) -> str:
    """A value as JSON, cut to a length that fits a line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
