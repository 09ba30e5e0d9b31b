"""A listener of an application load balancer as a frontend of HAProxy."""

from __future__ import annotations

from hikkoshi.region.elb.access import ACCESS_RULES
from hikkoshi.region.elb.alb_log import LOGGED_FORMAT, LOGGED_RULES, LOGGED_TLS_RULES
from hikkoshi.region.elb.conditions import acl_of
from hikkoshi.region.elb.facts import tls_versions
from hikkoshi.region.elb.meter import LOG_FORMAT
from hikkoshi.region.elb.model import Holdings, Listener, LoadBalancer
from hikkoshi.region.elb.routing import lines_of

CONNECT_TIMEOUT_S = 10
"""AWS: a target has 10 s to accept a connection, then the load balancer answers 504."""


def frontend(holdings: Holdings, arn: str) -> str:
    listener = holdings.listeners[arn]
    balancer = holdings.load_balancers[listener.load_balancer_arn]
    idle = balancer.attributes["idle_timeout.timeout_seconds"]
    keep_alive = balancer.attributes["client_keep_alive.seconds"]
    lines = [
        f"frontend {listener.frontend}",
        f"  bind fd@{listener.door_fd}{tls_of(listener, balancer)}",
        f"  bind fd@{listener.inside_fd}{tls_of(listener, balancer)}",
        # A stopping process closes no kept connection by itself, since a request might just be on
        # its way: the client is told to close with its next answer.
        "  option idle-close-on-response",
        f"  timeout client {idle}s",
        f"  timeout http-keep-alive {min(int(idle), int(keep_alive))}s",
        "  http-request set-var(txn.t0) date(0,ms)",
        *_dropped_headers(balancer),
        *_added_headers(balancer, listener),
        *_logged(balancer, listener),
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
        matches = " ".join(acl_of(condition) for condition in rule.conditions)
        lines.append(
            f"  http-request set-var(txn.rule) int({rule.priority}) "
            f"if !{{ var(txn.rule) -m found }} {matches}"
        )
    lines.append("  http-request set-var(txn.rule) int(0) if !{ var(txn.rule) -m found }")
    for priority, actions in (
        *((rule.priority, rule.actions) for rule in rules),
        (0, listener.default_actions),
    ):
        lines += lines_of(holdings, actions, f"{{ var(txn.rule) -m int {priority} }}", listener)
    # use_backend is looked at after every http-request rule, whatever the order here.
    return "\n".join(lines) + "\n"


def _logged(balancer: LoadBalancer, listener: Listener) -> list[str]:
    if not has_access_logs(balancer):
        return []
    return [
        f'  log-format "{LOGGED_FORMAT} {LOG_FORMAT}"',
        *LOGGED_RULES,
        *(LOGGED_TLS_RULES if listener.certificates else ()),
    ]


def has_access_logs(balancer: LoadBalancer) -> bool:
    return is_on(balancer, "access_logs.s3.enabled")


def tls_of(listener: Listener, balancer: LoadBalancer) -> str:
    if not listener.certificates:
        return ""
    files = " ".join(f"crt {file}" for _, file in listener.certificates)
    offered = "h2,http/1.1" if is_on(balancer, "routing.http2.enabled") else "http/1.1"
    return f" ssl {files} {versions_of(listener)} alpn {offered}"


def versions_of(listener: Listener) -> str:
    """The protocols of the policy; its ciphers are OpenSSL's own."""
    versions = tls_versions(listener.ssl_policy or "") or ("TLSv1.2",)
    named = [each if "." in each else f"{each}.0" for each in versions]
    return f"ssl-min-ver {named[0]} ssl-max-ver {named[-1]}"


def _dropped_headers(balancer: LoadBalancer) -> list[str]:
    """AWS's valid names are `[-A-Za-z0-9]+`."""
    if not is_on(balancer, "routing.http.drop_invalid_header_fields.enabled"):
        return []
    return ["  http-request del-header [^-A-Za-z0-9] -m reg"]


def is_on(balancer: LoadBalancer, attribute: str) -> bool:
    return balancer.attributes.get(attribute) == "true"


def _added_headers(balancer: LoadBalancer, listener: Listener) -> list[str]:
    mode = balancer.attributes["routing.http.xff_header_processing.mode"]
    known = "{ req.fhdr(X-Forwarded-For) -m found }"
    has_port = is_on(balancer, "routing.http.xff_client_port.enabled")
    client = "%[src]:%[src_port]" if has_port else "%[src]"
    tls = []
    if listener.certificates and is_on(
        balancer, "routing.http.x_amzn_tls_version_and_cipher_suite.enabled"
    ):
        tls = [
            "  http-request set-header X-Amzn-Tls-Version %[ssl_fc_protocol]",
            "  http-request set-header X-Amzn-Tls-Cipher-Suite %[ssl_fc_cipher]",
        ]
    lines = {
        "append": [
            "  http-request set-var-fmt(txn.xff) "
            f'"%[req.fhdr(X-Forwarded-For)], {client}" if {known}',
            f'  http-request set-var-fmt(txn.xff) "{client}" if !{known}',
            '  http-request set-header X-Forwarded-For "%[var(txn.xff)]"',
        ],
        "remove": ["  http-request del-header X-Forwarded-For"],
        "preserve": [],
    }[mode]
    return [
        *lines,
        *tls,
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
