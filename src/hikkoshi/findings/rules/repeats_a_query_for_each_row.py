"""Exact statements per request from the database's own count, and repeated siblings in traces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hikkoshi.base.units import format_duration
from hikkoshi.evidence import queries
from hikkoshi.evidence.queries import RepeatedSpans, StatementDelta
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.rule import Applies, Need, left_out
from hikkoshi.model.evidence import UNSEEN_STATEMENTS
from hikkoshi.model.findings import Certainty, Evidence, Finding, NotJudged

NAME = "repeats-a-query-for-each-row"
TITLE = "Repeats a query for each row (N+1)"
APPLIES = Applies((Need.DATABASE,))
PROBING = "one-by-one"

# facts/observability.md, own cuts beside Sentry's 5 siblings and Scout's 5.
FACT_CALLS = 10
LIKELY_CALLS = 5
# Own cut: the share of an endpoint's traces that must show it.
SHARE_OF_TRACES = 0.5
# Own cut: the parent's rows and the child's calls may differ by rows that are skipped or shared.
PARENT_TOLERANCE = 0.2
# facts/observability.md: milliseconds on one machine say nothing (26 local queries took 3.5 ms),
# so the cost is told at an assumed round trip from a task to Aurora in another zone.
ASSUMED_ROUND_TRIP_S = 0.001

# What pools, drivers and transactions send by themselves is not the endpoint's doing.
_NOT_A_QUERY = re.compile(
    r"^\s*(?:/\*.*?\*/\s*)*(?:"
    r"(?:begin|start\s+transaction|commit|end|rollback|abort|savepoint|release|set|reset|show|"
    r"discard|deallocate|prepare\s+transaction|listen|unlisten|close|fetch|declare)\b"
    r"|select\s+(?:\$?\d+|\?|@@.*|(?:version|now|database|connection_id|current_\w+)"
    r"\s*(?:\(\s*\))?|pg_advisory_unlock_all\s*\(\s*\)|(?:pg_catalog\.)?set_config\s*\(.*)"
    r"(?:\s+(?:as\s+)?[`\"]?\w+[`\"]?)?\s*;?\s*$"
    r"|select\s*;?\s*$|--\s*ping\b)",
    re.IGNORECASE | re.DOTALL,
)
_VALUE = re.compile(r"'(?:[^']|'')*'|\$[0-9]+|%s|\b[0-9][0-9.]*\b")
_AROUND = re.compile(r"\s*([(),.])\s*")
_OUR_OWN = re.compile(r"\bpg_(?:stat_\w+|catalog|is_in_recovery|postmaster\w*)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Repeat:
    """One statement that an endpoint sends again and again, and what it seems to follow."""

    child: StatementDelta
    parent: StatementDelta | None
    certainty: Certainty

    @property
    def calls_per_request(self) -> float:
        return self.child.calls / self.child.requests

    @property
    def rows_per_call(self) -> float:
        return self.child.rows / self.child.calls


def is_query(statement: str) -> bool:
    """False for transaction control, settings, pings and the statistics views."""
    return not (_NOT_A_QUERY.match(statement) or _OUR_OWN.search(statement))


def shape(statement: str) -> str:
    """The statement without its values, however a driver, pg_stat_statements or
    performance_schema, which puts blanks and backquotes around, writes it."""
    bare = _VALUE.sub("?", statement).replace("`", "")
    return _AROUND.sub(r"\1", " ".join(bare.split())).rstrip("; ").lower()


def told(statement: str) -> str:
    """The statement as one would write it: a digest of performance_schema has blanks around each
    sign, and quotes each name."""
    if "`" not in statement:
        return statement
    return re.sub(
        r" ?([.,)])", r"\1", re.sub(r" ?([.(]) ?", r"\1", statement.replace("`", ""))
    ).strip()


def repeats(deltas: Sequence[StatementDelta]) -> tuple[Repeat, ...]:
    """Pure: the repeated statements of one endpoint, the most repeated first.

    With a parent (another statement that returned about as many rows as the child was called),
    ≥ 10 calls a request is a fact and ≥ 5 likely. Without one, a SELECT is one step less sure,
    and writes, which may be a batch that the client sent, are left alone.
    """
    own = [delta for delta in deltas if is_query(delta.query)]
    found = []
    for child in own:
        each = child.calls / child.requests
        if each < LIKELY_CALLS:
            continue
        parent = _parent_of(child, own)
        certainty = Certainty.FACT if each >= FACT_CALLS else Certainty.LIKELY
        if parent is None:
            if not re.match(r"\s*(?:select|with)\b", child.query, re.IGNORECASE):
                continue
            certainty = Certainty.LIKELY if certainty is Certainty.FACT else Certainty.HINT
        found.append(Repeat(child, parent, certainty))
    return tuple(sorted(found, key=lambda repeat: -repeat.calls_per_request))


def _parent_of(child: StatementDelta, own: Sequence[StatementDelta]) -> StatementDelta | None:
    """The statement whose rows the child's calls follow: called less often, rows ≈ calls."""
    near = [
        other
        for other in own
        if other.queryid != child.queryid
        and other.calls * 2 <= child.calls
        and abs(other.rows - child.calls) <= PARENT_TOLERANCE * child.calls
    ]
    return min(near, key=lambda other: abs(other.rows - child.calls), default=None)


