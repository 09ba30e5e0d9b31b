"""HAProxy's configuration as a pure function of what ELBv2 holds."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.model.timers import Timers
from hikkoshi.region.elb.access import ACCESS_RULES
from hikkoshi.region.elb.meter import LOG_FORMAT
from hikkoshi.region.elb.model import (
    Document,
    Holdings,
    Listener,
    LoadBalancer,
    TargetGroup,
    forwarded,
    group_stickiness,
)
from hikkoshi.region.elb.target import Target

CONNECT_TIMEOUT_S = 10
"""AWS: a target has 10 s to accept a connection, then the load balancer answers 504."""

_PLAIN = re.compile(r"[A-Za-z0-9_.,:;/=()\[\]{}<>|^*+?!@&~-]")


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


def render(
    holdings: Holdings,
    targets: Mapping[str, Mapping[str, Target]],
    *,
    control_socket: Path,
    state_file: Path,
    log_fd: int,
    timers: Timers,
) -> str:
    """One frontend a listener, one backend a target group that is in use.

    targets: by the group's ARN, then by `address:port`. log_fd: takes a line for each request.
    """
    parts = [_head(control_socket, state_file, log_fd)]
    used: dict[str, LoadBalancer] = {}
    for arn in sorted(holdings.listeners):
        listener = holdings.listeners[arn]
        balancer = holdings.load_balancers[listener.load_balancer_arn]
        used |= dict.fromkeys(sorted(holdings.groups_used_by(balancer.arn)), balancer)
        parts.append(_frontend(holdings, arn))
    for group_arn, balancer in used.items():
        group = holdings.target_groups[group_arn]
        parts.append(_backend(group, balancer, targets.get(group_arn, {}), timers))
    return "\n".join(parts)


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


def _head(control_socket: Path, state_file: Path, log_fd: int) -> str:
    pages = "\n".join(
        f'  http-error status {status} content-type "text/html" string {quoted(_page(shown))} '
        f"hdr Server awselb/2.0"
        for status, shown in (
            (400, 400),
            (408, 408),
            (500, 500),
            (502, 502),
            (503, 502),
            (504, 504),
        )
    )
    return f"""global
  nbthread 1
  stats socket {control_socket} mode 600 level admin
  stats timeout 1h
  hard-stop-after 75s
  server-state-file {state_file}
  log fd@{log_fd} len 800 format raw local0 info

