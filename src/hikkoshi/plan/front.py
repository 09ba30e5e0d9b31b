"""nginx before the application: left to the load balancer, or kept as a container of the task.

Pure. Kept, it is the host's own configuration: changed only where a task differs from a host, line
by line, and each change told. It reaches the application over the loopback that the containers of
a task share, and the target group sends to it instead of to the application.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hikkoshi.model.survey import Host, Unit
from hikkoshi.plan.application import Chosen
from hikkoshi.plan.choice import Notebook
from hikkoshi.plan.environment import MARK

NAME = "nginx"
LOAD_BALANCER, SIDECAR = "load balancer", "sidecar"
_MAIN = "/etc/nginx/nginx.conf"
_BLOCK = re.compile(r"\b(server|upstream)\b\s*([\w.-]*)\s*\{")
_COMMENT = re.compile(r"(?:(?<=\s)|^)#.*$", re.MULTILINE)
_LISTEN = re.compile(r"\blisten\s+([^;]+);")
_SAFE = re.compile(r"^/etc/nginx/[\w./@+-]+$")


@dataclass(frozen=True, slots=True)
class Front:
    """port: on which it serves the application's requests. files: absolute path → text. where: the
    file that hands requests to the application."""

    port: int
    files: Mapping[str, str]
    where: str
    packages: tuple[str, ...]
    told: tuple[str, ...]


def plan_front(host: Host, chosen: Chosen, notebook: Notebook) -> Front | None:
    """None: there is none, or the load balancer does its work."""
    front = find_front(host, chosen)
    if front is None:
        return None
    said = notebook.question(
        "nginx",
        f"nginx hands requests to it ({front.where}): who does that in AWS?",
        LOAD_BALANCER,
        "the load balancer does TLS and routing; `sidecar` keeps what the configuration does "
        "besides (rewrites, caching, static files, limits)",
        front.where,
        among=(LOAD_BALANCER, SIDECAR),
    )
    return front if said == SIDECAR else None


def find_front(host: Host, chosen: Chosen) -> Front | None:
    """An nginx that runs beside the application and hands requests to its port."""
    unit = next((u for u in host.units if u.name == "nginx.service"), None)
    if unit is None or not (unit.is_enabled or unit.is_active) or not chosen.speaks_http:
        return None
    texts = {c.path: c.text for c in host.configurations
             if c.kind == "nginx" and c.is_whole and _SAFE.match(c.path)}  # fmt: skip
    if unit.name == chosen.unit.name or _MAIN not in texts:
        return None
    served = _served(texts, chosen.port)
    if served is None:
        return None
    where, port = served
    files: dict[str, str] = {}
    told: list[str] = []
    for path, text in sorted(texts.items()):
        files[path], changes = in_a_task(text, path)
        told += changes
    told += [f"{path}: a secret was left out of it by the survey; put it back by hand"
             for path, text in texts.items() if MARK.search(text)]  # fmt: skip
    return Front(port, files, where, _packages(host, unit), tuple(told))


def _served(texts: Mapping[str, str], port: int) -> tuple[str, int] | None:
    """(the file, the port it listens on) of the server that hands requests to this port."""
    blocks = [(path, *block) for path, text in sorted(texts.items()) for block in _blocks(text)]
    targets = {f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0")}
    names = {
        name
        for _, kind, name, body in blocks
        if kind == "upstream" and targets & set(re.findall(r"\bserver\s+([^\s;]+)", body))
    }
    for path, kind, _, body in blocks:
        passed = re.findall(r"\bproxy_pass\s+https?://([^\s;/$]+)", body)
        if kind == "server" and (targets | names) & set(passed):
            return path, _listens(body)
    return None


def _blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """(`server` or `upstream`, its name, what stands between its braces)."""
    plain = _COMMENT.sub("", text)
    for found in _BLOCK.finditer(plain):
        depth, end = 1, found.end()
        while end < len(plain) and depth:
            depth += {"{": 1, "}": -1}.get(plain[end], 0)
            end += 1
        yield found[1], found[2], plain[found.end() : end - 1]


def _listens(body: str) -> int:
    """nginx's own default is 80. Source: ngx_http_core_module, listen."""
    for value in _LISTEN.findall(body):
        number = re.match(r"(?:[\d.]+:|\*:)?(\d{1,5})(?:\s|$)", value)
        if number:
            return int(number[1])
    return 80


