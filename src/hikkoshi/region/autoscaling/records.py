"""What is held: scalable targets with their policies and scheduled actions, and activities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hikkoshi.region.autoscaling.schedule import Schedule, read_schedule


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """configuration: TargetTrackingScalingPolicyConfiguration. points: the newest last."""

    name: str
    arn: str
    configuration: dict[str, Any]
    created_at: float
    points: tuple[float | None, ...] = ()

    @property
    def metric(self) -> str:
        return str(self.configuration["PredefinedMetricSpecification"]["PredefinedMetricType"])

    @property
    def label(self) -> str | None:
        label = self.configuration["PredefinedMetricSpecification"].get("ResourceLabel")
        return None if label is None else str(label)


@dataclass(frozen=True, slots=True)
class ActionRecord:
    """text: the schedule as it was asked for, found good. looked_at: until when it was looked for
    moments of it."""

    name: str
    arn: str
    text: str
    timezone: str | None
    minimum: int | None
    maximum: int | None
    created_at: float
    start: float | None = None
    end: float | None = None
    looked_at: float = 0.0

    @property
    def schedule(self) -> Schedule:
        return read_schedule(self.text, self.timezone)


@dataclass(frozen=True, slots=True)
class TargetRecord:
    """resource_id: `service/CLUSTER/SERVICE`."""

    resource_id: str
    arn: str
    minimum: int
    maximum: int
    role_arn: str
    created_at: float
    suspended: dict[str, bool]
    policies: tuple[PolicyRecord, ...] = ()
    actions: tuple[ActionRecord, ...] = ()
    scaled_out_at: float | None = None
    scaled_in_at: float | None = None
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def cluster(self) -> str:
        return self.resource_id.split("/")[1]

    @property
    def service(self) -> str:
        return self.resource_id.split("/")[2]


@dataclass(frozen=True, slots=True)
class Activity:
    id: str
    resource_id: str
    description: str
    cause: str
    at: float
    status: str = "Successful"
    message: str = ""
