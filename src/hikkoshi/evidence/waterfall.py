"""One trace laid out as a waterfall: repeated siblings in one row, and its critical path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

GATHER_FROM = 5
DEEPEST = 20
MOST_MEMBERS = 60


@dataclass(frozen=True, slots=True)
class Span:
    """Times in epoch seconds. cause: the exceptions told of, one a line."""

    span_id: str
    parent_id: str | None
    name: str
    t_start: float
    t_end: float
    is_fault: bool
    sql: str | None
    url: str | None
    method: str | None
    status: int | None
    is_error: bool = False
    cause: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class WaterfallRow:
    """`start` and `length` are shares of the trace's duration; `count` siblings are in one row.

    critical_s: how long the whole trace waited for nothing but this row. members: (start, length)
    of the gathered siblings, as shares; the first MOST_MEMBERS of them."""

    name: str
    depth: int
    start: float
    length: float
    duration_s: float
    count: int
    is_fault: bool
    sql: str | None
    is_error: bool = False
    cause: str | None = None
    critical_s: float = 0.0
    members: tuple[tuple[float, float], ...] = ()


def lay_out(spans: Sequence[Span]) -> tuple[WaterfallRow, ...]:
    """Rows in the order of reading. Siblings of one statement, five or more, become one row.
    Orphans are shown at the root; a loop of parents is cut, so each span appears once at most."""
    return _Layout(spans).rows()


def critical_path(spans: Sequence[Span]) -> dict[str, float]:
    """Seconds of each span during which the trace waited for it and for nothing below it.

    From the end backwards: what ended last was waited for, then what ended last before that
    began. The seconds add up to the duration of the longest root."""
    children = _children(spans)
    roots = children.get(None) or list(spans[:1])
    if not roots:
        return {}
    root = max(roots, key=lambda span: span.t_end - span.t_start)
    spent: dict[str, float] = {}
    waiting = [(root, root.t_start, root.t_end)]
    seen: set[str] = set()
    while waiting:
        span, start, end = waiting.pop()
        if span.span_id in seen:
            continue
        seen.add(span.span_id)
        at, own = end, 0.0
        below = sorted(children.get(span.span_id, []), key=lambda child: child.t_end, reverse=True)
        for child in below:
            child_start, child_end = max(child.t_start, start), min(child.t_end, end)
            if child_end > at or child_end <= child_start or child.span_id in seen:
                continue
            own += at - child_end
            waiting.append((child, child_start, child_end))
            at = child_start
        spent[span.span_id] = own + max(0.0, at - start)
    return spent


def _children(spans: Sequence[Span]) -> dict[str | None, list[Span]]:
    ids = {span.span_id for span in spans}
    children: dict[str | None, list[Span]] = {}
    for span in spans:
        parent = span.parent_id if span.parent_id in ids else None
        children.setdefault(parent, []).append(span)
    return children


class _Layout:
    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self._t_start = min(span.t_start for span in spans)
        self._duration = max(max(span.t_end for span in spans) - self._t_start, 1e-9)
        self._children = _children(spans)
        self._critical = critical_path(spans)

    def rows(self) -> tuple[WaterfallRow, ...]:
        rows: list[WaterfallRow] = []
        seen: set[str] = set()
        waiting = [(span, 0) for span in reversed(self._children.get(None, []))]
        left = iter(self._spans)
        while True:
            if not waiting:
                # Only spans whose parents form a loop are left; each loop is entered somewhere.
                lost = next((span for span in left if span.span_id not in seen), None)
                if lost is None:
                    return tuple(rows)
                waiting.append((lost, 0))
            span, depth = waiting.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            rows.append(self._row(span, depth))
            below = [
                child for child in self._children.get(span.span_id, []) if child.span_id not in seen
            ]
            single = []
            for group in _grouped(below):
                if len(group) >= GATHER_FROM:
                    rows.append(self._gathered(group, depth + 1, seen))
                else:
                    single += group
            single.sort(key=lambda child: child.t_start, reverse=True)
            waiting += [(child, min(depth + 1, DEEPEST)) for child in single]

    def _row(self, span: Span, depth: int) -> WaterfallRow:
        length = max(0.0, span.t_end - span.t_start)
        name = span.name
        if span.method and span.url:
            name = f"{span.name} {span.method} {span.url}"
        return WaterfallRow(
            name=name,
            depth=depth,
            start=self._share(span.t_start),
            length=length / self._duration,
            duration_s=length,
            count=1,
            is_fault=span.is_fault,
            sql=span.sql,
            is_error=span.is_error,
            cause=span.cause,
            critical_s=self._critical.get(span.span_id, 0.0),
        )

    def _gathered(self, group: list[Span], depth: int, seen: set[str]) -> WaterfallRow:
        """What lies below gathered siblings is gathered with them."""
        below = self._see_all(group, seen)
        first, last = min(s.t_start for s in group), max(s.t_end for s in group)
        alike = self._row(group[0], depth)
        return WaterfallRow(
            name=alike.name,
            depth=depth,
            start=self._share(first),
            length=(last - first) / self._duration,
            duration_s=sum(max(0.0, span.t_end - span.t_start) for span in group),
            count=len(group),
            is_fault=any(span.is_fault for span in group),
            sql=group[0].sql,
            is_error=any(span.is_error for span in group),
            cause=next((span.cause for span in group if span.cause), None),
            critical_s=sum(self._critical.get(span_id, 0.0) for span_id in below),
            members=tuple(
                (self._share(s.t_start), max(0.0, s.t_end - s.t_start) / self._duration)
                for s in group[:MOST_MEMBERS]
            ),
        )

    def _see_all(self, group: list[Span], seen: set[str]) -> set[str]:
        found: set[str] = set()
        waiting = [span.span_id for span in group]
        while waiting:
            span_id = waiting.pop()
            if span_id not in seen:
                seen.add(span_id)
                found.add(span_id)
                waiting += [child.span_id for child in self._children.get(span_id, [])]
        return found

    def _share(self, t: float) -> float:
        return (t - self._t_start) / self._duration


def _grouped(spans: list[Span]) -> list[list[Span]]:
    groups: dict[tuple[str, str], list[Span]] = {}
    for span in spans:
        shape = re.sub(r"\d+", "?", span.sql or span.url or "")
        groups.setdefault((span.name, shape), []).append(span)
    return list(groups.values())