defaults
  mode http
  load-server-state-from-file global
  log global
  log-format "{LOG_FORMAT}"
  option dontlognull
  # A request is sent once. ELB does not document a second try, and it would not be safe.
  retries 0
  # With no retry left, this makes HAProxy say 502 where it would silently close a kept connection.
  retry-on conn-failure empty-response
  http-reuse safe
  timeout connect {CONNECT_TIMEOUT_S}s
  timeout http-request 60s
{pages}
"""


def _frontend(holdings: Holdings, arn: str) -> str:
    listener = holdings.listeners[arn]
    balancer = holdings.load_balancers[listener.load_balancer_arn]
    idle = balancer.attributes["idle_timeout.timeout_seconds"]
    keep_alive = balancer.attributes["client_keep_alive.seconds"]
    lines = [
        f"frontend {listener.frontend}",
        f"  bind fd@{listener.door_fd}{_tls(listener)}",
        f"  bind fd@{listener.inside_fd}{_tls(listener)}",
        # A stopping process closes no kept connection by itself, since a request might just be on
        # its way: the client is told to close with its next answer.
        "  option idle-close-on-response",
        f"  timeout client {idle}s",
        f"  timeout http-keep-alive {min(int(idle), int(keep_alive))}s",
        "  http-request set-var(txn.t0) date(0,ms)",
        *_added_headers(balancer, listener),
        "  http-response set-var(txn.answered) bool(true)",
        # Only HAProxy's own answers pass here unanswered: 503 is a connection that failed.
        "  acl answered var(txn.answered) -m found",
        "  acl refused_by_us var(txn.refused) -m found",
        f"  acl was_slow date(0,ms),sub(txn.t0) ge {CONNECT_TIMEOUT_S * 1000 - 500}",
        "  http-after-response set-status 504 if !answered !refused_by_us { status 503 } was_slow",
        "  http-after-response set-status 502 if !answered !refused_by_us { status 503 }",
    ]
    rules = holdings.rules_of(arn)
    for rule in rules:
        matches = " ".join(_condition(condition) for condition in rule.conditions)
        lines.append(
            f"  http-request set-var(txn.rule) int({rule.priority}) "
            f"if !{{ var(txn.rule) -m found }} {matches}"
        )
    lines.append("  http-request set-var(txn.rule) int(0) if !{ var(txn.rule) -m found }")
    for priority, actions in (
        *((rule.priority, rule.actions) for rule in rules),
        (0, listener.default_actions),
    ):
        lines += _actions(holdings, actions, f"{{ var(txn.rule) -m int {priority} }}", listener)
    # use_backend is looked at after every http-request rule, whatever the order here.
    return "\n".join(lines) + "\n"


def _tls(listener: Listener) -> str:
    if not listener.certificates:
        return ""
    files = " ".join(f"crt {file}" for _, file in listener.certificates)
    oldest = "TLSv1.2" if "TLS" in (listener.ssl_policy or "") else "TLSv1.0"
    return f" ssl {files} ssl-min-ver {oldest} alpn h2,http/1.1"


def _added_headers(balancer: LoadBalancer, listener: Listener) -> list[str]:
    mode = balancer.attributes["routing.http.xff_header_processing.mode"]
    known = "{ req.fhdr(X-Forwarded-For) -m found }"
    lines = {
        "append": [
            "  http-request set-var-fmt(txn.xff) "
            f'"%[req.fhdr(X-Forwarded-For)], %[src]" if {known}',
            f'  http-request set-var-fmt(txn.xff) "%[src]" if !{known}',
            '  http-request set-header X-Forwarded-For "%[var(txn.xff)]"',
        ],
        "remove": ["  http-request del-header X-Forwarded-For"],
        "preserve": [],
    }[mode]
    return [
        *lines,
        f"  http-request set-header X-Forwarded-Proto {listener.protocol.lower()}",
        f"  http-request set-header X-Forwarded-Port {listener.port}",
        '  http-request set-var-fmt(txn.time) "%{+X}Ts"',
        "  http-request set-var(txn.random) uuid(4),regsub(-,,g),bytes(0,24)",
        '  http-request set-var-fmt(txn.id) "1-%[var(txn.time),lower]-%[var(txn.random)]"',
        *ACCESS_RULES,
        "  acl has_root req.fhdr(X-Amzn-Trace-Id) -m sub Root=",
        "  http-request set-header X-Amzn-Trace-Id "
        '"Self=%[var(txn.id)];%[req.fhdr(X-Amzn-Trace-Id)]" if has_root',
        '  http-request set-header X-Amzn-Trace-Id "Root=%[var(txn.id)]" if !has_root',
    ]


def _actions(
    holdings: Holdings, actions: Sequence[Document], matches: str, listener: Listener
) -> list[str]:
    final = max(actions, key=lambda action: action.get("Order", 1))
    if final["Type"] == "fixed-response":
        return _return(_fixed(final["FixedResponseConfig"]), matches)
    if final["Type"] == "redirect":
        return _redirect(final["RedirectConfig"], matches, listener)
    groups = [
        (holdings.target_groups[arn].backend, weight) for arn, weight in forwarded(tuple(actions))
    ]
    weighted = [(backend, weight) for backend, weight in groups if weight > 0]
    if not weighted:
        return _return(_unavailable(), matches)
    kept_s = group_stickiness(tuple(actions))
    if kept_s is not None and len(groups) > 1:
        return _sticky(groups, kept_s, matches)
    if len(weighted) == 1:
        return [f"  use_backend {weighted[0][0]} if {matches}"]
    total = sum(weight for _, weight in weighted)
    lines = [f"  http-request set-var(txn.die) rand({total}) if {matches}"]
    below = 0
    for backend, weight in weighted[:-1]:
        below += weight
        lines.append(f"  use_backend {backend} if {matches} {{ var(txn.die) -m int lt {below} }}")
    return [*lines, f"  use_backend {weighted[-1][0]} if {matches}"]


def _sticky(groups: Sequence[tuple[str, int]], kept_s: int, matches: str) -> list[str]:
    """A client with a cookie of a group of this rule stays there, also where the weight has become
    0; others are shared out. Our cookie is `group.end`, where AWS's is encrypted."""
    weighted = [(backend, weight) for backend, weight in groups if weight > 0]
    lines = [
        f"  http-request set-var(txn.now) date() if {matches}",
        "  http-request set-var(txn.left) req.cook(AWSALBTG),field(2,.),sub(txn.now) "
        f"if {matches} {{ req.cook(AWSALBTG) -m found }}",
    ]
    for backend, _ in groups:
        lines.append(
            f"  http-request set-var(txn.group) str({backend}) if {matches} "
            f"{{ req.cook(AWSALBTG),field(1,.) -m str {backend} }} {{ var(txn.left) -m int gt 0 }}"
        )
    total, below = sum(weight for _, weight in weighted), 0
    lines.append(f"  http-request set-var(txn.die) rand({total}) if {matches}")
    for backend, weight in weighted:
        below += weight
        lines.append(
            f"  http-request set-var(txn.group) str({backend}) if {matches} "
            f"!{{ var(txn.group) -m found }} {{ var(txn.die) -m int lt {below} }}"
        )
    lines.append(
        f'  http-response add-header Set-Cookie "AWSALBTG=%[var(txn.group)].%[date({kept_s})]; '
        f'Expires=%[date({kept_s}),http_date]; Path=/" '
        f"if {matches} {{ var(txn.group) -m found }}"
    )
    for backend, _ in groups:
        lines.append(f"  use_backend {backend} if {matches} {{ var(txn.group) -m str {backend} }}")
    return lines


