"""A program that listens on a Unix socket, and not on a port: where that is said, and how it is
told to listen in a task. Pure. The options are those of gunicorn's, uvicorn's, hypercorn's,
daphne's, puma's, uWSGI's and PHP-FPM's own documentation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from hikkoshi.model.survey import Configuration, Host, Unit
from hikkoshi.plan.front_server import Shared, normal, real

_FLAGS = ("--bind", "-b", "--uds", "-u", "--unix-socket", "--socket", "-s", "--http-socket",
          "--uwsgi-socket", "--fastcgi-socket", "--listen", "-l", "--sock", "-S")  # fmt: skip
_UWSGI = {"socket": "uwsgi", "uwsgi-socket": "uwsgi", "http-socket": "http", "http": "http",
          "fastcgi-socket": "fastcgi"}  # fmt: skip
_BOUND = re.compile(r"^\s*bind\s*=?\s*[\[\"'( ]*(unix:[^\"'\s,\])]+)", re.MULTILINE)
_FPM_LISTEN = re.compile(r"^\s*listen\s*=\s*(\S+)", re.MULTILINE)
_FPM = re.compile(r"^php(?:[\d.]+)?-fpm(?:[\d.]+)?$")


@dataclass(frozen=True, slots=True)
class Bound:
    """path: of the socket, or "" where it is a port. where: who says so. is_handed: systemd opens
    it and hands it over (socket activation)."""

    path: str
    port: int | None
    speaks: str
    where: str
    is_handed: bool = False


@dataclass(slots=True)
class Rebound:
    """told: what is otherwise than on the host. undone: what hikkoshi knows no way to do."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)


def find_bound(host: Host, unit: Unit, command: Sequence[str]) -> Bound | None:
    """None: it listens on a port, or nobody says where. Ports of FastCGI and uWSGI are told."""
    name = program(command)
    if name == "php-fpm":
        return _of_php_fpm(host, unit)
    said = _of_command(command, name) or _of_configurations(host, command, name)
    if said is None:
        for variable, value in unit.environment.items():
            found = re.search(r"unix:/*(/[^\s\"',]+)", value)
            if found:
                return Bound(real(found[1]), None, "http", f"{variable} of its environment")
    return said or _of_socket_unit(host, unit)


def program(command: Sequence[str]) -> str:
    """gunicorn, uvicorn, puma …, also behind `python3 -m` or `bundle exec`; else the first word."""
    names = [PurePosixPath(word).name for word in command[:5]]
    if names and _FPM.match(names[0]):
        return "php-fpm"
    known = next((n for n in names if n in (*_BIND, "uwsgi", "uwsgi_python3")), None)
    return (known or (names[0] if names else "")).partition("_")[0]


def _of_command(command: Sequence[str], name: str) -> Bound | None:
    for index, word in enumerate(command):
        flag, equals, value = word.partition("=")
        if flag not in _FLAGS:
            continue
        value = value if equals else (command[index + 1] if index + 1 < len(command) else "")
        address = normal(value)
        speaks = "http"
        if name == "uwsgi":
            speaks = "uwsgi" if flag == "-s" else _UWSGI.get(flag.lstrip("-"), "http")
        if address.startswith("/"):
            return Bound(address, None, speaks, f"its command line says {flag} {value}")
        port = re.search(r":(\d{2,5})$", value)
        if port and speaks != "http":
            return Bound("", int(port[1]), speaks, f"its command line says {flag} {value}")
    return None


def _of_configurations(host: Host, command: Sequence[str], name: str) -> Bound | None:
    named = {value for word in command for value in (word, word.partition("=")[2]) if value}
    for c in host.configurations:
        is_named = any(c.path == n or ("/" not in n and c.path.endswith(f"/{n}")) for n in named)
        if not is_named or c.kind not in ("program", "uwsgi"):
            continue
        if name == "uwsgi":
            found = _of_uwsgi(c)
            if found is not None:
                return found
        bound = _BOUND.search(c.text)
        if bound and name != "uwsgi":
            return Bound(normal(bound[1]), None, "http", f"{c.path} says `{bound[0].strip()}`")
    return None


def _of_uwsgi(configuration: Configuration) -> Bound | None:
    for key, value in re.findall(r"^\s*([\w-]+)\s*=\s*(\S+)", configuration.text, re.MULTILINE):
        port = re.search(r":(\d{2,5})$", value)
        if key in _UWSGI and (normal(value).startswith("/") or (port and _UWSGI[key] != "http")):
            path = normal(value) if normal(value).startswith("/") else ""
            number = int(port[1]) if port and not path else None
            return Bound(path, number, _UWSGI[key], f"{configuration.path} says `{key} = {value}`")
    return None


