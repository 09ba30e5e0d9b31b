"""What both sides do, from CloudWatch's GetMetricData: the same call in an account and locally.

AWS adds up by the minute and shows it one to three minutes late; the local region at once, by the
second. What goes back at once in an account is therefore what the load balancer says of its targets
and what the synthetic tests see; the numbers follow when CloudWatch has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hikkoshi.aws.access import Access, urgently
from hikkoshi.cutover.place import Place
from hikkoshi.cutover.values import Side, Window

NAMESPACE = "AWS/ApplicationELB"
_SIDE = {
    "requests": ("RequestCount", "Sum"),
    "failed": ("HTTPCode_Target_5XX_Count", "Sum"),
    "refused": ("TargetConnectionErrorCount", "Sum"),
    "answered": ("TargetResponseTime", "SampleCount"),
    "p99": ("TargetResponseTime", "p99"),
}


@dataclass(frozen=True, slots=True)
class Pace:
    """every_s: between two looks. recent_s: what counts as recent. period_s: the finest there is.
    tests_every_s: between two rounds of the synthetic tests. blind_s: for so long nothing need be
    seen before the traffic goes back."""

    every_s: float
    recent_s: float
    period_s: int
    tests_every_s: float
    blind_s: float

    @staticmethod
    def of(access: Access) -> Pace:
        return Pace(0.5, 10, 1, 2.0, 10.0) if access.is_local else Pace(5, 180, 60, 5.0, 60.0)


class Metrics:
    def __init__(self, access: Access, place: Place, pace: Pace) -> None:
        self._cloudwatch = access.client("cloudwatch", is_urgent=True)
        self._elb = access.client("elbv2", is_urgent=True)
        self._place = place
        self._pace = pace

    def between(self, start: float, end: float) -> Window:
        """Both sides in that time (epoch seconds). Raises AwsRefused."""
        period = period_for(end - start, self._pace.period_s)
        queries = [
            query
            for side, group in (("new", self._place.new), ("old", self._place.old))
            for query in self._queries(side, group, period)
        ]
        queries.append(self._query("balancer", "HTTPCode_ELB_5XX_Count", "Sum", None, period))
        found: dict[str, dict[float, float]] = {query["Id"]: {} for query in queries}
        token: dict[str, str] = {}
        while True:
            answer = urgently(
                "cloudwatch:GetMetricData",
                self._cloudwatch.get_metric_data,
                MetricDataQueries=queries,
                StartTime=datetime.fromtimestamp(int(start), UTC),
                EndTime=datetime.fromtimestamp(int(end) + 1, UTC),
                ScanBy="TimestampAscending",
                **token,
            )
            for each in answer["MetricDataResults"]:
                times = [t.timestamp() for t in each["Timestamps"]]
                found[each["Id"]].update(zip(times, each["Values"], strict=True))
            if not answer.get("NextToken"):
                return window_of(found)
            token = {"NextToken": answer["NextToken"]}

    def healthy(self) -> int:
        """Targets of the new side that the load balancer calls healthy."""
        found = urgently(
            "elbv2:DescribeTargetHealth",
            self._elb.describe_target_health,
            TargetGroupArn=self._place.new,
        )["TargetHealthDescriptions"]
        return sum(each["TargetHealth"]["State"] == "healthy" for each in found)

    def _queries(self, side: str, group: str, period: int) -> list[dict[str, Any]]:
        return [
            self._query(f"{side}_{name}", metric, stat, group, period)
            for name, (metric, stat) in _SIDE.items()
        ]

    def _query(
        self, name: str, metric: str, stat: str, group: str | None, period: int
    ) -> dict[str, Any]:
        dimensions = [
            {
                "Name": "LoadBalancer",
                "Value": self._place.load_balancer.partition(":loadbalancer/")[2],
            }
        ]
        if group is not None:
            dimensions.append({"Name": "TargetGroup", "Value": group.rpartition(":")[2]})
        of_times = metric == "TargetResponseTime"
        return {
            "Id": name,
            "MetricStat": {
                "Metric": {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": dimensions},
                "Period": max(period, 5) if of_times else period,
                "Stat": stat,
            },
        }


def period_for(window_s: float, finest_s: int) -> int:
    """One of CloudWatch's periods: the finest for a short window, coarser for a long one, so that
    an answer stays small."""
    if finest_s >= 60 or window_s > 1200:
        return 60
    return finest_s if window_s <= 120 else 10


def window_of(found: Mapping[str, Mapping[float, float]]) -> Window:
    """found: query → time → value. A p99 over more periods is the mean of theirs, by requests."""

    def total(name: str) -> int:
        return round(sum(found[name].values()))

    def side(name: str) -> Side:
        weights, p99s = found[f"{name}_answered"], found[f"{name}_p99"]
        count = sum(weights.get(t, 0.0) for t in p99s)
        p99 = sum(p99s[t] * weights.get(t, 0.0) for t in p99s) / count if count else None
        errors = total(f"{name}_failed") + total(f"{name}_refused")
        return Side(max(total(f"{name}_requests"), errors), errors, p99)

    attributed = total("new_refused") + total("old_refused")
    return Window(side("new"), side("old"), max(0, total("balancer") - attributed))
