"""Spans and the load balancer's requests as traces: one request is one trace, with the load
balancer at its root, whichever of its ids the application took up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.waterfall import Span

BALANCER = "balancer"
"""The namespace of the load balancer's own span."""
SKEW_S = 0.002
"""HAProxy's clock tells whole milliseconds."""
DERIVED = ("trace_names", "balancer_spans")


def join(store: EvidenceStore) -> None:
    """`joined_spans`, for this connection alone: the columns of `spans` that a trace is drawn
    from, and a span for each request of the load balancer whose trace has spans.

    A sender's traceparent is handed on beside the X-Amzn-Trace-Id that the load balancer makes, and
    an application follows either. Requests with one traceparent are one trace; its id is the
    first X-Amzn-Trace-Id of theirs. An application that follows neither begins traces of its own;
    they are joined where its span has the load balancer's header among its attributes."""
    if store.rows("SELECT 1 FROM duckdb_tables() WHERE table_name = 'trace_names'"):
        return
    store.rows(
        """
        CREATE TEMP TABLE trace_names AS
        WITH known AS (
            SELECT w3c_trace_id AS own_id, trace_id, t_start
            FROM balanced WHERE w3c_trace_id IS NOT NULL
            UNION ALL
            SELECT spans.trace_id, balanced.trace_id, balanced.t_start
            FROM spans JOIN balanced ON balanced.trace_id = spans.balancer_trace_id
            WHERE spans.trace_id <> spans.balancer_trace_id
        ), firsts AS (
            SELECT own_id, arg_min(trace_id, t_start) AS trace_id FROM known GROUP BY own_id
        ), named AS (
            SELECT own_id AS id, trace_id FROM firsts
            UNION ALL
            SELECT known.trace_id, firsts.trace_id FROM known JOIN firsts USING (own_id)
        )
        SELECT id, min(trace_id) AS trace_id FROM named WHERE id <> trace_id GROUP BY id
        """
    )
    store.rows(
        f"""
        CREATE TEMP TABLE balancer_spans AS
        WITH told AS (
            SELECT id FROM (SELECT DISTINCT trace_id AS id FROM spans)
            UNION
            SELECT trace_names.trace_id FROM trace_names SEMI JOIN spans
                ON spans.trace_id = trace_names.id
        )
        SELECT coalesce(trace_names.trace_id, each.trace_id) AS trace_id, span_id,
               NULL::VARCHAR AS parent_id, 'load balancer' AS name, '{BALANCER}' AS namespace,
               t_start, t_end, coalesce(status >= 500, false) AS fault,
               coalesce(status BETWEEN 400 AND 499, false) AS error, false AS throttle,
               method, path AS url, status, NULL::VARCHAR AS sql, NULL::VARCHAR AS cause
        FROM balanced AS each LEFT JOIN trace_names ON trace_names.id = each.trace_id
        SEMI JOIN told ON told.id = coalesce(trace_names.trace_id, each.trace_id)
        """
    )
    store.rows(
        """
        CREATE OR REPLACE TEMP VIEW joined_spans AS
        SELECT coalesce(trace_names.trace_id, each.trace_id) AS trace_id, span_id, parent_id, name,
               namespace, t_start, t_end, fault, error, throttle, method, url, status, sql, cause
        FROM spans AS each LEFT JOIN trace_names ON trace_names.id = each.trace_id
        UNION ALL
        SELECT * FROM balancer_spans
        """
    )


def other_ids(store: EvidenceStore, trace_ids: Sequence[str]) -> dict[str, str]:
    """Further ids of these traces (what their log lines may carry) → the trace's own."""
    rows = store.rows(
        "SELECT id, trace_id FROM trace_names SEMI JOIN (SELECT unnest(?) AS trace_id) "
        "USING (trace_id)",
        [list(trace_ids)],
    )
    return {str(each): str(trace_id) for each, trace_id in rows}


def under_the_balancer(spans: Sequence[Span]) -> list[Span]:
    """Spans whose parent is not among them hang below the load balancer's request that had begun
    last when they began; the others, and all where there is no such request, stay as they are."""
    ids = {span.span_id for span in spans}
    requests = sorted(
        (span for span in spans if span.namespace == BALANCER), key=lambda span: span.t_start
    )
    placed = []
    for span in spans:
        before = [each for each in requests if each.t_start <= span.t_start + SKEW_S]
        if span.namespace != BALANCER and span.parent_id not in ids and before:
            placed.append(replace(span, parent_id=before[-1].span_id))
        else:
            placed.append(span)
    return placed
