"""A target group as a backend of HAProxy, and its targets as servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hikkoshi.model.timers import Timers
from hikkoshi.region.elb.answers import answer_with, quoted, unavailable
from hikkoshi.region.elb.model import LoadBalancer, TargetGroup
from hikkoshi.region.elb.target import Target


@dataclass(frozen=True, slots=True)
class Check:
    """A group's health check with the timers' caps applied. Milliseconds."""

    interval_ms: int
    timeout_ms: int
    rise: int
    fall: int


def check_of(group: TargetGroup, timers: Timers) -> Check:
    """A shortened interval shortens the timeout as well, but to no less than 2 s: a check must not
    fail only because a rehearsal is in a hurry."""
    asked = group.health_check
    interval_s = timers.capped("target_health_interval_s", asked.interval_s)
    timeout_s: float = asked.timeout_s
    if interval_s < asked.interval_s:
        timeout_s = min(asked.timeout_s, max(interval_s, 2.0))
    return Check(
        interval_ms=round(interval_s * 1000),
        timeout_ms=round(timeout_s * 1000),
        rise=asked.healthy_threshold,
        fall=asked.unhealthy_threshold,
    )


def server_line(target: Target, check: Check, group: TargetGroup) -> str:
    """The checked server's arguments, the same in a file as for `add server`."""
    if not group.health_check.is_enabled:
        return f"{target.address}:{target.port} id {target.number * 2} weight 1"
    port = "" if group.health_check.port == "traffic-port" else f" port {group.health_check.port}"
    return (
        f"{target.address}:{target.port} id {target.number * 2} weight 1 check{port} "
        f"inter {check.interval_ms} rise {check.rise} fall {check.fall}"
    )


def spare_line(target: Target) -> str:
    return f"{target.address}:{target.port} id {target.number * 2 + 1} weight 1 backup"


def backend(
    group: TargetGroup, balancer: LoadBalancer, targets: Mapping[str, Target], timers: Timers
) -> str:
    check = check_of(group, timers)
    algorithm = group.attributes["load_balancing.algorithm.type"]
    lines = [
        f"backend {group.backend}",
        f"  id {group.number}",
        f"  balance {'leastconn' if algorithm == 'least_outstanding_requests' else 'roundrobin'}",
        f"  timeout server {balancer.attributes['idle_timeout.timeout_seconds']}s",
        # Fail open: with no healthy target, all of them get requests.
        "  option allbackups",
        *answer_with(unavailable(), "{ nbsrv eq 0 }"),
    ]
    if group.is_sticky:
        kept_s = group.attributes["stickiness.lb_cookie.duration_seconds"]
        lines += [
            # Servers come and go while HAProxy runs, so it makes their cookies' values itself.
            f"  cookie AWSALB insert indirect nocache dynamic maxidle {kept_s} "
            f'attr "Max-Age={kept_s}"',
            f"  dynamic-cookie-key {group.backend}",
        ]
    if group.health_check.is_enabled:
        lines += [
            "  option httpchk",
            f"  http-check send meth GET uri {quoted(group.health_check.path)} ver HTTP/1.1 "
            'hdr Host "%[srv_name]" hdr User-Agent ELB-HealthChecker/2.0 hdr Connection close',
            f"  http-check expect status {group.health_check.matcher.replace(' ', '')}",
            f"  timeout check {check.timeout_ms}ms",
        ]
    for target in targets.values():
        lines.append(f"  server {target.server} {server_line(target, check, group)}")
        lines.append(f"  server {target.spare} {spare_line(target)}")
    return "\n".join(lines) + "\n"
