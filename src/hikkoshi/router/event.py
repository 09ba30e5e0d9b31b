"""One event as it travels through the router, and how its time is written."""

from __future__ import annotations

import time
from typing import Any

Event = tuple[int, dict[str, Any]]
"""(nanoseconds since the epoch, record). Text that was not UTF-8 holds lone surrogates, so that
its bytes can be had back (`surrogateescape`)."""


def format_time(nanoseconds: int, style: str) -> Any:
    """json_date_format: double, epoch, epoch_ms, iso8601, java_sql_timestamp."""
    if style == "double":
        return round(nanoseconds / 1e9, 6)
    if style == "epoch":
        return nanoseconds // 1_000_000_000
    if style == "epoch_ms":
        return nanoseconds // 1_000_000
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    moment = time.gmtime(seconds)
    if style == "iso8601":
        return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + f".{rest // 1000:06d}Z"
    return time.strftime("%Y-%m-%d %H:%M:%S", moment) + f".{rest // 1000:06d}"


TIME_STYLES = ("double", "epoch", "epoch_ms", "iso8601", "java_sql_timestamp")
