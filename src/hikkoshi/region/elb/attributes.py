"""Attributes of load balancers, target groups and listeners: AWS's names and defaults, and what may
be asked of each.

AWS takes every value named in its documentation. Here a value is honoured, or refused as not
implemented; none is taken and then left without effect. Source of names, defaults and bounds: the
ELBv2 API reference, LoadBalancerAttribute, TargetGroupAttribute and ListenerAttribute.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from hikkoshi.region.elb.model import Document
from hikkoshi.region.front.port import AwsError, NotImplementedByRegion

Check = Callable[[str, str], None]
"""(attribute, value that is no default): AwsError if it cannot be."""

Table = Mapping[str, tuple[str, Check]]
"""Attribute → (default, check)."""


def whole(low: int, high: int) -> Check:
    def check(key: str, value: str) -> None:
        is_number = value.isascii() and value.isdigit() and len(value) < 9
        if not is_number or not low <= int(value) <= high:
            raise _refuse(f"'{key}' must be between {low} and {high}, inclusive")

    return check


def among(*played: str, unplayed: Sequence[str] = ()) -> Check:
    """unplayed: values that AWS has and the local region has not."""

    def check(key: str, value: str) -> None:
        if value in unplayed:
            raise NotImplementedByRegion(f"elbv2: the attribute {key}={value}")
        if value not in played:
            raise _refuse(f"'{key}' must be one of [{', '.join((*played, *unplayed))}]")

    return check


def matching(pattern: str, what: str) -> Check:
    compiled = re.compile(pattern)

    def check(key: str, value: str) -> None:
        if not compiled.fullmatch(value):
            raise _refuse(f"'{key}' {what}")

    return check


def _default_only(key: str, value: str) -> None:
    raise NotImplementedByRegion(f"elbv2: the attribute {key}={value[:80]}")


def _cookie_name(key: str, value: str) -> None:
    if value.upper().startswith("AWSALB"):
        raise _refuse(f"'{key}' must not begin with AWSALB, AWSALBAPP or AWSALBTG")
    if not _TOKEN.fullmatch(value):
        raise _refuse(f"'{key}' is not the name of a cookie")
    if not _PLAIN_NAME.fullmatch(value):
        raise NotImplementedByRegion(f"elbv2: a cookie's name with other signs than -_. ({value})")


_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._-]+")
_SWITCH = among("true", "false")
_OFF = among("false", unplayed=("true",))
_BUCKET = matching(r"[a-z0-9.-]{3,63}|", "must be the name of a bucket")
_PREFIX = matching(r"(?!.*AWSLogs)(?!/)[^\0]{0,512}(?<!/)|", "must not hold AWSLogs, nor begin or "
                   "end with a slash")  # fmt: skip

APPLICATION: Table = {
    "access_logs.s3.enabled": ("false", _SWITCH),
    "access_logs.s3.bucket": ("", _BUCKET),
    "access_logs.s3.prefix": ("", _PREFIX),
    "client_keep_alive.seconds": ("3600", whole(60, 604800)),
    "connection_logs.s3.enabled": ("false", _OFF),
    "connection_logs.s3.bucket": ("", _BUCKET),
    "connection_logs.s3.prefix": ("", _PREFIX),
    "deletion_protection.enabled": ("false", _SWITCH),
    "health_check_logs.s3.enabled": ("false", _OFF),
    "health_check_logs.s3.bucket": ("", _BUCKET),
    "health_check_logs.s3.prefix": ("", _PREFIX),
    "idle_timeout.timeout_seconds": ("60", whole(1, 4000)),
    "ipv6.deny_all_igw_traffic": ("false", _OFF),
    # AWS: it can't be changed. One network has one zone here.
    "load_balancing.cross_zone.enabled": ("true", among("true")),
    "routing.http.desync_mitigation_mode": (
        "defensive",
        among("defensive", unplayed=("monitor", "strictest")),
    ),
    "routing.http.drop_invalid_header_fields.enabled": ("false", _SWITCH),
    "routing.http.preserve_host_header.enabled": ("false", _SWITCH),
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": ("false", _SWITCH),
    "routing.http.xff_client_port.enabled": ("false", _SWITCH),
    "routing.http.xff_header_processing.mode": ("append", among("append", "preserve", "remove")),
    "routing.http2.enabled": ("true", _SWITCH),
    "waf.fail_open.enabled": ("false", _OFF),
    "zonal_shift.config.enabled": ("false", _OFF),
}

NETWORK: Table = {
    "access_logs.s3.enabled": ("false", _OFF),
    "access_logs.s3.bucket": ("", _BUCKET),
    "access_logs.s3.prefix": ("", _PREFIX),
    "deletion_protection.enabled": ("false", _SWITCH),
    "dns_record.client_routing_policy": (
        "any_availability_zone",
        among(
            "any_availability_zone",
            unplayed=("availability_zone_affinity", "partial_availability_zone_affinity"),
        ),
    ),
    "ipv6.deny_all_igw_traffic": ("false", _OFF),
    # All targets are in one network: nothing crosses a zone, whichever it is.
    "load_balancing.cross_zone.enabled": ("false", _SWITCH),
    "secondary_ips.auto_assigned.per_subnet": ("0", _default_only),
    "zonal_shift.config.enabled": ("false", _OFF),
}

_COUNT_IN_DNS = among("1", "off")
"""With one address of the load balancer there is no zone to leave out of DNS."""

_EVERY_GROUP: Table = {
    "deregistration_delay.timeout_seconds": ("300", whole(0, 3600)),
    "load_balancing.cross_zone.enabled": (
        "use_load_balancer_configuration",
        among("use_load_balancer_configuration", "true", unplayed=("false",)),
    ),
    "stickiness.enabled": ("false", _SWITCH),
    "target_group_health.dns_failover.minimum_healthy_targets.count": ("1", _COUNT_IN_DNS),
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": ("off", _default_only),
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": (
        "1",
        _default_only,
    ),
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": (
        "off",
        _default_only,
    ),
}

HTTP_GROUP: Table = {
    **_EVERY_GROUP,
    "load_balancing.algorithm.type": (
        "round_robin",
        among("round_robin", "least_outstanding_requests", unplayed=("weighted_random",)),
    ),
    "load_balancing.algorithm.anomaly_mitigation": ("off", among("off", unplayed=("on",))),
    "slow_start.duration_seconds": ("0", whole(30, 900)),
    "stickiness.type": ("lb_cookie", among("lb_cookie", "app_cookie")),
    "stickiness.app_cookie.cookie_name": ("", _cookie_name),
    "stickiness.app_cookie.duration_seconds": ("86400", whole(1, 604800)),
    "stickiness.lb_cookie.duration_seconds": ("86400", whole(1, 604800)),
}

TCP_GROUP: Table = {
    **_EVERY_GROUP,
    "deregistration_delay.connection_termination.enabled": ("false", _SWITCH),
    "preserve_client_ip.enabled": ("false", _OFF),
    "proxy_protocol_v2.enabled": ("false", _SWITCH),
    "stickiness.type": ("source_ip", among("source_ip")),
    "target_health_state.unhealthy.connection_termination.enabled": ("true", _SWITCH),
    "target_health_state.unhealthy.draining_interval_seconds": ("0", _default_only),
}

TCP_LISTENER: Table = {"tcp.idle_timeout.seconds": ("350", whole(60, 6000))}


def table_of_balancer(kind: str) -> Table:
    return APPLICATION if kind == "application" else NETWORK


def table_of_group(protocol: str) -> Table:
    return HTTP_GROUP if protocol in ("HTTP", "HTTPS") else TCP_GROUP


def table_of_listener(protocol: str) -> Table:
    if protocol == "TCP":
        return TCP_LISTENER
    # An encrypted one has a time-out that cannot be changed.
    return {"tcp.idle_timeout.seconds": ("350", _default_only)} if protocol == "TLS" else {}


def defaults_of(table: Table) -> dict[str, str]:
    return {key: default for key, (default, _) in table.items()}


def merge_attributes(
    known: Mapping[str, str], asked: Sequence[Document], table: Table
) -> dict[str, str]:
    """The attributes after a Modify…Attributes; AwsError for an unknown one or a wrong value."""
    merged = {**defaults_of(table), **known}
    for attribute in asked:
        key, value = attribute.get("Key", ""), attribute.get("Value", "")
        if key not in table:
            raise _refuse(f"Attribute key '{key[:80]}' is not recognized")
        default, check = table[key]
        if value != default:
            check(key, value)
        merged[key] = value
    _check_together(merged)
    return merged


def check_stickiness(protocol: str, asked: Sequence[Document]) -> None:
    """Of a target group: AwsError for a type that its protocol has not. The words are those that
    moto's suite expects of AWS."""
    values = {item.get("Key", ""): item.get("Value", "") for item in asked}
    kind = values.get("stickiness.type")
    if kind is not None:
        if kind not in ("app_cookie", "lb_cookie", "source_ip"):
            raise _refuse("'Stickiness type' must be one of [app_cookie, lb_cookie, source_ip]")
        if (kind == "source_ip") == (protocol in ("HTTP", "HTTPS")):
            what = f"Stickiness type '{kind}' is not supported for target groups with the "
            raise _refuse(f"{what}{protocol} protocol")
    if protocol == "TLS" and values.get("stickiness.enabled") == "true":
        raise _refuse("You cannot enable stickiness on target groups with the TLS protocol")


def _check_together(merged: Mapping[str, str]) -> None:
    by_cookie = merged.get("stickiness.type") == "app_cookie"
    by_cookie = by_cookie and merged["stickiness.enabled"] == "true"
    if by_cookie and not merged["stickiness.app_cookie.cookie_name"]:
        raise _refuse("'stickiness.app_cookie.cookie_name' must be given for app_cookie")
    is_slow = merged.get("slow_start.duration_seconds", "0") != "0"
    if is_slow and merged["load_balancing.algorithm.type"] != "round_robin":
        raise _refuse("Slow start needs the load balancing algorithm round_robin")


def _refuse(message: str) -> AwsError:
    return AwsError("ValidationError", message)
