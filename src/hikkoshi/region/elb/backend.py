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
    place = f"{target.address}:{target.port} id {target.number * 2}"
    place += f" weight {weight_of(target, group)}{_spoken_to(group)}"
    if not group.health_check.is_enabled:
        return place
    port = "" if group.health_check.port == "traffic-port" else f" port {group.health_check.port}"
    # Without a word on it, a server that speaks TLS would be checked by TLS as well.
    tls = " no-check-ssl" if group.is_encrypted else ""
    if group.health_check.protocol == "HTTPS":
        tls = " check-ssl" if group.is_encrypted else " check-ssl verify none"
    proxy = " check-send-proxy" if _has_proxy_line(group) else ""
    return (
        f"{place} check{port}{tls}{proxy} "
        f"inter {check.interval_ms} rise {check.rise} fall {check.fall}"
    )


def spare_line(target: Target, group: TargetGroup) -> str:
    return (
        f"{target.address}:{target.port} id {target.number * 2 + 1} weight 1 backup"
        f"{_spoken_to(group)}"
    )


def _spoken_to(group: TargetGroup) -> str:
    tls = " ssl verify none" if group.is_encrypted else ""
    return tls + (" send-proxy-v2" if _has_proxy_line(group) else "")


def _has_proxy_line(group: TargetGroup) -> bool:
    return group.attributes.get("proxy_protocol_v2.enabled") == "true"


def backend(
    group: TargetGroup, balancer: LoadBalancer, targets: Mapping[str, Target], timers: Timers
) -> str:
    """Of a group behind an application load balancer."""
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
    if group.has_cookies and group.attributes["stickiness.type"] == "app_cookie":
        lines += _held_by_the_applications_cookie(group)
    elif group.has_cookies:
        kept_s = group.attributes["stickiness.lb_cookie.duration_seconds"]
        lines += [
            # Servers come and go while HAProxy runs, so it makes their cookies' values itself.
            f"  cookie AWSALB insert indirect nocache dynamic maxidle {kept_s} "
            f'attr "Max-Age={kept_s}"',
            f"  dynamic-cookie-key {group.backend}",
        ]
    return "\n".join([*lines, *checked_servers(group, targets, timers)]) + "\n"


_APP_COOKIE_S = 7 * 86400
"""AWS: the load balancer's own cookie lasts 7 days; how long it holds is written within it."""


def _held_by_the_applications_cookie(group: TargetGroup) -> list[str]:
    """A target that sets the named cookie keeps the client that sends it again, beside ours. Our
    cookie is `target~end`, where AWS's is encrypted."""
    name = group.attributes["stickiness.app_cookie.cookie_name"]
    held_s = group.attributes["stickiness.app_cookie.duration_seconds"]
    cookie = f'"AWSALBAPP-0=%[srv_name,field(1,-)]~%[date({held_s})]; '
    cookie += f'Expires=%[date({_APP_COOKIE_S}),http_date]; Path=/"'
    return [
        "  http-request set-var(txn.now) date()",
        "  http-request set-var(txn.left) req.cook(AWSALBAPP-0),field(2,~),sub(txn.now) "
        f"if {{ req.cook(AWSALBAPP-0) -m found }} {{ req.cook({name}) -m found }}",
        "  http-request set-var(txn.held) req.cook(AWSALBAPP-0),field(1,~) "
        "if { var(txn.left) -m int gt 0 }",
        "  use-server %[var(txn.held)] if { var(txn.held) -m found }",
        f"  http-response add-header Set-Cookie {cookie} "
        f"if {{ res.cook({name}) -m found }} or {{ var(txn.held) -m found }}",
    ]


def full_weight(group: TargetGroup) -> int:
    """Of a server in HAProxy. With slow start there are steps between nothing and all."""
    return 100 if group.slow_start_s else 1


def weight_of(target: Target, group: TargetGroup) -> int:
    return full_weight(group) if target.share is None else max(1, round(100 * target.share))


def checked_servers(group: TargetGroup, targets: Mapping[str, Target], timers: Timers) -> list[str]:
    """The last lines of a backend: how its servers are checked, and they."""
    asked, check = group.health_check, check_of(group, timers)
    lines = []
    if asked.is_enabled and asked.protocol != "TCP":
        lines += [
            "  option httpchk",
            f"  http-check send meth GET uri {quoted(asked.path)} ver HTTP/1.1 "
            'hdr Host "%[srv_name]" hdr User-Agent ELB-HealthChecker/2.0 hdr Connection close',
            f"  http-check expect status {asked.matcher.replace(' ', '')}",
        ]
    if asked.is_enabled:
        lines.append(f"  timeout check {check.timeout_ms}ms")
    for target in targets.values():
        lines.append(f"  server {target.server} {server_line(target, check, group)}")
        lines.append(f"  server {target.spare} {spare_line(target, group)}")
    return lines