def _of_php_fpm(host: Host, unit: Unit) -> Bound:
    version = re.search(r"[\d.]+", unit.name.removesuffix(".service"))
    place = f"/etc/php/{version[0].strip('.')}/fpm/pool.d/" if version else "/etc/php-fpm.d/"
    for c in host.configurations:
        listen = _FPM_LISTEN.search(c.text) if c.path.startswith(place) else None
        if listen:
            path = real(listen[1]) if listen[1].startswith("/") else ""
            port = re.search(r"(\d{2,5})$", listen[1])
            number = int(port[1]) if port and not path else None
            return Bound(path, number, "fastcgi", f"{c.path} says `listen = {listen[1]}`")
    return Bound("", 9000, "fastcgi", "PHP-FPM's usual port; its pool was not read")


def _of_socket_unit(host: Host, unit: Unit) -> Bound | None:
    for other in host.units:
        if other.name.endswith(".socket") and other.starts == unit.name:
            for address in other.listens:
                if address.startswith("/"):
                    words = f"{other.name} listens on {address} and hands it over"
                    return Bound(real(address), None, "http", words, is_handed=True)
    return None


# -- how it is told --------------------------------------------------------------------------------

# flag, its short form, a socket's address, a port's.
_BIND: Mapping[str, tuple[str, str, str, str]] = {
    "gunicorn": ("--bind", "-b", "unix:{}", "0.0.0.0:{}"),
    "hypercorn": ("--bind", "-b", "unix:{}", "0.0.0.0:{}"),
    "puma": ("--bind", "-b", "unix://{}", "tcp://0.0.0.0:{}"),
    "uvicorn": ("--uds", "", "{}", ""),
    "daphne": ("-u", "", "{}", ""),
}
_BY_PORT = {"uvicorn": ("--host", "0.0.0.0", "--port"), "daphne": ("-b", "0.0.0.0", "-p")}


def rebind(
    command: Sequence[str],
    environment: Mapping[str, str],
    bound: Bound,
    port: int,
    shared: Shared | None,
) -> Rebound:
    """shared: the web server before it is kept, and the socket is between them; None: it is to
    listen on the port."""
    made = Rebound(list(command))
    name = program(command)
    if shared is None and bound.path and bound.speaks in ("http", "uwsgi"):
        _to_port(made, name, bound, port)
    elif shared is not None and (shared.is_moved or bound.is_handed):
        _to_socket(made, name, bound, shared, environment)
    return made


def _to_port(made: Rebound, name: str, bound: Bound, port: int) -> None:
    if name == "uwsgi":
        made.command += ["--http-socket", f"0.0.0.0:{port}"]
        words = f"--http-socket 0.0.0.0:{port}"
    elif name in _BY_PORT:
        _drop(made.command, _BIND[name][:1])
        made.command += [*_BY_PORT[name], str(port)]
        words = " ".join([*_BY_PORT[name], str(port)])
    elif name in _BIND:
        flag, short, _, by_port = _BIND[name]
        _drop(made.command, (flag, short))
        made.command += [flag, by_port.format(port)]
        words = f"{flag} {by_port.format(port)}"
    else:
        made.undone.append(
            f"it listens on the Unix socket {bound.path} ({bound.where}), where no load balancer "
            f"reaches it, and hikkoshi knows no option of `{name}` for it: let it listen on "
            f"0.0.0.0:{port}, or keep the web server before it (`sidecar`)"
        )
        return
    made.told.append(f"it listened on the Unix socket {bound.path} ({bound.where}): in a task it "
                     f"is started with `{words}`")  # fmt: skip


def _to_socket(
    made: Rebound, name: str, bound: Bound, shared: Shared, environment: Mapping[str, str]
) -> None:
    before = list(made.command)
    if name in _BIND:
        flag, short, by_socket, _ = _BIND[name]
        _drop(made.command, (flag, short))
        made.command += [flag, by_socket.format(shared.now)]
    elif bound.is_handed:
        made.undone.append(
            f"{bound.where}: nobody does so in a task, and hikkoshi knows no option of `{name}` to "
            f"open {shared.now} itself"
        )
        return
    else:
        made.command = [shared.in_text(word) for word in made.command]
        made.environment = {
            key: shared.in_text(value)
            for key, value in environment.items()
            if shared.in_text(value) != value
        }
    if made.command == before and not made.environment:
        made.undone.append(
            f"the socket {shared.was} ({bound.where}) cannot be shared where it is, straight in a "
            f"directory of the system: let it be {shared.now}, as the web server's configuration "
            "says now"
        )
        return
    made.told.append(f"its socket is {shared.now} in a task ({shared.was} on the host)"
                     if shared.is_moved else
                     f"it opens {shared.now} itself: on the host systemd did")  # fmt: skip


def _drop(command: list[str], flags: Iterable[str]) -> None:
    """The options that name a Unix socket go; other addresses that it listens on stay."""
    index = 1
    while index < len(command):
        flag, equals, value = command[index].partition("=")
        following = command[index + 1] if index + 1 < len(command) else ""
        if flag in flags and flag and normal(value if equals else following).startswith("/"):
            del command[index : index + (1 if equals else 2)]
        else:
            index += 1