def _return(answer: str, matches: str) -> list[str]:
    """An answer of the load balancer's own, marked so that a 503 in it is left as it is."""
    return [
        f"  http-request set-var(txn.refused) bool(true) if {matches}",
        f"  http-request return {answer} if {matches}",
    ]


def _fixed(config: Document) -> str:
    body = config.get("MessageBody") or ""
    kind = config.get("ContentType") or "text/plain"
    text = f"status {config['StatusCode']} hdr Server awselb/2.0"
    return f"{text} content-type {quoted(kind)} string {quoted(body)}" if body else text


def _redirect(config: Document, matches: str, listener: Listener) -> list[str]:
    """AWS always writes the port; an empty query leaves no question mark."""
    fields = {
        "#{protocol}": listener.protocol.lower(),
        "#{port}": str(listener.port),
        "#{host}": "%[req.hdr(host),field(1,:)]",
        "#{path}": "%[path,regsub(^/,)]",
        "#{query}": "%[query]",
    }

    def expand(name: str, default: str) -> str:
        pieces = re.split(r"(#\{[a-z]+\})", config.get(name) or default)
        return "".join(fields.get(piece, piece.replace("%", "%%")) for piece in pieces)

    protocol = expand("Protocol", "#{protocol}").lower()
    where = f"{protocol}://{expand('Host', '#{host}')}:{expand('Port', '#{port}')}"
    where += expand("Path", "/#{path}")
    query = config.get("Query", "#{query}")
    lines = []
    if query == "#{query}":
        lines.append('  http-request set-var-fmt(txn.query) "?%[query]" if { query -m len gt 0 }')
        where += "%[var(txn.query)]"
    elif query:
        where += "?" + expand("Query", "")
    code = config["StatusCode"].removeprefix("HTTP_")
    return [*lines, f"  http-request redirect code {code} location {quoted(where)} if {matches}"]


def _condition(condition: Document) -> str:
    """An anonymous ACL; more values in one condition are alternatives, as at AWS."""
    field = condition["Field"]

    def values(config: str) -> list[Any]:
        return list(condition.get(config, {}).get("Values") or condition.get("Values") or [])

    if field == "host-header":
        found = values("HostHeaderConfig")
        return f"{{ req.hdr(host),field(1,:) -m reg -i {_patterns(found)} }}"
    if field == "path-pattern":
        return f"{{ path -m reg {_patterns(values('PathPatternConfig'))} }}"
    if field == "http-header":
        config = condition["HttpHeaderConfig"]
        return f"{{ req.fhdr({config['HttpHeaderName']}) -m reg -i {_patterns(config['Values'])} }}"
    if field == "http-request-method":
        found = values("HttpRequestMethodConfig")
        return "{ method -m str " + " ".join(quoted(value) for value in found) + " }"
    if field == "source-ip":
        nets = [str(ipaddress.ip_network(value)) for value in condition["SourceIpConfig"]["Values"]]
        return "{ src " + " ".join(nets) + " }"
    if field == "query-string":
        patterns = [
            "(^|&)"
            + (_wild(pair["Key"], "[^&=]") if pair.get("Key") else "[^&=]*")
            + f"={_wild(pair['Value'], '[^&]')}(&|$)"
            for pair in condition["QueryStringConfig"]["Values"]
        ]
        return "{ query -m reg -i " + " ".join(quoted(pattern) for pattern in patterns) + " }"
    raise ValueError(f"{field} is no condition that is known here")


def _patterns(values: Sequence[str]) -> str:
    return " ".join(quoted(f"^{_wild(value, '.')}$") for value in values)


def _wild(text: str, any_character: str) -> str:
    """AWS's wildcards: `*` is any number of characters, `?` is exactly one."""
    special = {"*": any_character + "*", "?": any_character}
    return "".join(special.get(letter, re.escape(letter)) for letter in text)


def _backend(
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
        *_return(_unavailable(), "{ nbsrv eq 0 }"),
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


def _unavailable() -> str:
    page = quoted(_page(503))
    return f'status 503 content-type "text/html" string {page} hdr Server awselb/2.0'


_TITLES = {
    400: "Bad Request",
    408: "Request Time-out",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


def _page(status: int) -> str:
    title = f"{status} {_TITLES[status]}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n"
        f"<body><h1>{title}</h1></body>\r\n</html>\r\n"
    )


def quoted(text: str) -> str:
    """One argument of HAProxy's configuration, whatever is in it: all that could mean something
    to HAProxy's reader is written as bytes in hexadecimal."""
    pieces = []
    for letter in text:
        if _PLAIN.fullmatch(letter) or letter == "%" or letter == " ":
            pieces.append(letter)
        else:
            pieces += [f"\\x{byte:02x}" for byte in letter.encode()]
    return '"' + "".join(pieces) + '"'
