"""From records to totals, some hundreds at a time: what is counted costs a microsecond a request.

The sender counts as it goes, a report counts a file; both do it here, so they cannot differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import sub
from pathlib import Path

from hikkoshi.load.failures import FAILURES, Failure
from hikkoshi.load.results import Record, read_batches, read_header
from hikkoshi.load.totals import EndpointTotals, Totals

_STOPPED = FAILURES.index(Failure.STOPPED) + 1


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
            _count(group, of_target[target])


def _count(group: list[Record], endpoint: EndpointTotals) -> None:
    _, codes, statuses, _, _, due, given, ends, bytes_in, bytes_out, _, _, _, are_ok = zip(
        *group, strict=True
    )
    endpoint.requests += len(group)
    endpoint.succeeded += sum(are_ok)
    endpoint.bytes_in += sum(bytes_in)
    endpoint.bytes_out += sum(bytes_out)
    latency = list(map(sub, ends, due))
    if due == given:
        # Each was sent at the moment it was due, as all are in a closed model.
        endpoint.latency.extend(latency, also=endpoint.service)
    else:
        endpoint.latency.extend(latency)
        # A request that was never given to a connection has NaN there, which equals nothing.
        endpoint.service.extend([took for took in map(sub, ends, given) if took == took])
    for status, count in Counter(statuses).items():
        if status:
            endpoint.statuses[status] += count
    if any(codes):
        for code, count in Counter(codes).items():
            if code:
                endpoint.errors[FAILURES[code - 1].value] += count


def totals_of(path: Path) -> Totals:
    """The totals of one file, worked out again from its records. BadInput if it is not ours.

    What only the running sender knew (connections opened, the queue's length) stays nought.
    """
    header = read_header(path)
    totals = Totals()
    of_target = [
        totals.endpoints.setdefault(target[2], EndpointTotals()) for target in header["targets"]
    ]
    for batch in read_batches(path):
        if not batch:
            continue
        count_records(batch, of_target)
        totals.done += len(batch)
        totals.retries += sum(record[12] for record in batch)
        totals.lateness.extend([record[10] for record in batch])
        last = max(record[5] + record[10] for record in batch)
        totals.last_issue_s = max(totals.last_issue_s, last)
        totals.last_done_s = max(totals.last_done_s, max(record[7] for record in batch))
        totals.is_stopped = totals.is_stopped or any(record[1] == _STOPPED for record in batch)
    totals.sent = sum(each.service.count for each in totals.endpoints.values())
    totals.planned = totals.issued = totals.done
    return totals
