"""The slowest traces, laid out as waterfalls, with repeated siblings gathered into one row."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from hikkoshi.evidence.store import EvidenceStore

MOST_ROWS = 60
GATHER_FROM = 5
DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Span:
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


@dataclass(frozen=True, slots=True)
class WaterfallRow:
    """`start` and `length` are shares of the trace's duration; `count` siblings are in one row."""

    name: str
    depth: int
    start: float
    length: float
    duration_s: float
    count: int
    is_fault: bool
    sql: str | None


@dataclass(frozen=True, slots=True)
class Trace:
    trace_id: str
    title: str
    t_start: float
    duration_s: float
    spans: int
    is_fault: bool
    status: int | None
    rows: tuple[WaterfallRow, ...]
    rows_left_out: int


def slowest_traces(store: EvidenceStore, limit: int = 15) -> tuple[Trace, ...]:
    heads = store.rows(
        """
        SELECT trace_id FROM spans WHERE t_end IS NOT NULL AND t_start IS NOT NULL
        GROUP BY trace_id ORDER BY max(t_end) - min(t_start) DESC, trace_id LIMIT ?
        """,
        [limit],
    )
    return tuple(_trace(store, str(row[0])) for row in heads)


def _trace(store: EvidenceStore, trace_id: str) -> Trace:
    rows = store.rows(
        """
        SELECT span_id, parent_id, coalesce(name, ''), t_start, coalesce(t_end, t_start),
               coalesce(fault, false), sql, url, method, status
        FROM spans WHERE trace_id = ? AND t_start IS NOT NULL
        ORDER BY t_start, t_end DESC, span_id LIMIT 5000
        """,
        [trace_id],
    )
    spans = [Span(*row) for row in rows]
    t_start = min(span.t_start for span in spans)
    duration_s = max(max(span.t_end for span in spans) - t_start, 1e-9)
    ids = {span.span_id for span in spans}
    root = next((span for span in spans if span.parent_id not in ids), spans[0])
    laid_out = lay_out(spans)
    title = " ".join(part for part in (root.method, root.url or root.name) if part)
    return Trace(
        trace_id,
        title,
        t_start,
        duration_s,
        len(spans),
        any(span.is_fault for span in spans),
        root.status,
        laid_out[:MOST_ROWS],
        max(0, len(laid_out) - MOST_ROWS),
    )


def lay_out(spans: list[Span]) -> tuple[WaterfallRow, ...]:
    """Rows in the order of reading. Siblings of one statement, five or more, become one row.
    Orphans are shown at the root; a loop of parents is cut, so each span appears once at most."""
    t_start = min(span.t_start for span in spans)
    duration = max(max(span.t_end for span in spans) - t_start, 1e-9)
    ids = {span.span_id for span in spans}
    children: dict[str | None, list[Span]] = {}
    for span in spans:
        parent = span.parent_id if span.parent_id in ids else None
        children.setdefault(parent, []).append(span)
    rows: list[WaterfallRow] = []
    seen: set[str] = set()
    waiting = [(span, 0) for span in reversed(children.get(None, []))]
    while True:
        if not waiting:
            # Only spans whose parents form a loop are left; each loop is entered somewhere.
            left = next((span for span in spans if span.span_id not in seen), None)
            if left is None:
                return tuple(rows)
            waiting.append((left, 0))
        span, depth = waiting.pop()
        if span.span_id in seen:
            continue
        seen.add(span.span_id)
        rows.append(_row(span, depth, t_start, duration))
        below = [child for child in children.get(span.span_id, []) if child.span_id not in seen]
        single = []
        for group in _grouped(below):
            if len(group) >= GATHER_FROM:
                rows.append(_gathered(group, depth + 1, t_start, duration))
                _see_all(group, children, seen)
            else:
                single += group
        single.sort(key=lambda child: child.t_start, reverse=True)
        waiting += [(child, min(depth + 1, DEEPEST)) for child in single]


def _see_all(group: list[Span], children: dict[str | None, list[Span]], seen: set[str]) -> None:
    """What lies below gathered siblings is gathered with them."""
    waiting = [span.span_id for span in group]
    while waiting:
        span_id = waiting.pop()
        if span_id not in seen:
            seen.add(span_id)
            waiting += [child.span_id for child in children.get(span_id, [])]


def _grouped(spans: list[Span]) -> list[list[Span]]:
    groups: dict[tuple[str, str], list[Span]] = {}
    for span in spans:
        shape = re.sub(r"\d+", "?", span.sql or span.url or "")
        groups.setdefault((span.name, shape), []).append(span)
    return list(groups.values())


def _row(span: Span, depth: int, t_start: float, duration: float) -> WaterfallRow:
    length = max(0.0, span.t_end - span.t_start)
    name = span.name
    if span.method and span.url:
        name = f"{span.name} {span.method} {span.url}"
    return WaterfallRow(
        name,
        depth,
        (span.t_start - t_start) / duration,
        length / duration,
        length,
        1,
        span.is_fault,
        span.sql,
    )


def _gathered(group: list[Span], depth: int, t_start: float, duration: float) -> WaterfallRow:
    first = min(span.t_start for span in group)
    last = max(span.t_end for span in group)
    row = _row(group[0], depth, t_start, duration)
    return replace(
        row,
        start=(first - t_start) / duration,
        length=(last - first) / duration,
        duration_s=sum(max(0.0, span.t_end - span.t_start) for span in group),
        count=len(group),
        is_fault=any(span.is_fault for span in group),
    )
