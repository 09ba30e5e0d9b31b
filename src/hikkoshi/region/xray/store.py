"""The traces that the region's X-Ray keeps, to be asked for again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from hikkoshi.region.xray.spans import Document, Span

MAX_TRACES = 20_000
MAX_TEXT_BYTES = 128 << 20


@dataclass(slots=True)
class Trace:
    trace_id: str
    documents: dict[str, Document] = field(default_factory=dict)

    def spans(self) -> list[Span]:
        return [span for document in self.documents.values() for span in document.spans]

    def root(self) -> Span | None:
        """The segment that nobody is the parent of; while it has not come, the earliest one."""
        segments = [one.spans[0] for one in self.documents.values() if not one.is_subsegment]
        segments.sort(key=lambda span: span.t_start)
        earliest = segments[0] if segments else None
        return next((one for one in segments if one.parent_id is None), earliest)


class TraceStore:
    """Documents by (trace, id): a later one takes the place of an earlier one. Children may come
    before their parents. The oldest traces go when it is full."""

    def __init__(self, max_traces: int = MAX_TRACES, max_bytes: int = MAX_TEXT_BYTES) -> None:
        self._traces: OrderedDict[str, Trace] = OrderedDict()
        self._bytes = 0
        self._max_traces = max_traces
        self._max_bytes = max_bytes

    def put(self, document: Document) -> Document | None:
        """Keeps it; the document in whose place it comes."""
        trace = self._traces.get(document.trace_id)
        if trace is None:
            trace = self._traces[document.trace_id] = Trace(document.trace_id)
        old = trace.documents.get(document.span_id)
        trace.documents[document.span_id] = document
        self._bytes += len(document.text) - (len(old.text) if old else 0)
        while len(self._traces) > self._max_traces or self._bytes > self._max_bytes:
            _, gone = self._traces.popitem(last=False)
            self._bytes -= sum(len(one.text) for one in gone.documents.values())
        return old

    def get(self, trace_id: str) -> Trace | None:
        return self._traces.get(trace_id)

    def all(self) -> list[Trace]:
        return list(self._traces.values())
