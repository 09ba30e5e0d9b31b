"""vegeta's results in our own report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hikkoshi.load.formats.found import endpoint_of
from hikkoshi.load.report import LoadSummary, summarize, summarize_files
from hikkoshi.load.totals import EndpointTotals, Totals
from hikkoshi.load.vegeta.reading import form_of, read_hits

_LONGEST_ERROR = 120


def summarize_any(paths: Iterable[Path]) -> LoadSummary:
    """Of files of one run, ours or vegeta's; they may not be mixed."""
    files = tuple(paths)
    if all(form_of(path) == "ours" for path in files):
        return summarize_files(files)
    totals = Totals()
    earliest = latest = end = 0
    for path in files:
        for hit in read_hits(path):
            endpoint = totals.endpoints.setdefault(
                endpoint_of(hit.method, hit.url), EndpointTotals()
            )
            endpoint.requests += 1
            endpoint.succeeded += 200 <= hit.code < 400
            endpoint.bytes_in += hit.bytes_in
            endpoint.bytes_out += hit.bytes_out
            endpoint.latency.extend_ns((hit.latency_ns,))
            if hit.code:
                endpoint.statuses[hit.code] += 1
            elif hit.error:
                endpoint.errors[hit.error[:_LONGEST_ERROR]] += 1
            latest = max(latest, hit.timestamp_ns)
            earliest = min(earliest or hit.timestamp_ns, hit.timestamp_ns)
            end = max(end, hit.timestamp_ns + hit.latency_ns)
    count = totals.whole().requests
    totals.planned = totals.issued = totals.sent = totals.done = count
    totals.last_issue_s = (latest - earliest) / 1e9
    totals.last_done_s = (end - earliest) / 1e9
    summary = summarize(
        totals, trial="vegeta", t_start=earliest / 1e9, pacer=None,
        duration_s=max(totals.last_issue_s, 1e-9), files=files,
    )  # fmt: skip
    note = "vegeta's results do not tell how late each request was sent"
    return replace(summary, notes=(*summary.notes, note))
