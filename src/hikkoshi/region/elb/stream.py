"""A network load balancer's listeners and target groups: HAProxy passes connections on as they are.

HAProxy accepts a connection and then makes one of its own to the target, where AWS forwards
packets: a target sees the load balancer's address (preserve_client_ip is not done), and a client
whose target refuses sees its connection accepted and closed, not refused.
"""

from __future__ import annotations

from collections.abc import Mapping

from hikkoshi.model.timers import Timers
from hikkoshi.region.elb.backend import checked_servers
from hikkoshi.region.elb.frontend import versions_of
from hikkoshi.region.elb.model import Holdings, Listener, TargetGroup, forwarded
from hikkoshi.region.elb.target import Target

FLOW_FORMAT = "flow %f %b %ts"
"""A line when a connection is over: frontend, backend, how it ended."""

IDLE_S = "tcp.idle_timeout.seconds"

_ALPN = {
    "HTTP1Only": "http/1.1,http/1.0",
    "HTTP2Only": "h2",
    "HTTP2Optional": "http/1.1,http/1.0,h2",
    "HTTP2Preferred": "h2,http/1.1,http/1.0",
}
ALPN_POLICIES = ("None", *_ALPN)


def stream_defaults(connect_timeout_s: int) -> str:
    return f"""defaults
  mode tcp
  load-server-state-from-file global
  log global
  log-format "{FLOW_FORMAT}"
  # Without it a connection's bytes are counted when it is over.
  option contstats
  retries 0
  timeout connect {connect_timeout_s}s
"""


def stream_frontend(holdings: Holdings, listener: Listener) -> str:
    lines = [
        f"frontend {listener.frontend}",
        f"  bind fd@{listener.door_fd}{_tls_of(listener)}",
        f"  bind fd@{listener.inside_fd}{_tls_of(listener)}",
        f"  timeout client {listener.attributes[IDLE_S]}s",
    ]
    groups = [
        (holdings.target_groups[arn].backend, weight)
        for arn, weight in forwarded(listener.default_actions)
        if weight > 0
    ]
    total, below = sum(weight for _, weight in groups), 0
    if len(groups) > 1:
        lines.append(f"  tcp-request session set-var(sess.die) rand({total})")
    for backend, weight in groups[:-1]:
        below += weight
        lines.append(f"  use_backend {backend} if {{ var(sess.die) -m int lt {below} }}")
    # With no weight anywhere there is nowhere to go: the connection is closed.
    lines += [f"  default_backend {backend}" for backend, _ in groups[-1:]]
    return "\n".join(lines) + "\n"


def _tls_of(listener: Listener) -> str:
    if not listener.certificates:
        return ""
    files = " ".join(f"crt {file}" for _, file in listener.certificates)
    offered = _ALPN.get(listener.alpn_policy or "None")
    alpn = f" alpn {offered}" if offered else ""
    return f" ssl {files} {versions_of(listener)}{alpn}"


def stream_backend(
    group: TargetGroup, idle_s: int, targets: Mapping[str, Target], timers: Timers
) -> str:
    """idle_s: the longest idle time-out of the listeners that lead here; each listener's own is
    kept by the client's side."""
    lines = [
        f"backend {group.backend}",
        f"  id {group.number}",
        *(
            # A server may only come while HAProxy runs if the hash is consistent.
            ("  balance source", "  hash-type consistent")
            if group.is_sticky
            else ("  balance roundrobin",)
        ),
        f"  timeout server {idle_s}s",
        # Fail open: with no healthy target, all of them get connections.
        "  option allbackups",
    ]
    return "\n".join([*lines, *checked_servers(group, targets, timers)]) + "\n"
