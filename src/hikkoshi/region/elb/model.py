"""What ELBv2 holds, as values. Actions and conditions stay in AWS's own shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    arn: str
    name: str
    dns_name: str
    scheme: str
    created_at: datetime
    address: str
    """Inside the region's network."""
    zones: tuple[tuple[str, str], ...]
    """(availability zone, subnet)."""
    vpc_id: str | None
    security_groups: tuple[str, ...]
    ip_address_type: str
    attributes: Mapping[str, str]
    kind: str = "application"
    """`application` or `network`."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """As asked for: times in seconds, port `traffic-port` or a number, matcher `200-299,301`; path
    and matcher are empty where a connection is all that is checked (protocol TCP)."""

    protocol: str
    port: str
    path: str
    interval_s: int
    timeout_s: int
    healthy_threshold: int
    unhealthy_threshold: int
    matcher: str
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class TargetGroup:
    arn: str
    name: str
    number: int
    """Never given twice; HAProxy's id of the backend."""
    protocol: str
    protocol_version: str | None
    port: int
    vpc_id: str | None
    target_type: str
    health_check: HealthCheck
    attributes: Mapping[str, str]

    @property
    def backend(self) -> str:
        return f"tg-{self.arn.rpartition('/')[2]}"

    @property
    def is_http(self) -> bool:
        """Behind an application load balancer; else connections are passed on as they are."""
        return self.protocol in ("HTTP", "HTTPS")

    @property
    def is_encrypted(self) -> bool:
        """Whether targets speak TLS. As at AWS, their certificates are not looked at."""
        return self.protocol in ("HTTPS", "TLS")

    @property
    def is_sticky(self) -> bool:
        """Whether a client stays with a target."""
        return self.attributes["stickiness.enabled"] == "true"

    @property
    def has_cookies(self) -> bool:
        return self.is_http and self.is_sticky

    @property
    def slow_start_s(self) -> float:
        """0: a new target has its full share at once."""
        return float(self.attributes.get("slow_start.duration_seconds", "0"))

    @property
    def deregistration_delay_s(self) -> float:
        return float(self.attributes["deregistration_delay.timeout_seconds"])


@dataclass(frozen=True, slots=True)
class Listener:
    """door_*: the socket on the host's loopback; inside_fd: the one at the balancer's address."""

    arn: str
    load_balancer_arn: str
    port: int
    protocol: str
    door_fd: int
    door_port: int
    inside_fd: int
    default_actions: tuple[Document, ...]
    certificates: tuple[tuple[str, str], ...] = ()
    """(ARN, file of certificate and key), the default one first; none: plain HTTP."""
    ssl_policy: str | None = None
    alpn_policy: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_http(self) -> bool:
        return self.protocol in ("HTTP", "HTTPS")

    @property
    def frontend(self) -> str:
        return f"listener-{self.arn.rpartition('/')[2]}"


@dataclass(frozen=True, slots=True)
class Rule:
    arn: str
    listener_arn: str
    priority: int
    conditions: tuple[Document, ...]
    actions: tuple[Document, ...]


@dataclass(frozen=True, slots=True)
class Holdings:
    """Everything but the targets, which change far more often; each by its ARN."""

    load_balancers: Mapping[str, LoadBalancer] = field(default_factory=dict)
    target_groups: Mapping[str, TargetGroup] = field(default_factory=dict)
    listeners: Mapping[str, Listener] = field(default_factory=dict)
    rules: Mapping[str, Rule] = field(default_factory=dict)
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def having(self, kind: str, arn: str, value: Any) -> Holdings:
        """With this thing put in, or taken out where value is None (and its tags with it)."""
        things = dict(getattr(self, kind))
        tags = dict(self.tags)
        if value is None:
            things.pop(arn, None)
            tags.pop(arn, None)
        else:
            things[arn] = value
        if kind == "tags":
            return replace(self, tags=things)
        return replace(self, **{kind: things, "tags": tags})

    def rules_of(self, listener_arn: str) -> list[Rule]:
        """By priority, without the default."""
        found = [rule for rule in self.rules.values() if rule.listener_arn == listener_arn]
        return sorted(found, key=lambda rule: rule.priority)

    def listeners_of(self, load_balancer_arn: str) -> list[Listener]:
        found = [x for x in self.listeners.values() if x.load_balancer_arn == load_balancer_arn]
        return sorted(found, key=lambda listener: listener.port)

    def groups_used_by(self, load_balancer_arn: str) -> set[str]:
        used: set[str] = set()
        for listener in self.listeners_of(load_balancer_arn):
            for actions in (
                listener.default_actions,
                *(rule.actions for rule in self.rules_of(listener.arn)),
            ):
                used.update(arn for arn, _ in forwarded(actions))
        return used

    def balancers_of(self, target_group_arn: str) -> list[str]:
        return [arn for arn in self.load_balancers if target_group_arn in self.groups_used_by(arn)]


def group_stickiness(actions: tuple[Document, ...]) -> int | None:
    """Seconds for which a client stays with a target group; None: it does not."""
    for action in actions:
        sticky = action.get("ForwardConfig", {}).get("TargetGroupStickinessConfig", {})
        if action["Type"] == "forward" and sticky.get("Enabled"):
            return int(sticky["DurationSeconds"])
    return None


def forwarded(actions: tuple[Document, ...]) -> list[tuple[str, int]]:
    """The (target group's ARN, weight) pairs of a forward action; none if there is no forward."""
    for action in actions:
        if action["Type"] == "forward":
            groups = action.get("ForwardConfig", {}).get("TargetGroups")
            if groups:
                return [(group["TargetGroupArn"], int(group.get("Weight", 1))) for group in groups]
            return [(action["TargetGroupArn"], 1)]
    return []
