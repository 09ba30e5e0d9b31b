"""nginx, Apache or HAProxy before the application: left to the load balancer, or kept as a
container of the task.

Pure. Kept, it is the host's own configuration: changed only where a task differs from a host, line
by line, and each change told. It reaches the application over the loopback that the containers of
a task share, or by a Unix socket in a volume; the target group sends to it instead of to the
application.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hikkoshi.model.survey import Host, Unit
from hikkoshi.plan.application import Chosen
from hikkoshi.plan.choice import Notebook
from hikkoshi.plan.environment import MARK
from hikkoshi.plan.front_apache import APACHE
from hikkoshi.plan.front_haproxy import HAPROXY
from hikkoshi.plan.front_nginx import NGINX
from hikkoshi.plan.front_server import Server, Shared, normal, share

SERVERS = (NGINX, APACHE, HAPROXY)
LOAD_BALANCER, SIDECAR = "load balancer", "sidecar"
VOLUME = "socket"
_SAFE = re.compile(r"^/etc/[\w./@+-]+$")


@dataclass(frozen=True, slots=True)
class Front:
    """port: on which it serves the application's requests. files: absolute path → text. where: the
    file that hands requests to the application. content: directories that it serves itself, and
    what of the host's files lies in them. shared: where the application listens on a Unix
    socket."""

    server: Server
    unit: Unit
    port: int
    files: Mapping[str, str]
    where: str
    packages: tuple[str, ...]
    told: tuple[str, ...]
    shared: Shared | None = None
    content: tuple[str, ...] = ()
    copies: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.server.name

    @property
    def places(self) -> list[str]:
        """Directories of content of which there is something to copy."""
        return [
            place for place in self.content
            if re.match(r"^/[\w./+@-]+$", place)
            and any(path.startswith(f"{place}/") for path in self.copies.values())
        ]  # fmt: skip


def plan_front(host: Host, chosen: Chosen, notebook: Notebook) -> Front | None:
    """None: there is none, or the load balancer does its work."""
    front = find_front(host, chosen)
    if front is None:
        return None
    is_http = chosen.speaks == "http"
    said = notebook.question(
        front.name,
        f"{front.name} hands requests to it ({front.where}): who does that in AWS?",
        LOAD_BALANCER if is_http else SIDECAR,
        "the load balancer does TLS and routing; `sidecar` keeps what the configuration does "
        "besides (rewrites, caching, static files, limits)"
        if is_http
        else f"no load balancer speaks {chosen.speaks}",
        front.where,
        among=(LOAD_BALANCER, SIDECAR),
    )
    return front if said == SIDECAR else None


def find_front(host: Host, chosen: Chosen) -> Front | None:
    """One that runs beside the application and hands requests to its port or socket."""
    if chosen.speaks == "tcp":
        return None
    for server in SERVERS:
        for unit in host.units:
            is_up = unit.is_enabled or unit.is_active
            if unit.name in server.units and is_up and unit.name != chosen.unit.name:
                found = _front(host, chosen, server, unit)
                if found is not None:
                    return found
    return None


def _front(host: Host, chosen: Chosen, server: Server, unit: Unit) -> Front | None:
    texts = {c.path: c.text for c in host.configurations
             if c.kind == server.kind and c.is_whole and _SAFE.match(c.path)}  # fmt: skip
    names = frozenset({normal(chosen.socket) if chosen.socket else str(chosen.port)})
    served = server.serves(texts, names) if set(server.mains) & set(texts) else None
    if served is None:
        return None
    shared = share(chosen.socket) if chosen.socket else None
    files: dict[str, str] = {}
    told: list[str] = []
    for path, text in sorted(texts.items()):
        files[path], changes = in_a_task(server, text, path, shared)
        told += changes
    packages = _packages(host, server, unit)
    if not (host.system.tree and packages):
        # The machine that rehearses has them of its own package, and the first site takes all.
        files |= {
            path: "# Not enabled on the host.\n"
            for path in server.default_sites
            if path not in files and path.startswith(f"/etc/{_top(server, texts)}/")
        }
    told += [f"{path}: a secret was left out of it by the survey; put it back by hand"
             for path, text in texts.items() if MARK.search(text)]  # fmt: skip
    told += [f"{served.where}: it hands requests to {other} as well, which is not in the task: "
             "take it out, or plan that service too" for other in served.others]  # fmt: skip
    if any(re.search(r"^[^#\n]*%\{HTTPS\}", text, re.MULTILINE) for text in texts.values()):
        told.append("Apache asks for %{HTTPS}: TLS ends at the load balancer, so it is always off "
                    "in a task: ask for %{HTTP:X-Forwarded-Proto} there")  # fmt: skip
    own = next((a for a in host.applications if a.unit == unit.name), None)
    content = own.named if own else ()
    copies = {
        f"{server.name}{path}": path
        for path in (own.kept if own else ())
        if any(path.startswith(f"{directory}/") for directory in content)
    }
    return Front(server, unit, served.port, files, served.where, packages,
                 tuple(told), shared, content, copies, own.left_out if own else {})  # fmt: skip


def in_a_task(
    server: Server, text: str, path: str, shared: Shared | None = None
) -> tuple[str, list[str]]:
    """The text as it serves in a task, and what was changed, by file and line."""
    lines: list[str] = []
    told: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        changed = server.in_a_task(line)
        if shared is not None and not changed.lstrip().startswith("#"):
            changed = shared.in_text(changed)
        if changed != line:
            told.append(f"{path}:{number}: `{' '.join(line.split())[:80]}` is "
                        f"`{' '.join(changed.split())[:80]}`")  # fmt: skip
        lines.append(changed)
    return "\n".join(lines) + "\n", told


def _top(server: Server, texts: Mapping[str, str]) -> str:
    """`apache2` or `httpd`: the directory below /etc of the first file."""
    return next(main.split("/")[2] for main in server.mains if main in texts)


def _packages(host: Host, server: Server, unit: Unit) -> tuple[str, ...]:
    ends = (f"/{server.package}", f"/{server.rpm}")
    found = [p.package for p in host.programs if p.path.endswith(ends)] + [unit.package]
    return tuple(dict.fromkeys(name for name in found if name))


def dockerfile(front: Front, host: Host) -> str:
    server, system = front.server, host.system
    lines = [f"# Written by hikkoshi plan: {server.name} as it stood before the application."]
    if system.id in ("debian", "ubuntu") and re.match(r"^[\d.]+$", system.version):
        lines += [
            f"FROM {system.id}:{system.version}" + ("-slim" if system.id == "debian" else ""),
            f"RUN apt-get update && apt-get install -y --no-install-recommends {server.package} \\",
            "    && rm -rf /var/lib/apt/lists/*",
        ]
    elif system.id == "amzn" and system.version == "2":
        extras = "amazon-linux-extras" if server is NGINX else "yum"
        name = "nginx1" if server is NGINX else server.rpm
        lines += ["FROM amazonlinux:2", f"RUN {extras} install -y {name} && yum clean all"]
    elif system.id == "amzn" or not server.image:
        lines += ["FROM amazonlinux:2023", f"RUN dnf install -y {server.rpm} && dnf clean all"]
    else:
        lines.append(f"FROM {server.image}")
    if server.replaced:
        lines.append(f"RUN rm -rf {' '.join(server.replaced)}")
    lines.append(f"RUN mkdir -p {' '.join(server.directories)}")
    tops = dict.fromkeys("/".join(path.split("/")[:3]) for path in front.files)
    lines += [f"COPY {top[1:]}/ {top}/" for top in tops]
    lines += [f"COPY {place[1:]}/ {place}/" for place in front.places]
    words = ", ".join(f'"{word}"' for word in server.command(front.files))
    return "\n".join([*lines, f"CMD [{words}]"]) + "\n"


def embedded(front: Front, host: Host) -> dict[str, Any]:
    """`images.NAME.embedded`: of the host's disk where that is here, else this machine's own."""
    server = front.server
    is_here = bool(host.system.tree and front.packages)
    made: dict[str, Any] = {
        "from": "scratch",
        **({"root": host.system.tree} if is_here else {}),
        "system_packages": list(front.packages) if is_here else [server.package],
        "include": ["/etc/passwd", "/etc/group"],
        "directories": list(server.directories),
    }
    copies = {f"{server.name}{path}": path for path in front.files}
    copies |= {f"{server.name}{place}": place for place in front.places}
    # Its master is root, which lets it open port 80; its workers are its `user`.
    return {**made, "copy": copies, "user": "0:0", "command": server.command(front.files)}


def container(front: Front, image: str, application: str, memory_mib: int) -> dict[str, Any]:
    """essential: every request goes through it, so a task without it serves nobody."""
    environment = front.server.environment(front.files)
    made: dict[str, Any] = {
        "name": front.name,
        "image": image,
        "essential": True,
        "memoryReservation": memory_mib,
        "portMappings": [{"containerPort": front.port, "protocol": "tcp"}],
        "environment": [{"name": name, "value": value} for name, value in environment.items()],
        "logConfiguration": {"logDriver": "awsfirelens"},
        "dependsOn": [
            {"containerName": application, "condition": "START"},
            {"containerName": "log-router", "condition": "START"},
        ],
    }
    if front.shared is not None:
        made["mountPoints"] = [mount(front.shared)]
    return made


def mount(shared: Shared) -> dict[str, Any]:
    return {"sourceVolume": VOLUME, "containerPath": shared.directory, "readOnly": False}
