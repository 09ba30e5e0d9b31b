"""RDS's events: kept, and told again by DescribeEvents."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

KEPT = 1000


@dataclass(frozen=True, slots=True)
class Event:
    source_type: str
    source: str
    arn: str
    message: str
    category: str
    date: datetime


class EventLog:
    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=KEPT)

    def add(self, event: Event) -> None:
        self._events.append(event)

    def select(self, parameters: dict[str, Any], now: datetime) -> Sequence[Event]:
        """The events that DescribeEvents' parameters ask for, oldest first; the last hour's unless
        a time or a Duration (minutes) is given."""
        end = parameters.get("EndTime") or now
        minutes = parameters.get("Duration", 60)
        start = parameters.get("StartTime") or end - timedelta(minutes=minutes)
        categories = set(parameters.get("EventCategories") or ())
        return [
            event
            for event in self._events
            if start <= event.date <= end
            and parameters.get("SourceType") in (None, event.source_type)
            and parameters.get("SourceIdentifier") in (None, event.source)
            and (not categories or event.category in categories)
        ]


def event_shape(event: Event) -> dict[str, Any]:
    return {
        "SourceIdentifier": event.source,
        "SourceType": event.source_type,
        "Message": event.message,
        "EventCategories": [event.category],
        "Date": event.date,
        "SourceArn": event.arn,
    }
