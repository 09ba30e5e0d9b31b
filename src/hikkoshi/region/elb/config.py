"""HAProxy's configuration as a pure function of what ELBv2 holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hikkoshi.model.timers import Timers
from hikkoshi.region.elb.answers import page_of, quoted
from hikkoshi.region.elb.backend import backend
from hikkoshi.region.elb.frontend import CONNECT_TIMEOUT_S, frontend, has_access_logs
from hikkoshi.region.elb.meter import LOG_FORMAT
from hikkoshi.region.elb.model import Holdings, LoadBalancer, forwarded
from hikkoshi.region.elb.stream import IDLE_S, stream_backend, stream_defaults, stream_frontend
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
    has_logs = any(has_access_logs(each) for each in holdings.load_balancers.values())
    streams = {arn for arn, each in holdings.listeners.items() if not each.is_http}
    parts = [
        _head(control_socket, state_file, log_fd, has_streams=bool(streams), has_logs=has_logs)
    ]
    used: dict[str, LoadBalancer] = {}
    for arn in sorted(holdings.listeners.keys() - streams):
        listener = holdings.listeners[arn]
        balancer = holdings.load_balancers[listener.load_balancer_arn]
        used |= dict.fromkeys(sorted(holdings.groups_used_by(balancer.arn)), balancer)
        parts.append(frontend(holdings, arn))
    for group_arn, balancer in used.items():
        group = holdings.target_groups[group_arn]
        parts.append(backend(group, balancer, targets.get(group_arn, {}), timers))
    if streams:
        parts.append(stream_defaults(CONNECT_TIMEOUT_S))
        parts += _streams(holdings, sorted(streams), targets, timers)
    return "\n".join(parts)


def _streams(
    holdings: Holdings,
    listeners: Sequence[str],
    targets: Mapping[str, Mapping[str, Target]],
    timers: Timers,
) -> Iterator[str]:
    idle_s: dict[str, int] = {}
    for arn in listeners:
        listener = holdings.listeners[arn]
        yield stream_frontend(holdings, listener)
        for group_arn, _ in forwarded(listener.default_actions):
            own = int(listener.attributes[IDLE_S])
            idle_s[group_arn] = max(own, idle_s.get(group_arn, 0))
    for group_arn, longest in idle_s.items():
        group = holdings.target_groups[group_arn]
        yield stream_backend(group, longest, targets.get(group_arn, {}), timers)


def _head(
    control_socket: Path, state_file: Path, log_fd: int, *, has_streams: bool, has_logs: bool
) -> str:
    # A request is over after a while; a connection that is passed on may go on for as long as it
    # likes, whatever is changed meanwhile.
    log_length = 800 if not has_logs else 4000
    hard_stop = "" if has_streams else "  hard-stop-after 75s\n"
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
{hard_stop}  server-state-file {state_file}
  log fd@{log_fd} len {log_length} format raw local0 info

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
