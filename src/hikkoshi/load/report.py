"""From totals to the figures that people read, and whether the figures may be believed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.base.units import format_duration, format_share
from hikkoshi.load.conditions import Verdict, parse_conditions
from hikkoshi.load.counting import totals_of
from hikkoshi.load.failures import OWN_LIMITS
from hikkoshi.load.histogram import Histogram
from hikkoshi.load.judging import Outcome, judge_totals, outcome_of
from hikkoshi.load.pacer import Pacer, Stages, from_json
from hikkoshi.load.results import read_header, read_results
from hikkoshi.load.totals import EndpointTotals, Totals

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
# A run counts only if this share of the asked rate was really sent …
MIN_SENT_SHARE = 0.99
# … an overrun this short is a hiccup on the last request, not a rate that was not reached …
OVERRUN_FORGIVEN_S = 0.1
# … and if the generator's own lateness is not what the latency is made of. Below the floor it
# does not matter to any objective that is given in tens of milliseconds.
MAX_LATENESS_SHARE = 0.5
LATENESS_FLOOR_S = 0.010


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Seconds; None where nothing was measured."""

    mean: float | None
    minimum: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    maximum: float | None

    @classmethod
    def of(cls, histogram: Histogram) -> Quantiles:
        p50, p90, p95, p99, p999 = histogram.percentiles(SHARES)
        if not histogram.count:
            return cls(None, None, None, None, None, None, None, None)
        lowest, highest = histogram.minimum_s, histogram.maximum_s
        return cls(histogram.mean_s, lowest, p50, p90, p95, p99, p999, highest)


@dataclass(frozen=True, slots=True)
class EndpointSummary:
    name: str
    requests: int
    succeeded: int
    latency: Quantiles
    service: Quantiles
    statuses: Mapping[int, int]
    errors: Mapping[str, int]
    bytes_in: int
    bytes_out: int

    @property
    def success(self) -> float | None:
        """The share answered with 200 to 399."""
        return self.succeeded / self.requests if self.requests else None


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """One run. Rates are a second; t_ are epoch seconds; see `Totals` for the counts.

    asked_rate: what the plan asked for on average; None for a closed model. sent_rate: what the
    generator kept up with. throughput: successes a second until the last answer. invalid: why
    the figures may not be believed; empty when they may. notes: what a reader should know.
    verdicts: of the thresholds that were expected. outcome: what that adds up to.
    """

    trial: str
    t_start: float
    t_end: float
    duration_s: float
    asked_rate: float | None
    sent_rate: float
    throughput: float
    whole: EndpointSummary
    endpoints: tuple[EndpointSummary, ...]
    lateness: Quantiles
    invalid: tuple[str, ...]
    notes: tuple[str, ...]
    files: tuple[Path, ...]
    totals: Totals
    verdicts: tuple[Verdict, ...] = ()
    outcome: Outcome = Outcome.PASSED

    @property
    def is_valid(self) -> bool:
        return not self.invalid

    @property
    def failed(self) -> int:
        return self.whole.requests - self.whole.succeeded


def summarize(
    totals: Totals,
    *,
    trial: str,
    t_start: float,
    pacer: Pacer | None,
    duration_s: float,
    files: Iterable[Path] = (),
    expect: str | None = None,
    share: tuple[int, int] = (0, 1),
) -> LoadSummary:
    """duration_s: the plan's; a run that was stopped is judged up to its last request. expect:
    conditions, whose thresholds are judged. share: of the pacer's requests, as an `Attack`'s."""
    planned_s = totals.last_issue_s if totals.is_stopped else duration_s
    planned_s = max(planned_s, 1e-9)
    overrun_s = 0.0
    if pacer is not None and totals.planned:
        last = min(share[0] + (totals.planned - 1) * share[1], pacer.count - 1)
        overrun_s = max(0.0, totals.last_issue_s - pacer.due(last))
    whole = totals.whole()
    sent_rate = totals.issued / (planned_s + overrun_s)
    asked_rate = totals.planned / planned_s if pacer is not None else None
    until = max(totals.last_done_s, min(planned_s, duration_s))
    conditions = parse_conditions(expect) if expect else None
    verdicts = judge_totals(conditions, totals, until) if conditions else ()
    invalid = tuple(_doubts(totals, whole, planned_s, overrun_s))
    return LoadSummary(
        trial=trial,
        t_start=t_start,
        t_end=t_start + until,
        duration_s=duration_s,
        asked_rate=asked_rate,
        sent_rate=sent_rate,
        throughput=whole.succeeded / until,
        whole=_endpoint("all", whole),
        endpoints=tuple(_endpoint(name, each) for name, each in sorted(totals.endpoints.items())),
        lateness=Quantiles.of(totals.lateness),
        invalid=invalid,
        notes=tuple(_notes(totals, whole)),
        files=tuple(files),
        totals=totals,
        verdicts=verdicts,
        outcome=outcome_of(
            conditions, verdicts, whole.requests - whole.succeeded, is_valid=not invalid
        ),
    )


