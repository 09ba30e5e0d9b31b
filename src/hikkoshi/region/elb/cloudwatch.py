"""CloudWatch's answers on load balancers, laid over moto's for everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from hikkoshi.region.elb.flows import NETWORK_METRICS
from hikkoshi.region.elb.keeper import Keeper
from hikkoshi.region.elb.meter import Datapoint, Meter

NAMESPACES = {"AWS/ApplicationELB": "app/", "AWS/NetworkELB": "net/"}
"""With how the names of its load balancers begin."""


class LoadBalancerMetrics:
    def __init__(self, keeper: Keeper, meter: Meter) -> None:
        self._keeper = keeper
        self._meter = meter

    def lay_over_moto(self) -> None:
        """moto's CloudWatch knows nothing of our load balancers: what is asked of them is answered
        here, in whatever protocol the question came. Imports moto; call it where that is done."""
        from moto.cloudwatch.models import CloudWatchBackend

        CloudWatchBackend.get_metric_data = self.wrapping(CloudWatchBackend.get_metric_data)

    def wrapping(self, ask_moto: Callable[..., list[dict[str, Any]]]) -> Callable[..., Any]:
        def get_metric_data(
            backend: Any,
            queries: list[dict[str, Any]],
            start_time: datetime,
            end_time: datetime,
            scan_by: str = "TimestampAscending",
        ) -> list[dict[str, Any]]:
            ours = {q["Id"]: q for q in queries if is_ours(q)}
            others = [q for q in queries if q["Id"] not in ours]
            if ours and any("Expression" in q for q in others):
                raise _refusal("expressions over the metrics of load balancers")
            answers = ask_moto(backend, others, start_time, end_time, scan_by) if others else []
            for query in ours.values():
                if query.get("ReturnData", True):
                    points = self._answer(query["MetricStat"], _epoch(start_time), _epoch(end_time))
                    answers.append(_result(query, points, scan_by))
            order = [q["Id"] for q in queries]
            return sorted(answers, key=lambda each: order.index(each["id"]))

        return get_metric_data

    def _answer(self, asked: Mapping[str, Any], start: float, end: float) -> list[Datapoint]:
        metric = asked["Metric"]
        dimensions = {d["Name"]: d["Value"] for d in metric.get("Dimensions") or []}
        namespace = metric["Namespace"]
        if not dimensions.get("LoadBalancer", "").startswith(NAMESPACES[namespace]):
            return []
        if (metric["MetricName"] in NETWORK_METRICS) != (namespace == "AWS/NetworkELB") and (
            metric["MetricName"] not in ("HealthyHostCount", "UnHealthyHostCount")
        ):
            raise _refusal(f"the metric {namespace} {str(metric['MetricName'])[:80]}")
        found = self._find(dimensions)
        if found is None:
            return []
        try:
            points = self._meter.answer(
                metric["MetricName"], asked["Stat"], int(asked["Period"]), (start, end), *found
            )
        except ValueError as error:
            raise _refusal(str(error)) from error
        if points is None:
            raise _refusal(f"the metric {namespace} {str(metric['MetricName'])[:80]}")
        return points

    def _find(self, dimensions: Mapping[str, str]) -> tuple[list[str], str | None] | None:
        """(frontends, backend) of the dimensions; None if there is no such load balancer."""
        held = self._keeper.holdings
        frontends = [
            listener.frontend
            for listener in held.listeners.values()
            if listener.load_balancer_arn.endswith(
                f":loadbalancer/{dimensions.get('LoadBalancer')}"
            )
        ]
        wanted = dimensions.get("TargetGroup")
        if wanted is None:
            return (frontends, None) if set(dimensions) == {"LoadBalancer"} else None
        for group in held.target_groups.values():
            if group.arn.endswith(f":{wanted}"):
                return frontends, group.backend
        return None


def is_ours(query: Mapping[str, Any]) -> bool:
    stat = query.get("MetricStat") or {}
    return bool((stat.get("Metric") or {}).get("Namespace") in NAMESPACES)


def _result(query: Mapping[str, Any], points: list[Datapoint], scan_by: str) -> dict[str, Any]:
    if scan_by == "TimestampDescending":
        points = points[::-1]
    stat = query["MetricStat"]
    return {
        "id": query["Id"],
        "label": query.get("Label") or f"{stat['Metric']['MetricName']} {stat['Stat']}",
        "values": [value for _, value in points],
        "timestamps": [datetime.fromtimestamp(t, UTC).replace(tzinfo=None) for t, _ in points],
        "status_code": "Complete",
    }


def _epoch(moment: datetime) -> float:
    """moto hands over naive times in UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _refusal(what: str) -> Exception:
    from moto.cloudwatch.exceptions import ValidationError

    refused: Exception = ValidationError(f"{what} is not implemented by the local region")
    return refused