def judge(evidence: EvidenceStore, windows: Windows) -> tuple[Finding, ...] | NotJudged | None:
    by_endpoint: dict[str, list[StatementDelta]] = {}
    unseen: list[StatementDelta] = []
    for delta in queries.statement_deltas(evidence):
        if delta.query == UNSEEN_STATEMENTS:
            unseen.append(delta)
            continue
        by_endpoint.setdefault(delta.endpoint, []).append(delta)
    probed = {
        endpoint: found for endpoint, deltas in by_endpoint.items() if (found := repeats(deltas))
    }
    findings = [_from_probe(endpoint, found) for endpoint, found in probed.items()]
    # Traces know an endpoint by its path, a target file by the name it was given: what was found
    # by counting is the same thing when the statement is.
    known = {shape(repeat.child.query) for found in probed.values() for repeat in found}
    named = {finding.subject for finding in findings}
    spans: dict[str, list[RepeatedSpans]] = {}
    for group in queries.repeated_spans(evidence, LIKELY_CALLS):
        if group.has_sql and not is_query(group.statement):
            continue
        if group.has_sql and shape(group.statement) in known:
            continue
        if group.endpoint not in named and certainty_of_spans(group):
            spans.setdefault(group.endpoint, []).append(group)
    findings += [_from_spans(endpoint, groups) for endpoint, groups in spans.items()]
    if findings:
        return tuple(findings)
    if not queries.probed_endpoints(evidence) and not evidence.has_rows("spans"):
        if PROBING in left_out(evidence.meta()):
            return NotJudged(
                NAME, f"{PROBING} was left out, and no spans came", is_applicable=False
            )
        return NotJudged(
            NAME,
            "no endpoint was probed between two marks of the statements, and no spans came",
        )
    return None if evidence.has_rows("spans") else _of_unseen(unseen)


def _of_unseen(deltas: Sequence[StatementDelta]) -> NotJudged | None:
    """Pure: so many statements that could be one repeated, and nobody knows what they were."""
    many = [delta for delta in deltas if delta.calls >= LIKELY_CALLS * delta.requests]
    if not many:
        return None
    worst = max(many, key=lambda delta: delta.calls / delta.requests)
    each = worst.calls / worst.requests
    return NotJudged(
        NAME,
        f"{worst.endpoint} executed {each:.0f} statements a request that its driver prepares on "
        "the server and closes again, of which MariaDB keeps no text: "
        "interpolateParams=true in the DSN of go-sql-driver shows them, and so do traces",
    )


