"""Schedules: at(…), rate(…), cron(…), as EventBridge and Application Auto Scaling write them."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?)\)")
_CRON = re.compile(r"cron\(([^()]+)\)")
_UNITS = {"minute": 60, "hour": 3600, "day": 86400}
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_FIELDS = ((0, 59, ()), (0, 23, ()), (1, 31, ()), (1, 12, _MONTHS), (1, 7, _DAYS), (1970, 2199, ()))


class BadSchedule(ValueError):
    """The text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Exactly one of at, every_s, fields is set. fields: the values of each of cron's six."""

    zone: ZoneInfo
    at: float | None = None
    every_s: int | None = None
    fields: tuple[frozenset[int], ...] = ()

    def is_due(self, after: float, now: float, begun: float) -> bool:
        """Whether a moment of it lies in (after, now]; a rate counts from `begun`."""
        if self.at is not None:
            return after < self.at <= now
        if self.every_s is not None:
            first = int((after - begun) // self.every_s) + 1
            return first >= 1 and begun + first * self.every_s <= now
        # No more than a day is looked back on: a region that slept does not catch up for weeks.
        minute = datetime.fromtimestamp(max(after, now - 86400) // 60 * 60 + 60, UTC)
        while minute.timestamp() <= now:
            if self._is_at(minute.astimezone(self.zone)):
                return True
            minute += timedelta(minutes=1)
        return False

    def _is_at(self, moment: datetime) -> bool:
        day = moment.isoweekday() % 7 + 1
        values = (moment.minute, moment.hour, moment.day, moment.month, day, moment.year)
        return all(value in allowed for value, allowed in zip(values, self.fields, strict=True))


@functools.lru_cache(maxsize=512)
def read_schedule(text: str, timezone: str | None = None) -> Schedule:
    """Raises BadSchedule."""
    try:
        zone = ZoneInfo(timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadSchedule(f"there is no timezone {timezone}") from error
    if found := _AT.fullmatch(text):
        try:
            moment = datetime.fromisoformat(found[1]).replace(tzinfo=zone)
        except ValueError as error:
            raise BadSchedule(f"{text}: {error}") from error
        return Schedule(zone, at=moment.timestamp())
    if (found := _RATE.fullmatch(text)) and int(found[1]) > 0:
        return Schedule(zone, every_s=int(found[1]) * _UNITS[found[2]])
    if found := _CRON.fullmatch(text):
        words = found[1].split()
        if len(words) != len(_FIELDS):
            raise BadSchedule(f"{text}: cron takes six fields")
        fields = tuple(_field(w, *limits) for w, limits in zip(words, _FIELDS, strict=True))
        return Schedule(zone, fields=fields)
    raise BadSchedule(f"{text} is neither at(…), rate(…) nor cron(…)")


def _field(text: str, low: int, high: int, names: Sequence[str]) -> frozenset[int]:
    if text in ("*", "?"):
        return frozenset(range(low, high + 1))
    values: set[int] = set()
    for part in text.upper().split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        try:
            start = low if first == "*" else _number(first, names)
            end = _number(last, names) if last else (high if step or first == "*" else start)
            values.update(range(start, end + 1, int(step) if step else 1))
        except ValueError as error:
            # L, W and # are of this kind.
            raise BadSchedule(f"cron's field {text} is not understood") from error
    if not values or min(values) < low or max(values) > high:
        raise BadSchedule(f"cron's field {text} goes beyond {low} to {high}")
    return frozenset(values)


def _number(word: str, names: Sequence[str]) -> int:
    return names.index(word) + 1 if word in names else int(word)