def in_a_task(text: str, path: str) -> tuple[str, list[str]]:
    """The text as it serves in a task, and what was changed: logs go to stdout and stderr, TLS ends
    at the load balancer, and a task is called by IPv4."""
    lines: list[str] = []
    told: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        changed = _line_in_a_task(line)
        if changed != line:
            told.append(f"{path}:{number}: `{' '.join(line.split())[:80]}` is "
                        f"`{' '.join(changed.split())[:80]}`")  # fmt: skip
        lines.append(changed)
    return "\n".join(lines) + "\n", told


def _line_in_a_task(line: str) -> str:
    bare = line.strip()
    if bare.startswith("#"):
        return line
    if re.match(r"(?:ssl_\w+|include\s+\S*(?:ssl|letsencrypt)\S*)\s*[^;]*;", bare):
        return f"# {bare}"
    if re.match(r"listen\s+(?:\[|unix:)", bare):
        return f"# {bare}"
    if bare.startswith("listen"):
        return re.sub(r"\s+(?:ssl|http2|quic|reuseport)\b", "", line)
    line = re.sub(r"\b(access_log\s+)/\S+?(?=[\s;])", r"\1/dev/stdout", line)
    return re.sub(r"\b(error_log\s+)/\S+?(?=[\s;])", r"\1/dev/stderr", line)


def _packages(host: Host, unit: Unit) -> tuple[str, ...]:
    found = [p.package for p in host.programs if p.path.endswith("/nginx")] + [unit.package]
    return tuple(dict.fromkeys(name for name in found if name))


def command(front: Front) -> list[str]:
    """In the background it would end its container at once."""
    is_said = re.search(r"^\s*daemon\s", front.files[_MAIN], re.MULTILINE)
    return ["nginx", *([] if is_said else ["-g", "daemon off;"])]


def dockerfile(front: Front, host: Host) -> str:
    system = host.system
    lines = ["# Written by hikkoshi plan: nginx as it stood before the application."]
    if system.id in ("debian", "ubuntu") and re.match(r"^[\d.]+$", system.version):
        lines += [
            f"FROM {system.id}:{system.version}" + ("-slim" if system.id == "debian" else ""),
            "RUN apt-get update && apt-get install -y --no-install-recommends nginx \\",
            "    && rm -rf /var/lib/apt/lists/*",
        ]
    else:
        lines.append("FROM nginx:stable")
    words = ", ".join(f'"{word}"' for word in command(front))
    return "\n".join([*lines, "COPY etc/nginx/ /etc/nginx/", f"CMD [{words}]"]) + "\n"


def embedded(front: Front, host: Host) -> dict[str, Any]:
    """`images.NAME.embedded`: of the host's disk where that is here, else this machine's nginx."""
    is_here = bool(host.system.tree and front.packages)
    made: dict[str, Any] = {
        "from": "scratch",
        **({"root": host.system.tree} if is_here else {}),
        "system_packages": list(front.packages) or ["nginx"],
        "include": ["/etc/passwd", "/etc/group"],
        "directories": ["/var/log/nginx"],
    }
    copies = {f"{NAME}{path}": path for path in front.files}
    # Its master is root, which lets it open port 80; its workers are its `user`.
    return {**made, "copy": copies, "user": "0:0", "command": command(front)}


def container(front: Front, image: str, application: str, memory_mib: int) -> dict[str, Any]:
    """essential: every request goes through it, so a task without it serves nobody."""
    return {
        "name": NAME,
        "image": image,
        "essential": True,
        "memoryReservation": memory_mib,
        "portMappings": [{"containerPort": front.port, "protocol": "tcp"}],
        "logConfiguration": {"logDriver": "awsfirelens"},
        "dependsOn": [
            {"containerName": application, "condition": "START"},
            {"containerName": "log-router", "condition": "START"},
        ],
    }
