"""Traces as plain data for the page's script: small, with each text told once.

`strings` holds every text; a trace is {id, why, endpoint, title, service, t, d, n, status, flags,
rows, more, lines}; texts are places in `strings`, times whole microseconds, flags 1 fault, 2
error. A row is [name, depth, start, length, sum, count, flags, sql, cause, critical, members];
start and members count from the trace's start; sql and cause are -1 where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import msgspec

from hikkoshi.evidence.service_map import Edge, service_map
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.traces import (
    MOST_SPANS,
    Trace,
    Why,
    choose_traces,
    complete,
    count_traces,
)
from hikkoshi.evidence.waterfall import WaterfallRow
from hikkoshi.report.text import visible

BUDGET_BYTES = {Why.SLOW: 900_000, Why.FAILED: 1_300_000, Why.SAMPLE: 400_000}
SPANS_AT_ONCE = 60_000


class Strings:
    """Each text once, with its place."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, text: str | None) -> int:
        if not text:
            return -1
        found = self._places.get(text)
        if found is None:
            found = self._places[text] = len(self.texts)
            self.texts.append(visible(text))
        return found


def trace_data(store: EvidenceStore, *, share: float = 1.0) -> dict[str, Any]:
    """What the page shows of a run's traces. share: of the usual room in the page, 0 to 1."""
    counted = count_traces(store)
    strings = Strings()
    shown: list[dict[str, Any]] = []
    left = {why: room * share for why, room in BUDGET_BYTES.items()}
    for batch in _batches(choose_traces(store)):
        # A kind whose room is full is not loaded any more.
        for trace in complete(store, [head for head in batch if left[head.why] > 0]):
            if left[trace.why] <= 0:
                continue
            known = len(strings.texts)
            data = encoded(trace, strings)
            left[trace.why] -= len(msgspec.json.encode(data))
            left[trace.why] -= sum(len(text.encode()) + 3 for text in strings.texts[known:])
            shown.append(data)
    return {
        "strings": strings.texts,
        "traces": shown,
        "total": counted.traces,
        "failed": counted.failed,
        "map": [edge_data(edge) for edge in service_map(store)],
    }


def _batches(heads: list[Trace]) -> Iterator[list[Trace]]:
    """Each is loaded by one pass over the spans; so many that few passes are made, and so few
    that a run of huge traces is not held in memory for what is left out."""
    batch: list[Trace] = []
    spans = 0
    for head in heads:
        batch.append(head)
        spans += min(head.spans, MOST_SPANS)
        if spans >= SPANS_AT_ONCE:
            yield batch
            batch, spans = [], 0
    if batch:
        yield batch


def encoded(trace: Trace, strings: Strings) -> dict[str, Any]:
    scale = trace.duration_s
    others = {"ids": [visible(one) for one in trace.other_ids]} if trace.other_ids else {}
    return others | {
        "id": visible(trace.trace_id),
        "why": str(trace.why),
        "service": strings.place(trace.service),
        "endpoint": strings.place(trace.endpoint),
        "title": strings.place(trace.title),
        "t": round(trace.t_start, 3),
        "d": _micro(trace.duration_s),
        "n": trace.spans,
        "status": trace.status,
        "flags": _flags(trace.is_fault or (trace.status or 0) >= 500, trace.is_error),
        "rows": [_row(row, scale, strings) for row in trace.rows],
        "more": trace.rows_left_out,
        "lines": [
            [round(line.t - trace.t_start, 3), strings.place(line.container or line.task),
             strings.place(line.line)]
            for line in trace.lines
        ],
    }  # fmt: skip


def edge_data(edge: Edge) -> dict[str, Any]:
    return {
        key: visible(value) if isinstance(value, str) else value
        for key, value in asdict(edge).items()
    }


def trace_of(data: dict[str, Any], sql: Iterable[str]) -> str | None:
    """The id of the trace, among those shown, that repeats one statement most often; of `sql`, if
    it has any."""
    wanted = {text.strip() for text in sql}
    best: tuple[bool, int] = (False, 4)
    found = None
    for trace in data["traces"]:
        for row in trace["rows"]:
            statement = data["strings"][row[7]] if row[7] >= 0 else ""
            rank = (statement in wanted, row[5])
            if statement and row[5] > 4 and rank > best:
                best, found = rank, trace["id"]
    return found


def _row(row: WaterfallRow, scale: float, strings: Strings) -> list[Any]:
    members: list[int] = []
    for start, length in row.members:
        members += [_micro(start * scale), _micro(length * scale)]
    return [
        strings.place(row.name),
        row.depth,
        _micro(row.start * scale),
        _micro(row.length * scale),
        _micro(row.duration_s),
        row.count,
        _flags(row.is_fault, row.is_error),
        strings.place(row.sql),
        strings.place(row.cause),
        _micro(row.critical_s),
        members,
    ]


def _flags(is_fault: bool, is_error: bool) -> int:
    return is_fault + 2 * is_error


def _micro(seconds: float) -> int:
    return round(seconds * 1e6)