def certainty_of_spans(group: RepeatedSpans) -> Certainty | None:
    """SQL in ≥ half of the endpoint's traces: ≥ 10 siblings a fact, ≥ 5 likely. A shape without
    SQL may be different statements, so at most likely."""
    if group.traces_with_repeats < SHARE_OF_TRACES * group.traces:
        return None
    if not group.has_sql:
        return Certainty.LIKELY if group.median_repeats >= FACT_CALLS else Certainty.HINT
    return Certainty.FACT if group.median_repeats >= FACT_CALLS else Certainty.LIKELY


def _cost(calls: float) -> str:
    return (
        f"{calls:.0f} × {format_duration(ASSUMED_ROUND_TRIP_S)} "
        f"= {format_duration(calls * ASSUMED_ROUND_TRIP_S)}"
    )


def _from_probe(endpoint: str, found: tuple[Repeat, ...]) -> Finding:
    worst = found[0]
    child = worst.child
    numbers = []
    details = []
    for repeat in found:
        numbers.append(
            Evidence(
                "calls of one statement per request",
                f"{repeat.calls_per_request:.1f} ({repeat.child.calls} calls over "
                f"{repeat.child.requests} requests, {repeat.rows_per_call:.2f} rows a call)",
                f"{FACT_CALLS} with a parent is a fact, {LIKELY_CALLS} is likely",
                repeat.child.t_start,
                repeat.child.t_end,
            )
        )
        text = f"repeated: {told(repeat.child.query)}"
        if repeat.parent:
            text += (
                f"\nfollows {repeat.parent.rows} rows of: {told(repeat.parent.query)}"
                f"\n({repeat.child.calls} calls for {repeat.parent.rows} rows)"
            )
        details.append(text)
    numbers.append(
        Evidence(
            "time spent on the way to the database, per request",
            _cost(worst.calls_per_request),
            "assumed: 1 ms round trip from a task to Aurora; it is not measured here",
        )
    )
    follows = "once for each row of another query" if worst.parent else "over and over"
    return Finding(
        NAME,
        min((repeat.certainty for repeat in found), key=list(Certainty).index),
        endpoint,
        f"{endpoint} sends one statement {worst.calls_per_request:.0f} times a request, "
        f"{follows}; at 1 ms a round trip that alone is "
        f"{format_duration(child.calls / child.requests * ASSUMED_ROUND_TRIP_S)}.",
        tuple(numbers),
        _ADVICE,
        tuple(details),
    )


def _from_spans(endpoint: str, groups: list[RepeatedSpans]) -> Finding:
    worst = groups[0]
    levels = [level for group in groups if (level := certainty_of_spans(group))]
    numbers = [
        Evidence(
            "siblings of one kind under one span",
            f"median {group.median_repeats:.0f}, most {group.most_repeats}, in "
            f"{group.traces_with_repeats} of {group.traces} traces",
            f"{FACT_CALLS} with SQL is a fact, {LIKELY_CALLS} is likely, in "
            f"{SHARE_OF_TRACES:.0%} of the traces",
        )
        for group in groups
    ]
    numbers.append(
        Evidence(
            "time spent on the way to the database, per request",
            _cost(worst.median_repeats),
            "assumed: 1 ms round trip from a task to Aurora; it is not measured here",
        )
    )
    what = "statement" if worst.has_sql else "kind of database call"
    return Finding(
        NAME,
        min(levels, key=list(Certainty).index),
        endpoint,
        f"{endpoint} repeats one {what} {worst.median_repeats:.0f} times a request, "
        f"as its traces show.",
        tuple(numbers),
        _ADVICE,
        tuple(
            f"repeated: {group.statement}" + ("" if group.has_sql else " (spans carry no SQL)")
            for group in groups
        ),
    )


_ADVICE = (
    "Fetch the children of all rows at once: a JOIN, or one query with WHERE parent_id IN (…) "
    "(PostgreSQL: = ANY($1)) and a dictionary by parent.",
    "With an ORM, load eagerly: Django select_related/prefetch_related, SQLAlchemy selectinload/"
    "joinedload, GORM Preload, Prisma include, ActiveRecord includes.",
    "Keep it repaired by a test that counts the statements of the endpoint with 1 and with 20 "
    "rows: the counts must be equal.",
)
