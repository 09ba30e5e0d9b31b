"""The predefined metrics of an ECS service, measured between two looks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from hikkoshi.region.ports import ScalableServices, TaskUse

CPU = "ECSServiceAverageCPUUtilization"
MEMORY = "ECSServiceAverageMemoryUtilization"
REQUESTS = "ALBRequestCountPerTarget"
METRICS = (CPU, MEMORY, REQUESTS)


@dataclass(slots=True)
class _Before:
    at: float
    cpu_s: dict[str, float] = field(default_factory=dict)
    requests: int | None = None


class Metrics:
    """use: what a running task uses now. request_count: of a target group's ARN, cumulative."""

    def __init__(
        self,
        services: ScalableServices,
        use: Callable[[str], TaskUse | None],
        request_count: Callable[[str], Awaitable[int | None]],
    ) -> None:
        self._services = services
        self._use = use
        self._request_count = request_count
        self._before: dict[tuple[str, str], _Before] = {}

    async def measure(
        self, metric: str, cluster: str, service: str, group_arn: str | None, now: float
    ) -> float | None:
        """Percent, or requests a target and minute; None where there is nothing to tell yet."""
        tasks = self._services.running_tasks(cluster, service)
        uses = {arn: use for arn in tasks if (use := self._use(arn)) is not None}
        if metric == MEMORY:
            limit = sum(use.memory_limit_bytes for use in uses.values())
            return 100 * sum(u.memory_bytes for u in uses.values()) / limit if limit else None
        key = (f"{cluster}/{service}", f"{metric} {group_arn}")
        before = self._before.get(key)
        here = _Before(now, {arn: use.cpu_s for arn, use in uses.items()})
        if metric == REQUESTS and group_arn is not None:
            here.requests = await self._request_count(group_arn)
        self._before[key] = here
        if before is None or now <= before.at:
            return None
        if metric == REQUESTS:
            return _requests(before, here, len(tasks))
        return _cpu(before, here, uses)

    def forget(self, cluster: str, service: str) -> None:
        for key in [k for k in self._before if k[0] == f"{cluster}/{service}"]:
            del self._before[key]


def _cpu(before: _Before, here: _Before, uses: dict[str, TaskUse]) -> float | None:
    """Of the tasks that were there at both looks."""
    both = [arn for arn in here.cpu_s if arn in before.cpu_s]
    reserved = sum(uses[arn].cpu_vcpu for arn in both) * (here.at - before.at)
    if not reserved:
        return None
    used = sum(max(0.0, here.cpu_s[arn] - before.cpu_s[arn]) for arn in both)
    return 100 * used / reserved


def _requests(before: _Before, here: _Before, targets: int) -> float | None:
    if here.requests is None or before.requests is None or not targets:
        return None
    # The load balancer counts anew when its process was replaced.
    grown = here.requests - before.requests if here.requests >= before.requests else here.requests
    return grown * 60 / (here.at - before.at) / targets