def summarize_files(files: Iterable[Path]) -> LoadSummary:
    """The same from results files alone, those of one run's workers. BadInput if not ours."""
    paths = tuple(files)
    totals = Totals()
    for path in paths:
        totals.add(totals_of(path))
    header = read_header(paths[0])
    plan = header.get("pacer")
    return summarize(
        totals,
        trial=str(header["trial"]),
        t_start=float(header["t_start"]),
        pacer=from_json(plan) if plan else None,
        duration_s=float(header["duration_s"]),
        files=paths,
        expect=header.get("expect"),
    )


def _endpoint(name: str, totals: EndpointTotals) -> EndpointSummary:
    return EndpointSummary(
        name=name,
        requests=totals.requests,
        succeeded=totals.succeeded,
        latency=Quantiles.of(totals.latency),
        service=Quantiles.of(totals.service),
        statuses=dict(sorted(totals.statuses.items())),
        errors=dict(totals.errors.most_common()),
        bytes_in=totals.bytes_in,
        bytes_out=totals.bytes_out,
    )


def _doubts(
    totals: Totals, whole: EndpointTotals, planned_s: float, overrun_s: float
) -> Iterator[str]:
    if not whole.requests:
        yield "no request was sent"
        return
    overrun_s = max(0.0, overrun_s - OVERRUN_FORGIVEN_S)
    share = min(1.0, totals.issued / max(1, totals.planned)) * planned_s / (planned_s + overrun_s)
    if share < MIN_SENT_SHARE:
        yield (
            f"the generator was the bottleneck: it sent {format_share(share)} of the asked rate "
            f"(at least {format_share(MIN_SENT_SHARE)} is needed); give it a core of its own, "
            "or more processes"
        )
    late, latency = totals.lateness.percentile(0.99), whole.latency.percentile(0.99)
    if late is not None and latency is not None and late > LATENESS_FLOOR_S:  # noqa: SIM102
        if late > MAX_LATENESS_SHARE * latency:
            yield (
                f"the generator was the bottleneck: it was {format_duration(late)} late (p99) "
                f"while the latency's p99 was {format_duration(latency)}"
            )
    for failure in sorted(OWN_LIMITS):
        if count := whole.errors.get(failure.value, 0):
            yield f"{count} requests failed on the generator's own limit, {failure.value}"


def _notes(totals: Totals, whole: EndpointTotals) -> Iterator[str]:
    if totals.is_stopped:
        yield "stopped before its end; the figures are those until then"
    if totals.waited:
        yield (
            f"{totals.waited} requests waited for a free connection (at most "
            f"{totals.peak_queue} at once, {totals.peak_connections} connections open); "
            "their latency counts from when they were due"
        )
    if totals.retries:
        yield (
            f"{totals.retries} requests were sent again on a new connection, because the server "
            "had ended the one they were on"
        )
    for name, detail in sorted(totals.details.items()):
        yield f"first {name}: {detail}"


@dataclass(frozen=True, slots=True)
class StageFigures:
    """The requests that were due within one stage of a plan. Seconds after the start."""

    start_s: float
    end_s: float
    asked_rate: float
    achieved_rate: float
    p50_s: float | None
    p99_s: float | None
    failed_share: float
    lateness_p99_s: float | None


def by_stage(files: Iterable[Path], plan: Stages) -> tuple[StageFigures, ...]:
    """Figures for each stage of a plan, by when a request was due.

    achieved_rate: successes that ended within the stage's own time, a second; behind the asked
    rate it shows a queue that grows.
    """
    ends: list[float] = []
    for stage in plan.stages:
        ends.append((ends[-1] if ends else 0.0) + stage.seconds)
    latency = [Histogram() for _ in ends]
    lateness = [Histogram() for _ in ends]
    failed = [0] * len(ends)
    ended_well = [0] * len(ends)
    for path in files:
        for result in read_results(path):
            at = _place(ends, result.intended)
            latency[at].record(result.ended - result.intended)
            lateness[at].record(result.late_s)
            if not result.is_success:
                failed[at] += 1
            elif result.ended <= ends[-1]:
                ended_well[_place(ends, result.ended)] += 1
    return tuple(
        StageFigures(
            start_s=ends[at] - stage.seconds,
            end_s=ends[at],
            asked_rate=stage.integral / stage.seconds,
            achieved_rate=ended_well[at] / stage.seconds,
            p50_s=latency[at].percentile(0.5),
            p99_s=latency[at].percentile(0.99),
            failed_share=failed[at] / max(1, latency[at].count),
            lateness_p99_s=lateness[at].percentile(0.99),
        )
        for at, stage in enumerate(plan.stages)
    )


