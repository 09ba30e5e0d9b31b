"""What HAProxy did, written down: its log's lines and counters as evidence, and for CloudWatch."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Mapping, Sequence

from hikkoshi.model.evidence import Recorder
from hikkoshi.region.elb.access import request_of
from hikkoshi.region.elb.alb_log import logged_of
from hikkoshi.region.elb.control import Process
from hikkoshi.region.elb.delivery import Delivery
from hikkoshi.region.elb.generations import Rows
from hikkoshi.region.elb.meter import Meter
from hikkoshi.region.elb.model import Holdings
from hikkoshi.region.elb.target import Target, counters_of


class Tally:
    """Owns the pipe into which HAProxy logs. On the region's loop; the meter may be asked in any
    thread."""

    def __init__(self, recorder: Recorder, delivery: Delivery) -> None:
        self._recorder = recorder
        self.delivery = delivery
        self.meter = Meter()
        self._lines_in, self.log_fd = open_pipe()

    def read_lines(self, held: Holdings) -> None:
        """Whatever HAProxy has written since; it never waits for us, but loses what finds no room
        (1 MiB, some 5,000 requests in a tenth of a second)."""
        if self._lines_in < 0:
            return
        now = int(time.time())
        logged = []
        groups = {group.backend: arn for arn, group in held.target_groups.items()}
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._lines_in, 1 << 20):
                for whole in self.meter.take(data, now):
                    request_logged, line = logged_of(whole)
                    if request_logged is not None:
                        logged.append(request_logged)
                    if (request := request_of(line, groups)) is not None:
                        self._recorder.record("balanced", **request)

        self.delivery.take(logged, held)
        self.delivery.look(time.time())

    def record_targets(self, held: Holdings, group_arn: str, targets: Mapping[str, Target]) -> None:
        counts = dict.fromkeys(("healthy", "unhealthy", "initial", "draining"), 0)
        for target in targets.values():
            counts[target.phase] += 1
        now = time.time()
        self._recorder.record("targets", t=now, target_group=group_arn, **counts)
        if group_arn in held.target_groups and held.balancers_of(group_arn):
            backend = held.target_groups[group_arn].backend
            self.meter.see_hosts(backend, int(now), counts["healthy"], counts["unhealthy"])

    def count_flows(self, held: Holdings, processes: Mapping[Process, Rows]) -> None:
        streams = [each.frontend for each in held.listeners.values() if not each.is_http]
        if streams:
            seen = {process.pid: rows for process, rows in processes.items()}
            self.meter.flows.see(seen, streams, int(time.time()))

    def record_counters(
        self,
        held: Holdings,
        targets_of: Mapping[str, Mapping[str, Target]],
        processes: Sequence[Rows],
    ) -> None:
        """Of the process that serves and those that are stopping, as one. Of a group behind a
        network load balancer, what is at work is connections, and nothing is answered."""
        now = time.time()
        for arn, targets in targets_of.items():
            group = held.target_groups.get(arn)
            if group is None or not held.balancers_of(arn):
                continue
            named = {t.server: (t.server, t.spare) for t in targets.values()}
            for target, names in (*named.items(), (None, ("BACKEND",))):
                counters = counters_of(processes, group.backend, names)
                if counters is not None:
                    self._recorder.record(
                        "balancer", t=now, target_group=arn, target=target, **counters
                    )

    def close(self) -> None:
        if self._lines_in >= 0:
            os.close(self._lines_in)
            os.close(self.log_fd)
            self._lines_in = self.log_fd = -1


def open_pipe() -> tuple[int, int]:
    """(read end, write end), as large as an ordinary user may have one, neither ever blocking."""
    reading, writing = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 1 << 20)
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    return reading, writing
