"""The traces that a reader is shown: what failed, the slowest of each endpoint, and some others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from hikkoshi.evidence.joined import BALANCER, join, other_ids, under_the_balancer
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.waterfall import Span, WaterfallRow, lay_out

MOST_ROWS = 60
MOST_SPANS = 5000
LONGEST_TEXT = 2000
MOST_LINES = 25
SLOWEST_PER_ENDPOINT = 10
MOST_SLOW = 300
MOST_FAILED = 1500
SAMPLED = 200


class Why(StrEnum):
    """Why a trace was chosen."""

    FAILED = "failed"
    SLOW = "slow"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class LogLine:
    t: float
    task: str
    container: str
    line: str


@dataclass(frozen=True, slots=True)
class Trace:
    """Times in seconds. endpoint: method and path, with what looks like an id as {id}."""

    trace_id: str
    why: Why
    service: str
    endpoint: str
    title: str
    t_start: float
    duration_s: float
    spans: int
    is_fault: bool
    is_error: bool
    status: int | None
    rows: tuple[WaterfallRow, ...] = ()
    rows_left_out: int = 0
    lines: tuple[LogLine, ...] = ()
    other_ids: tuple[str, ...] = ()
    """Under which its spans or lines came, too: see `evidence/joined.py`."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How many traces there are in all, and how many of them failed."""

    traces: int
    failed: int


def count_traces(store: EvidenceStore) -> Counted:
    _gather_heads(store)
    found = store.rows("SELECT count(*), count(*) FILTER (WHERE is_failed) FROM trace_heads")[0]
    return Counted(*found)


def choose_traces(store: EvidenceStore) -> list[Trace]:
    """Heads only, the ones that matter most first: the slowest of each endpoint, then what
    failed, spread over the endpoints, then a sample that is the same each time."""
    _gather_heads(store)
    rows = store.named_rows(
        """
        WITH ranked AS (
            SELECT *,
                   row_number() OVER (PARTITION BY endpoint ORDER BY duration_s DESC, trace_id)
                       AS slow_place,
                   row_number() OVER (PARTITION BY endpoint, is_failed ORDER BY hash(trace_id))
                       AS place,
                   row_number() OVER (ORDER BY hash(trace_id)) AS lot
            FROM trace_heads
        ), chosen AS (
            SELECT *, CASE WHEN slow_place <= $slowest THEN 0 WHEN is_failed THEN 1 ELSE 2 END
                       AS kind,
                   CASE WHEN slow_place <= $slowest THEN slow_place
                        WHEN is_failed THEN place ELSE lot END AS turn
            FROM ranked WHERE slow_place <= $slowest OR is_failed OR lot <= $sampled
        ), numbered AS (
            SELECT *, row_number() OVER (PARTITION BY kind ORDER BY turn, duration_s DESC, trace_id)
                       AS number
            FROM chosen
        )
        SELECT trace_id, kind, service, endpoint, title, t_start, duration_s, spans, is_fault,
               is_error, status
        FROM numbered
        WHERE number <= CASE kind WHEN 0 THEN $slow WHEN 1 THEN $failed ELSE $sampled END
        ORDER BY kind, number
        """,
        {
            "slowest": SLOWEST_PER_ENDPOINT,
            "slow": MOST_SLOW,
            "failed": MOST_FAILED,
            "sampled": SAMPLED,
        },
    )
    kinds = (Why.SLOW, Why.FAILED, Why.SAMPLE)
    return [Trace(str(row[0]), kinds[row[1]], *row[2:]) for row in rows]


def complete(store: EvidenceStore, heads: Sequence[Trace]) -> list[Trace]:
    """The same traces with their waterfalls and their log lines."""
    join(store)
    spans = _spans_of(store, [head.trace_id for head in heads])
    lines = _lines_of(store, [head.trace_id for head in heads])
    others: dict[str, list[str]] = {}
    for other, trace_id in other_ids(store, [head.trace_id for head in heads]).items():
        others.setdefault(trace_id, []).append(other)
    made = []
    for head in heads:
        rows = lay_out(under_the_balancer(spans[head.trace_id])) if head.trace_id in spans else ()
        made.append(
            replace(
                head,
                rows=rows[:MOST_ROWS],
                rows_left_out=max(0, len(rows) - MOST_ROWS),
                lines=tuple(lines.get(plain_id(head.trace_id), ())),
                other_ids=tuple(sorted(others.get(head.trace_id, ()))),
            )
        )
    return made


def plain_id(trace_id: str) -> str:
    """X-Ray's `1-8hex-24hex` and W3C's 32 hex digits are one id: the latter, in lower case."""
    plain = trace_id.lower().replace("-", "")
    return plain[1:] if len(plain) == 33 and plain.startswith("1") else plain


