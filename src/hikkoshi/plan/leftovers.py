"""What else the host has: what becomes of each, and what is lost unless somebody decides."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from hikkoshi.model.survey import Host, Unit
from hikkoshi.plan.application import Chosen
from hikkoshi.plan.front import Front

_AGENTS = {
    "td-agent": "the log router's container (Fluent Bit) does its work",
    "fluentd": "the log router's container (Fluent Bit) does its work",
    "fluent-bit": "the log router's container (Fluent Bit) does its work",
    "rsyslog": "a task has no syslog; stdout and the log router take its place",
    "amazon-cloudwatch-agent": "the log router and Container Insights do its work",
    "awslogsd": "the log router does its work",
    "xray": "the trace collector's container does its work",
    "aws-xray-daemon": "the trace collector's container does its work",
    "aws-otel-collector": "the trace collector's container does its work",
    "codedeploy-agent": "a deploy is a new task definition; the agent stays behind",
}
_MANAGED = {
    "nginx": "the load balancer does TLS and routing; keep it as a sidecar only for what its "
             "configuration does besides (rewrites, caching, static files): where it hands "
             "requests to the application, the answer `nginx: sidecar` does so",
    "apache2": "the load balancer does TLS and routing; as for nginx, with `apache: sidecar`",
    "httpd": "the load balancer does TLS and routing; as for nginx, with `apache: sidecar`",
    "redis-server": "a cache of its own: ElastiCache (tasks come and go, and each would have one)",
    "redis": "a cache of its own: ElastiCache (tasks come and go, and each would have one)",
    "memcached": "a cache of its own: ElastiCache",
    "mysql": "a database: Aurora", "mariadb": "a database: Aurora",
    "postgresql": "a database: Aurora",
    "rabbitmq-server": "a broker: Amazon MQ", "mosquitto": "a broker: AWS IoT Core or a service "
    "of its own", "elasticsearch": "a search service: OpenSearch Service",
    "postfix": "mail: Amazon SES", "exim4": "mail: Amazon SES", "sendmail": "mail: Amazon SES",
    "memcached.service": "ElastiCache",
    "haproxy": "the load balancer does its work; as for nginx, with `haproxy: sidecar`",
    "varnish": "CloudFront, or a service of its own",
}  # fmt: skip

_AT_BOOT = (
    "a task has no boot: if it goes on running it is a service or a container of its own, if it is "
    "done once a step of the image's build or an entrypoint"
)
_SCHEDULE = "an EventBridge schedule that runs the task with this command"


@dataclass(slots=True)
class Leftovers:
    moves: list[str] = field(default_factory=list)
    stays: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    decide: list[str] = field(default_factory=list)


def find_leftovers(
    host: Host,
    chosen: Chosen,
    others: Sequence[Unit],
    told: Sequence[str] = (),
    undone: Sequence[str] = (),
    front: Front | None = None,
) -> Leftovers:
    """others: services that are enabled beside the application. told: of its image; undone: what
    a person must do there. front: the web server before it, if it is kept."""
    found = Leftovers()
    found.moves += told
    found.decide += undone
    if front is not None:
        found.moves.append(
            f"`{front.unit.name}`: a container of the task, to which the target group sends at "
            f"port {front.port}; its configuration lies under {front.name}/"
        )
        if front.shared is not None:
            found.moves.append(
                f"the Unix socket {front.shared.now} is in a volume that both containers have at "
                f"{front.shared.directory}"
            )
        found.moves += front.told
        found.lost += [f"`{path}` was not copied: {why}" for path, why in front.left_out.items()]
    _unlike_a_container(host, chosen, found, is_fronted=front is not None)
    if chosen.speaks in ("fastcgi", "uwsgi") and front is None and chosen.bound:
        found.decide.append(
            f"it speaks {chosen.speaks} ({chosen.bound.where}): no load balancer does. Keep a web "
            "server before it in the task, or give it one; without, its service is behind none"
        )
    elif not chosen.speaks_http:
        found.decide.append(
            f"port {chosen.port} speaks no HTTP: an application load balancer cannot carry it. Its "
            "service is behind none; give it a network load balancer (a TCP target group), or "
            "Service Connect. A local region has no network load balancer: not implemented"
        )
    for unit in others:
        name = unit.name.removesuffix(".service")
        base = name.partition("@")[0]
        if front is not None and unit.name == front.unit.name:
            continue
        if base in _AGENTS:
            found.stays.append(f"`{unit.name}`: {_AGENTS[base]}")
        elif base in _MANAGED:
            found.decide.append(f"`{unit.name}`: {_MANAGED[base]}")
        else:
            found.decide.append(
                f"`{unit.name}` ({unit.description or 'no description'}): a service of its "
                "own? plan it with `application` in the answers"
            )
    _scheduled(host, chosen, found)
    for place in host.data:
        size = f"{place.files} files, {place.size / 1e6:.1f} MB, last written {_ago(place.newest)}"
        cure = {
            "sessions": "keep sessions in a cache (ElastiCache) or the database",
            "uploads": "keep uploads in S3, or mount EFS there",
            "database": "a database file: Aurora, or EFS if it must stay a file",
            "cache": "a cache: nothing is lost but time",
        }.get(place.kind, "S3 or EFS, if it is needed")
        found.lost.append(f"`{place.path}` ({place.kind}; {size}): {cure}")
    if host.swap_mib:
        found.lost.append(
            f"{host.swap_mib} MiB of swap: a task has none; what does not fit into its memory is "
            "killed"
        )
    for mount in host.mounts:
        if mount.type.startswith("nfs") or mount.device.startswith("fs-"):
            found.decide.append(f"`{mount.path}` ({mount.device}): mount it as an EFS volume")
    for certificate in host.certificates:
        end = time.strftime("%Y-%m-%d", time.gmtime(certificate.not_after))
        names = ", ".join(certificate.names[:5]) or certificate.subject
        found.decide.append(f"certificate `{certificate.path}` ({names}, until {end}): the load "
                            "balancer needs it from ACM")  # fmt: skip
    return found


def _unlike_a_container(host: Host, chosen: Chosen, found: Leftovers, *, is_fronted: bool) -> None:
    unit = chosen.unit
    is_nginx = bool(chosen.command) and chosen.command[0].endswith("/nginx")
    if unit.type == "forking" and not is_nginx:
        found.decide.append(
            f"`{unit.name}` is Type=forking: the program puts itself into the background, and its "
            "container would end at once: find its option to stay in the foreground"
        )
    heard = {s.address for s in host.listeners if s.unit == unit.name and s.port == chosen.port}
    words = set(chosen.command) | {w.partition(":")[0] for w in chosen.command}
    is_changed = any("0.0.0.0" in line or "all addresses" in line for line in found.moves)
    # Behind nginx in the same task the loopback is where it belongs.
    if (
        not is_changed
        and not chosen.socket
        and not is_fronted
        and (
            (heard and heard <= {"127.0.0.1", "::1"})
            or (not heard and words & {"127.0.0.1", "localhost"})
        )
    ):
        found.decide.append(
            "it listens on the loopback alone: the load balancer cannot reach it in a task: let "
            f"it listen on 0.0.0.0:{chosen.port}"
        )
    for directory in unit.before_start:
        name = directory[0].rpartition("/")[2] if directory else ""
        if name in ("mkdir", "chown", "chmod", "install") or {"-t", "-tt"} & set(directory):
            continue  # The image has the directories; a test of the configuration starts nothing.
        found.decide.append(f"before it starts, the unit runs `{' '.join(directory)}`: an "
                            "entrypoint, or a step of the image's build")  # fmt: skip


def _scheduled(host: Host, chosen: Chosen, found: Leftovers) -> None:
    timers = {u.starts: u for u in host.units if u.schedule and u.is_enabled and u.package is None}
    for starts, timer in timers.items():
        when = ", ".join(timer.schedule)
        found.decide.append(f"timer `{timer.name}` ({when}) starts `{starts}`: {_SCHEDULE}")
    for job in host.cron:
        is_of_system = job.package is not None or re.search(
            r"run-parts|/usr/lib|anacron|e2scrub|logrotate|/usr/sbin/", job.command)  # fmt: skip
        if not is_of_system:
            # cron's @reboot starts what is to run on, or what is to be done once.
            cure = _SCHEDULE if job.schedule != "@reboot" else _AT_BOOT
            found.decide.append(
                f"cron `{job.command}` ({job.schedule}, as {job.user}; {job.where}): {cure}"
            )


def _ago(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
