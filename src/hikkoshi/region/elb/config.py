"""HAProxy's configuration as a pure function of what ELBv2 holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hikkoshi.model.timers import Timers
from hikkoshi.region.elb.answers import page_of, quoted
from hikkoshi.region.elb.backend import backend
from hikkoshi.region.elb.frontend import CONNECT_TIMEOUT_S, frontend
from hikkoshi.region.elb.meter import LOG_FORMAT
from hikkoshi.region.elb.model import Holdings, LoadBalancer
from hikkoshi.region.elb.target import Target


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
        parts.append(frontend(holdings, arn))
    for group_arn, balancer in used.items():
        group = holdings.target_groups[group_arn]
        parts.append(backend(group, balancer, targets.get(group_arn, {}), timers))
    return "\n".join(parts)


def _head(control_socket: Path, state_file: Path, log_fd: int) -> str:
    pages = "\n".join(
        f'  http-error status {status} content-type "text/html" string {quoted(page_of(shown))} '
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