def _gather_heads(store: EvidenceStore) -> None:
    """One row a trace, for this connection alone. It is named after what has no parent, or, where
    that never came, what began first, in the application. A trace that is still going on everywhere
    is left out."""
    if store.rows("SELECT 1 FROM duckdb_tables() WHERE table_name = 'trace_heads'"):
        return
    join(store)
    store.rows(
        """
        CREATE TEMP TABLE trace_heads AS
        WITH gathered AS (
            SELECT trace_id, min(t_start) AS t_start,
                   max(coalesce(t_end, t_start)) - min(t_start) AS duration_s,
                   count(*) AS spans, bool_or(coalesce(fault, false)) AS is_fault,
                   bool_or(coalesce(error, false) OR coalesce(throttle, false)) AS is_error,
                   arg_min({'name': name, 'method': method, 'url': url, 'status': status},
                           t_start + CASE WHEN namespace = '$balancer' THEN 2e10
                                          WHEN parent_id IS NULL THEN 0 ELSE 1e10 END)
                       AS root
            FROM joined_spans WHERE t_start IS NOT NULL
            GROUP BY trace_id HAVING count(t_end) > 0
        ), told AS (
            SELECT *, coalesce(root.name, '') AS service,
                   regexp_replace(root.url, '^[A-Za-z]+://[^/?#]*', '') AS target
            FROM gathered
        ), shaped AS (
            SELECT *, rtrim(regexp_replace(regexp_replace(
                       regexp_replace(target, '[?#].*$', '') || '/', $pattern, '/{id}/', 'g'),
                       $pattern, '/{id}/', 'g'), '/') AS path
            FROM told
        )
        SELECT trace_id, service, t_start, duration_s, spans, is_fault, is_error,
               is_fault OR coalesce(root.status, 0) >= 500 AS is_failed, root.status AS status,
               left(CASE WHEN root.url IS NULL THEN service
                    ELSE concat_ws(' ', root.method, CASE path WHEN '' THEN '/' ELSE path END)
                    END, 200) AS endpoint,
               left(CASE WHEN root.url IS NULL THEN service
                    ELSE concat_ws(' ', root.method, CASE target WHEN '' THEN '/' ELSE target END)
                    END, 500) AS title
        FROM shaped
        """.replace("$pattern", f"'{_ID_IN_PATH}'").replace("$balancer", BALANCER)
    )


_ID_IN_PATH = "/([0-9]+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{24,})/"


def _spans_of(store: EvidenceStore, trace_ids: Sequence[str]) -> dict[str, list[Span]]:
    rows = store.rows(
        """
        SELECT trace_id, span_id, parent_id, left(coalesce(name, ''), $longest), t_start,
               coalesce(t_end, t_start), coalesce(fault, false), left(sql, $longest),
               left(url, $longest), left(method, 40), status,
               coalesce(error, false) OR coalesce(throttle, false), left(cause, $longest),
               left(namespace, 100)
        FROM joined_spans SEMI JOIN (SELECT unnest(?) AS trace_id) USING (trace_id)
        WHERE t_start IS NOT NULL
        ORDER BY t_start, t_end DESC, span_id
        """.replace("$longest", str(LONGEST_TEXT)),
        [list(trace_ids)],
    )
    found: dict[str, list[Span]] = {}
    for trace_id, *columns in rows:
        spans = found.setdefault(trace_id, [])
        if len(spans) < MOST_SPANS:
            spans.append(Span(*columns))
    return found


def _lines_of(store: EvidenceStore, trace_ids: Sequence[str]) -> dict[str, list[LogLine]]:
    """Log lines by the plain form of their trace's id, the first ones of each; they may carry
    another id of the same trace."""
    own = {plain_id(trace_id): plain_id(trace_id) for trace_id in trace_ids}
    own |= {plain_id(i): plain_id(t) for i, t in other_ids(store, trace_ids).items()}
    wanted = list(own)
    rows = store.rows(
        f"""
        WITH told AS (
            SELECT t, task, container, line,
                   unnest(list_distinct(regexp_extract_all(
                       line, '(?:1-[0-9a-fA-F]{{8}}-[0-9a-fA-F]{{24}}|[0-9a-fA-F]{{32}})'))) AS told
            FROM logs WHERE line IS NOT NULL
        ), named AS (
            SELECT t, task, container, left(line, {LONGEST_TEXT}) AS line,
                   right(replace(lower(told), '-', ''), 32) AS id
            FROM told
        )
        SELECT id, t, coalesce(task, ''), coalesce(container, ''), line
        FROM named SEMI JOIN (SELECT unnest(?) AS id) USING (id)
        QUALIFY row_number() OVER (PARTITION BY id ORDER BY t, line) <= {MOST_LINES}
        ORDER BY t, line
        """,
        [wanted],
    )
    found: dict[str, list[LogLine]] = {}
    for identifier, *columns in rows:
        found.setdefault(own[identifier], []).append(LogLine(*columns))
    return found