def _place(ends: list[float], t: float) -> int:
    for at, end in enumerate(ends):
        if t < end:
            return at
    return len(ends) - 1


def as_json(summary: LoadSummary) -> dict[str, Any]:
    """The summary as a JSON document: seconds, shares, rates a second."""
    totals = summary.totals
    return {
        "trial": summary.trial,
        "t_start": summary.t_start,
        "t_end": summary.t_end,
        "duration_s": summary.duration_s,
        "asked_rate": summary.asked_rate,
        "sent_rate": summary.sent_rate,
        "throughput": summary.throughput,
        "planned": totals.planned,
        "issued": totals.issued,
        "sent": totals.sent,
        "done": totals.done,
        "failed": summary.failed,
        "retries": totals.retries,
        "waited": totals.waited,
        "connections_opened": totals.opened,
        "lateness_s": _quantiles(summary.lateness),
        "outcome": summary.outcome.value,
        "expected": [
            {"condition": each.text, "found": each.found, "is_met": each.is_met}
            for each in summary.verdicts
        ],
        "is_stopped": totals.is_stopped,
        "is_valid": summary.is_valid,
        "invalid": list(summary.invalid),
        "notes": list(summary.notes),
        **_endpoint_json(summary.whole),
        "endpoints": {each.name: _endpoint_json(each) for each in summary.endpoints},
    }


def _endpoint_json(summary: EndpointSummary) -> dict[str, Any]:
    return {
        "requests": summary.requests,
        "succeeded": summary.succeeded,
        "success": summary.success,
        "latency_s": _quantiles(summary.latency),
        "service_s": _quantiles(summary.service),
        "statuses": {str(status): count for status, count in summary.statuses.items()},
        "errors": dict(summary.errors),
        "bytes_in": summary.bytes_in,
        "bytes_out": summary.bytes_out,
    }


def _quantiles(quantiles: Quantiles) -> dict[str, float | None]:
    names = ("mean", "minimum", "p50", "p90", "p95", "p99", "p999", "maximum")
    return {
        name.replace("imum", ""): value if value is None or math.isfinite(value) else None
        for name, value in ((name, getattr(quantiles, name)) for name in names)
    }


def text_lines(summary: LoadSummary) -> Iterator[str]:
    """The summary for a terminal, a line at a time."""
    totals, whole = summary.totals, summary.whole
    asked = "as many as went" if summary.asked_rate is None else f"{summary.asked_rate:.1f}/s asked"
    yield f"requests    {whole.requests} ({asked}, {summary.sent_rate:.1f}/s sent)"
    yield (
        f"throughput  {summary.throughput:.1f}/s succeeded, over "
        f"{format_duration(summary.t_end - summary.t_start)}"
    )
    yield f"success     {format_share(whole.success or 0.0)}, {summary.failed} failed"
    for title, quantiles in (
        ("latency", whole.latency),
        ("service", whole.service),
        ("lateness", summary.lateness),
    ):
        if quantiles.p50 is not None:
            yield f"{title:<11} " + _line_of(quantiles)
    yield f"bytes       {whole.bytes_in} in, {whole.bytes_out} out (bodies)"
    yield "statuses    " + (", ".join(f"{s}: {n}" for s, n in whole.statuses.items()) or "none")
    if whole.errors:
        yield "errors      " + ", ".join(f"{e}: {n}" for e, n in whole.errors.items())
    yield f"connections {totals.opened} opened, at most {totals.peak_connections} at once"
    if len(summary.endpoints) > 1:
        for each in summary.endpoints:
            yield (
                f"  {each.name}: {each.requests}, {format_share(each.success or 0.0)} succeeded, "
                f"p50 {_told(each.latency.p50)}, p99 {_told(each.latency.p99)}"
            )
    for verdict in summary.verdicts:
        mark = {True: "held", False: "BROKE", None: "?"}[verdict.is_met]
        yield f"expected    {verdict.text}: {mark}, {verdict.found}"
    for note in summary.notes:
        yield f"note        {note}"
    for doubt in summary.invalid:
        yield f"INVALID     {doubt}"


def _line_of(quantiles: Quantiles) -> str:
    names = ("mean", "p50", "p90", "p95", "p99", "maximum")
    return ", ".join(f"{name[:4]} {_told(getattr(quantiles, name))}" for name in names)


def _told(seconds: float | None) -> str:
    return "–" if seconds is None else format_duration(seconds)
