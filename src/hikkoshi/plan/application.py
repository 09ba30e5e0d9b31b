"""Which unit is the application, how it is started, where it listens, what says it is alive."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from hikkoshi.base.errors import BadInput
from hikkoshi.model.survey import Application, Host, Program, Survey, Unit
from hikkoshi.plan.account import health_check_path, target_groups
from hikkoshi.plan.choice import Notebook
from hikkoshi.plan.docker_run import DockerRun, read_docker_run
from hikkoshi.plan.fitting import NO_HTTP, own_configurations, ports_said
from hikkoshi.plan.sockets import Bound, find_bound
from hikkoshi.plan.sockets import program as program_name

# Of packaged servers: what they listen on unless told otherwise, by the program's name.
USUAL_PORTS: Mapping[str, int] = {
    "nginx": 80, "apache2": 80, "httpd": 80, "haproxy": 80, "varnishd": 6081, "lighttpd": 80,
    "redis-server": 6379, "redis-check-rdb": 6379, "memcached": 11211, "nats-server": 4222,
    "etcd": 2379, "prometheus": 9090, "prometheus-node-exporter": 9100, "mosquitto": 1883,
    "prometheus-alertmanager": 9093, "prometheus-pushgateway": 9091, "pgbouncer": 6432,
    "prometheus-blackbox-exporter": 9115, "grafana-server": 3000, "rabbitmq-server": 5672,
    "gunicorn": 8000, "uvicorn": 8000, "uwsgi": 8000, "puma": 9292, "consul": 8500,
    "influxd": 8086, "beanstalkd": 11300, "caddy": 80, "minio": 9000, "stunnel4": 443,
    "dnsmasq": 53, "squid": 3128, "tinyproxy": 8888, "znc": 6667, "slapd": 389, "vsftpd": 21,
    "tomcat9": 8080, "tomcat10": 8080, "jetty9": 8080, "unbound": 53, "couchdb": 5984,
}  # fmt: skip
# What answers 200 when it is well, where the program's own documentation says so.
USUAL_HEALTH: Mapping[str, str] = {
    "prometheus": "/-/healthy", "prometheus-alertmanager": "/-/healthy",
    "prometheus-pushgateway": "/-/healthy", "prometheus-blackbox-exporter": "/-/healthy",
    "prometheus-node-exporter": "/metrics", "grafana-server": "/api/health", "etcd": "/health",
    "minio": "/minio/health/live", "consul": "/v1/status/leader", "influxd": "/ping",
}  # fmt: skip
_PORT_FLAG = re.compile(
    r"^--?(?:p|port|listen|bind|addr|address|http|web\.listen-address|listen-address|"
    r"Dserver\.port|server\.port|listen-client-urls|http-port|http-address|b)(?:[= ](.*))?$"
)
_HEALTH = re.compile(
    r"^/(?:[\w.-]+/)*(?:health\w*|_health|livez?|readyz?|ready|alive|ping|status|up|heartbeat)$",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_QUOTED_PATH = re.compile(r"\^?(\\?/[\w\\/.-]*)\$?")


@dataclass(frozen=True, slots=True)
class Chosen:
    """command: with its variables expanded, as systemd starts it. health_codes: what the target
    group takes as well. speaks: http, tcp, fastcgi or uwsgi. bound: where it listens, if that is no
    port of HTTP's. container: it is one on the host already; the command is then its image's."""

    name: str
    unit: Unit
    files: Application
    program: Program | None
    command: tuple[str, ...]
    port: int
    health_path: str
    speaks_http: bool = True
    health_codes: str = "200"
    speaks: str = "http"
    bound: Bound | None = None
    container: DockerRun | None = None

    @property
    def socket(self) -> str:
        """The Unix socket that it listens on, or nothing."""
        return self.bound.path if self.bound else ""

    @property
    def packages(self) -> tuple[str, ...]:
        return (self.program.package,) if self.program and self.program.package else ()


def choose_application(survey: Survey, notebook: Notebook) -> Chosen:
    """BadInput if nothing on the host could be it."""
    host = survey.host
    assert host is not None
    unit, files = _unit(host, notebook)
    name = re.sub(r"[^a-z0-9-]", "-", unit.name.removesuffix(".service").lower()).strip("-")
    name = notebook.note("service", name or "application", f"the unit is called {unit.name}")
    command = without_shell(expand(unit))
    run = read_docker_run(command, unit.environment)
    if run is not None:
        unit = replace(unit, environment=run.environment, working_directory="", before_start=())
        command, files = run.rest, Application(unit.name, "")
    program = None if run else _program(host, unit, command)
    bound = _bound(host, unit, command, notebook)
    if run is not None and run.port:
        bound = Bound("", run.port, "http", "its `docker run` publishes that port")
    port = _port(survey, host, unit, command, program, bound, notebook)
    speaks = bound.speaks if bound else "http"
    if not _speaks_http(unit, command, notebook):
        return Chosen(name, unit, files, program, command, port, "", speaks_http=False,
                      speaks="tcp", bound=bound, container=run)  # fmt: skip
    health, codes = _health(survey, host, files, port, command, notebook)
    return Chosen(name, unit, files, program, command, port, health, health_codes=codes,
                  speaks_http=speaks == "http", speaks=speaks, bound=bound,
                  container=run)  # fmt: skip


def _bound(host: Host, unit: Unit, command: tuple[str, ...], notebook: Notebook) -> Bound | None:
    """None where a port is known to be listened on: by the processes, or by an answer."""
    bound = find_bound(host, unit, command)
    heard = any(s.unit == unit.name and s.protocol == "tcp" for s in host.listeners)
    if bound is None or (bound.speaks == "http" and heard):
        return None
    where = f"unix:{bound.path}" if bound.path else f"port {bound.port}"
    notebook.note("listens", f"{where}, {bound.speaks}", bound.where)
    return bound


def _speaks_http(unit: Unit, command: tuple[str, ...], notebook: Notebook) -> bool:
    names = {unit.name.removesuffix(".service"), PurePosixPath(command[0]).name if command else ""}
    found = names & NO_HTTP
    if not found and "protocol" not in notebook.answers:
        return True
    said = notebook.note("protocol", "tcp" if found else "http",
                         f"{', '.join(sorted(found)) or unit.name} speaks no HTTP")  # fmt: skip
    if said not in ("http", "tcp"):
        raise BadInput(f"{said!r} is no protocol", where="answers: protocol", fix="http or tcp")
    return said == "http"


def expand(unit: Unit) -> tuple[str, ...]:
    words: list[str] = []
    for word in unit.commands[0] if unit.commands else ():
        alone = re.fullmatch(r"\$(\w+)", word)
        if alone:
            words += unit.environment.get(alone[1], "").split()
        else:
            words.append(_VARIABLE.sub(lambda m: unit.environment.get(m[1] or m[2], ""), word))
    return tuple(words)


def without_shell(command: tuple[str, ...]) -> tuple[str, ...]:
    """`bash -lc "bundle exec puma"` is started without the shell, which does nothing else there but
    set paths (rbenv, nvm); one with more than words in it is left as it is."""
    is_shell = len(command) >= 3 and PurePosixPath(command[0]).name in ("sh", "bash", "dash")
    if not is_shell or not re.match(r"^-[a-z]*c$", command[-2]):
        return command
    if not re.match(r"^(?:exec\s+)?[\w./@:=+,\s-]+$", command[-1]) or "=" in command[-1].split()[0]:
        return command
    words = command[-1].split()
    return tuple(words[1:] if words[0] == "exec" else words)


def _unit(host: Host, notebook: Notebook) -> tuple[Unit, Application]:
    by_name = {unit.name: unit for unit in host.units}
    found = [(by_name[a.unit], a) for a in host.applications if a.unit in by_name]
    if not found:
        raise BadInput(
            "no unit on the host looks like an application",
            fix="is it enabled? `systemctl enable` it, or survey the host while it runs",
        )
    listening = {listener.unit for listener in host.listeners}
    front = {"nginx.service", "apache2.service", "httpd.service", "haproxy.service"}

    has_others = len(found) > 1  # A list is empty while it is sorted.

    def rank(pair: tuple[Unit, Application]) -> tuple[bool, bool, bool, bool, str]:
        unit, files = pair
        return (
            unit.package is not None,
            not files.root,
            unit.name in front and has_others,
            bool(listening) and unit.name not in listening,
            unit.name,
        )

    found.sort(key=rank)
    names = tuple(unit.name for unit, _ in found)
    best = found[0][0]
    why = "no package of the system owns it" if best.package is None else \
          f"it is what was installed here (package {best.package})"  # fmt: skip
    if len(found) == 1 or rank(found[0])[:4] != rank(found[1])[:4]:
        said = notebook.note("application", best.name, f"{why}, and it is enabled", *best.files)
    else:
        said = notebook.question(
            "application", "Which unit is the application that moves?", best.name, why, *names,
            among=names,
        )  # fmt: skip
    if said not in names:
        raise BadInput(
            f"{said!r} is no unit that could be the application",
            where="answers: application",
            fix=f"one of {', '.join(names)}",
        )
    return next(pair for pair in found if pair[0].name == said)


def _program(host: Host, unit: Unit, command: tuple[str, ...]) -> Program | None:
    """The file that is the program: of `python3 /opt/x.pyz` the second."""
    programs = {program.path: program for program in host.programs}
    for word in command:
        found = programs.get(word) or programs.get(f"{unit.working_directory}/{word}")
        if found is not None and found.kind != "interpreter":
            return found
    return programs.get(command[0]) if command else None


def _port(
    survey: Survey,
    host: Host,
    unit: Unit,
    command: tuple[str, ...],
    program: Program | None,
    bound: Bound | None,
    notebook: Notebook,
) -> int:
    evidence: list[str] = []
    found: list[tuple[int, str]] = []
    if bound is not None and bound.port:
        found.append((bound.port, bound.where))
    elif bound is not None:
        name = program_name(command)
        usual = USUAL_PORTS.get(name, 9000 if bound.speaks == "fastcgi" else 8080)
        why = f"{name}'s usual one" if name in USUAL_PORTS else "the commonest"
        words = f"it listens on the Unix socket {bound.path}; if it is to have a port, {why}"
        found.append((usual, words))
    for listener in host.listeners:
        if listener.unit == unit.name and listener.protocol == "tcp":
            who = f"pid {listener.pid}, " if listener.pid else ""
            found.append((listener.port, f"{unit.name}, {who}listens there"))
    for name, value in unit.environment.items():
        if re.search(r"(?:^|_)PORT$", name) and value.isdigit() and not re.match(
            r"(?i)(?:db|pg|redis|mysql|postgres|smtp|mail|memcache)", name):  # fmt: skip
            found.append((int(value), f"{name}={value} in its environment"))
    found += [(port, f"its command line says {words}") for port, words in _ports_in(command)]
    found += list(_proxied(host))
    found += ports_said(own_configurations(host, unit, command))
    groups = target_groups(survey.account)
    for group in groups:
        if isinstance(group.get("Port"), int) and group.get("TargetType", "instance") == "instance":
            name = group.get("TargetGroupName", "")
            found.append((group["Port"], f"the load balancer's target group {name} sends there"))
    if not found:
        names = [PurePosixPath(command[0]).name] if command else []
        names += [unit.name.removesuffix(".service"), *(p for p in [unit.package] if p)]
        usual_of = next((name for name in names if name in USUAL_PORTS), None)
        if usual_of is not None:
            found.append((USUAL_PORTS[usual_of], f"it is the usual port of {usual_of}"))
    if not found:
        said = notebook.question(
            "port", f"On which port does {unit.name} listen?", "8080",
            "nothing in the survey says; 8080 is the commonest",
        )  # fmt: skip
    else:
        port = found[0][0]
        agreeing = [words for number, words in found if number == port]
        evidence = [f"{number}: {words}" for number, words in found]
        said = notebook.note("port", str(port), "; ".join(agreeing), *evidence)
    if not said.isdigit() or not 0 < int(said) < 65536:
        raise BadInput(f"{said!r} is no port", where="answers: port", fix="1 to 65535")
    return int(said)


def _ports_in(command: tuple[str, ...]) -> list[tuple[int, str]]:
    found = []
    for index, word in enumerate(command):
        match = _PORT_FLAG.match(word)
        if match is None:
            continue
        value = match[1] or (command[index + 1] if index + 1 < len(command) else "")
        number = re.search(r"(?:^|:)(\d{2,5})(?:/|$)", value.strip("\"'"))
        if number and 0 < int(number[1]) < 65536:
            found.append((int(number[1]), word if match[1] else f"{word} {value}"))
    return found


def _proxied(host: Host) -> list[tuple[int, str]]:
    found = []
    for configuration in host.configurations:
        if configuration.kind in ("nginx", "apache", "haproxy"):
            for port in re.findall(
                r"(?:proxy_pass|ProxyPass\s+\S+|server|server\s+[\w.-]+)\s+(?:https?://)?"
                r"(?:127\.0\.0\.1|localhost|\[::1\]):(\d+)", configuration.text,
            ):  # fmt: skip
                found.append((int(port), f"{configuration.path} hands requests to it"))
    return found


def _health(
    survey: Survey,
    host: Host,
    files: Application,
    port: int,
    command: tuple[str, ...],
    notebook: Notebook,
) -> tuple[str, str]:
    """(path, codes). Where nobody knows what a path answers, any answer but a server's error says
    that it is alive: many a sound server answers 403 or 404 to `/`."""
    found: list[tuple[str, str]] = []
    path = health_check_path(survey.account, port)
    if path:
        found.append((path, "the load balancer's target group asks for it today"))
    for log in host.access_logs:
        for checked, status in log.peer_checks.items():
            if status < 400:
                found.append((checked, f"the load balancer got {status} there ({log.path})"))
        for endpoint in log.endpoints:
            ok = sum(n for code, n in endpoint.statuses.items() if code[0] in "23")
            if endpoint.method == "GET" and _HEALTH.match(endpoint.template) and ok:
                found.append((endpoint.template, f"it answered {ok} times in {log.path}"))
    for configuration in host.configurations:
        if configuration.kind in ("fluentd", "nginx"):
            for raw in _QUOTED_PATH.findall(configuration.text):
                plain = raw.replace("\\", "")
                if _HEALTH.match(plain) and plain in (files.paths_in_code or (plain,)):
                    found.append((plain, f"{configuration.path} leaves it out of the logs"))
    found += [(path, f"{files.unit}'s own code has it") for path in files.paths_in_code]
    program = PurePosixPath(command[0]).name if command else ""
    if program in USUAL_HEALTH:
        found.append((USUAL_HEALTH[program], f"{program}'s own documentation names it"))
    if found:
        chosen = found[0][0]
        reasons = list(dict.fromkeys(words for path, words in found if path == chosen))
        said = notebook.note("health_check", chosen, "; ".join(reasons))
        # A program's documentation may mean any success: InfluxDB's /ping answers 204.
        is_documented = chosen == USUAL_HEALTH.get(program)
        return said, "200-399" if said == "/" else "200-299" if is_documented else "200"
    default = _known_good(host)
    said = notebook.question(
        "health_check",
        "Which path answers 200 when the service is well?",
        default or "/",
        f"{default} answered 200 in the access log"
        if default
        else "nothing in the survey says; any answer from 200 to 499 is taken as well",
    )
    is_known = bool(default) or said != "/"
    return said, "200" if is_known else "200-499"


def _known_good(host: Host) -> str:
    for log in host.access_logs:
        for endpoint in log.endpoints:
            if endpoint.method == "GET" and endpoint.statuses.get("200") == endpoint.count:
                return endpoint.examples[0][0]
    return ""
