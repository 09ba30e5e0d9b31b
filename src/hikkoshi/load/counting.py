"""From records to totals, many at a time: what is counted costs a microsecond a request.

The sender counts as it goes, a report counts a file; both do it here, so they cannot differ.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from operator import add, sub
from pathlib import Path

from hikkoshi.load.columns import Columns, read_columns
from hikkoshi.load.failures import FAILURES, Failure
from hikkoshi.load.results import Record, count_of, read_header
from hikkoshi.load.totals import EndpointTotals, Totals

_STOPPED = FAILURES.index(Failure.STOPPED) + 1
# Starting another process pays only for files with more records than this.
_FOR_ONE_PROCESS = 1_000_000
_MOST_PROCESSES = 8


def count_records(records: Sequence[Record], of_target: Sequence[EndpointTotals]) -> None:
    """Adds records to the totals of their endpoints; of_target: those of each target's number."""
    groups: dict[int, list[Record]] = {}
    if len(of_target) == 1:
        groups[0] = list(records)
    else:
        for record in records:
            try:
                groups[record[3]].append(record)
            except KeyError:
                groups[record[3]] = [record]
    for target, group in groups.items():
        if group:
            _count(Columns.of(group), of_target[target])


def _count(columns: Columns, endpoint: EndpointTotals) -> None:
    endpoint.requests += len(columns)
    endpoint.succeeded += sum(columns.are_ok)
    endpoint.bytes_in += sum(columns.bytes_in)
    endpoint.bytes_out += sum(columns.bytes_out)
    due, given, ends = columns.due, columns.given, columns.ends
    latency = list(map(sub, ends, due))
    if due == given:
        # Each was sent at the moment it was due, as all are in a closed model.
        endpoint.latency.extend(latency, also=endpoint.service)
    else:
        endpoint.latency.extend(latency)
        # A request that was never given to a connection has NaN there, which equals nothing.
        endpoint.service.extend([took for took in map(sub, ends, given) if took == took])
    for status, count in Counter(columns.statuses).items():
        if status:
            endpoint.statuses[status] += count
    if any(columns.codes):
        for code, count in Counter(columns.codes).items():
            if code:
                endpoint.errors[FAILURES[code - 1].value] += count


def totals_of(path: Path) -> Totals:
    """The totals of one file, worked out again from its records, by several processes if there are
    many. BadInput if it is not ours.

    What only the running sender knew (connections opened, the queue's length) stays nought.
    """
    count = count_of(path)
    processes = min(len(os.sched_getaffinity(0)), _MOST_PROCESSES, count // _FOR_ONE_PROCESS + 1)
    if processes == 1:
        return totals_of_part(path, 0, count)
    edges = [count * at // processes for at in range(processes + 1)]
    totals = Totals()
    # Not by fork: whoever asks for a report may have threads of its own.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        paths = [path] * processes
        for part in pool.map(totals_of_part, paths, edges[:-1], edges[1:]):
            totals.add(part)
    return totals


def totals_of_part(path: Path, first: int, last: int) -> Totals:
    """Of the records first … last - 1."""
    header = read_header(path)
    totals = Totals()
    of_target = [
        totals.endpoints.setdefault(target[2], EndpointTotals()) for target in header["targets"]
    ]
    for columns in read_columns(path, first, last):
        for target, group in columns.by_target():
            _count(group, of_target[target])
        totals.done += len(columns)
        totals.retries += sum(columns.retries)
        totals.lateness.extend(columns.late)
        totals.last_issue_s = max(totals.last_issue_s, max(map(add, columns.due, columns.late)))
        totals.last_done_s = max(totals.last_done_s, max(columns.ends))
        totals.is_stopped = totals.is_stopped or _STOPPED in columns.codes
    totals.sent = sum(each.service.count for each in totals.endpoints.values())
    totals.planned = totals.issued = totals.done
    return totals
