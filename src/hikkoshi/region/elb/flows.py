"""What a network load balancer counts, as CloudWatch's AWS/NetworkELB tells it.

Connections and bytes are read from HAProxy's counters, of the process that serves and those that
are ending; how connections ended, from its log. What a process counted after it was last read
(0.1 s) is lost with it. Zones, LCUs and packets are not counted.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hikkoshi.region.elb.target import ServerRow

KEPT_S = 3 * 3600


@dataclass(slots=True)
class FlowSecond:
    """A listener's connections in one second."""

    t: int
    new: int = 0
    active: int = 0
    """The most at any moment."""
    passed: int = 0
    """Bytes in both directions."""
    reset_by_target: int = 0
    reset_by_client: int = 0
    reset_by_balancer: int = 0


class FlowMeter:
    """Fed on the region's loop; may be asked in any thread."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._seconds: dict[str, deque[FlowSecond]] = {}
        self._before: dict[tuple[int, str], tuple[int, int]] = {}

    def see(
        self,
        processes: Mapping[int, Mapping[tuple[str, str], ServerRow]],
        frontends: Iterable[str],
        t: int,
    ) -> None:
        """processes: each one's statistics, by its pid."""
        with self._turn:
            for frontend in frontends:
                active = new = passed = 0
                for pid, rows in processes.items():
                    if (row := rows.get((frontend, "FRONTEND"))) is None:
                        continue
                    known = self._before.get((pid, frontend), (0, 0))
                    self._before[pid, frontend] = (row.connections, row.bytes_passed)
                    active += row.sessions
                    new += row.connections - known[0]
                    passed += row.bytes_passed - known[1]
                second = self._second(frontend, t)
                second.new += new
                second.passed += passed
                second.active = max(second.active, active)
            for key in [key for key in self._before if key[0] not in processes]:
                del self._before[key]

    def ended(self, frontend: str, ending: str, t: int) -> None:
        """ending: HAProxy's two letters. AWS counts resets; HAProxy tells them from other errors
        of the same side as little as it must."""
        with self._turn:
            second = self._second(frontend.rstrip("~"), t)
            second.reset_by_target += ending == "SD"
            second.reset_by_client += ending == "CD"
            second.reset_by_balancer += ending in ("SC", "sC", "KD", "DD", "UD")

    def _second(self, frontend: str, t: int) -> FlowSecond:
        seconds = self._seconds.setdefault(frontend, deque())
        if not seconds or seconds[-1].t < t:
            seconds.append(FlowSecond(t))
            while seconds[0].t < t - KEPT_S:
                seconds.popleft()
        return seconds[-1]

    def values(
        self, metric: str, frontends: Iterable[str]
    ) -> Iterator[tuple[int, Counter[float]]] | None:
        """(second, value → how often it was seen); None: no such metric is kept here."""
        member = NETWORK_METRICS.get(metric)
        if member is None:
            return None
        return self._read(member, set(frontends))

    def _read(self, member: str, frontends: set[str]) -> Iterator[tuple[int, Counter[float]]]:
        with self._turn:
            for frontend in frontends:
                for second in self._seconds.get(frontend, ()):
                    value = getattr(second, member)
                    if value or member == "active":
                        yield second.t, Counter({float(value): 1})


NETWORK_METRICS = {
    "ActiveFlowCount": "active",
    "NewFlowCount": "new",
    "ProcessedBytes": "passed",
    "TCP_Client_Reset_Count": "reset_by_client",
    "TCP_ELB_Reset_Count": "reset_by_balancer",
    "TCP_Target_Reset_Count": "reset_by_target",
}
