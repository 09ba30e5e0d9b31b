"""Who calls whom, from the spans, with calls, faults and times."""

from __future__ import annotations

from dataclasses import dataclass

from hikkoshi.evidence.store import EvidenceStore

MOST_EDGES = 40


@dataclass(frozen=True, slots=True)
class Edge:
    """caller "": whoever sent the requests. kind: service, database or remote."""

    caller: str
    called: str
    kind: str
    calls: int
    faults: int
    p50_s: float
    p95_s: float


def service_map(store: EvidenceStore) -> tuple[Edge, ...]:
    """The most used edges. A segment is a service; a span of namespace aws or remote, or with a
    statement, is what it reached."""
    rows = store.rows(
        f"""
        WITH outer_spans AS (
            SELECT trace_id, span_id, parent_id, coalesce(name, '') AS name,
                   coalesce(t_end, t_start) - t_start AS length, coalesce(fault, false) AS fault,
                   CASE WHEN sql IS NOT NULL THEN 'database'
                        WHEN namespace IN ('aws', 'remote') THEN 'remote'
                        WHEN namespace IS NULL AND (parent_id IS NULL OR method IS NOT NULL)
                            THEN 'service' END AS kind
            FROM spans WHERE t_start IS NOT NULL
        ), owners AS (
            SELECT trace_id, span_id, name FROM outer_spans WHERE kind = 'service'
        ), root_names AS (
            SELECT trace_id, any_value(name) AS name FROM owners GROUP BY trace_id
        ), joined AS (
            SELECT CASE WHEN each.kind = 'service' AND each.parent_id IS NULL THEN ''
                        ELSE coalesce(owners.name, root_names.name, '') END AS caller,
                   each.name AS called, each.kind AS kind, each.length, each.fault
            FROM outer_spans AS each
            LEFT JOIN owners ON owners.trace_id = each.trace_id
                            AND owners.span_id = each.parent_id
            LEFT JOIN root_names ON root_names.trace_id = each.trace_id
            WHERE each.kind IS NOT NULL
        )
        SELECT left(caller, 100), left(called, 100), kind, count(*), count(*) FILTER (WHERE fault),
               approx_quantile(length, 0.5), approx_quantile(length, 0.95)
        FROM joined GROUP BY ALL ORDER BY 4 DESC, 1, 2, 3 LIMIT {MOST_EDGES}
        """
    )
    edges = [Edge(*row) for row in rows]
    served = {(edge.caller, edge.called) for edge in edges if edge.kind == "service"}
    # The call as its caller saw it and the segment of whom it reached are one edge.
    return tuple(e for e in edges if e.kind != "remote" or (e.caller, e.called) not in served)
