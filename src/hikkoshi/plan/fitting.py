"""What a packaged program must be told to serve from a container: pure.

On its host it may listen on the loopback alone, put itself into the background, or be started by a
wrapper of systemd's. Where the program has an option or a variable for it, that is used and its own
configuration stays as it is; where it has none, a file is laid beside; the rest is only told. The
options are those of each program's own manual page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from hikkoshi.model.survey import Configuration, Host, Unit

# What speaks no HTTP on its usual port.
NO_HTTP = frozenset({
    "redis-server", "memcached", "mosquitto", "nats-server", "pgbouncer", "beanstalkd", "stunnel4",
    "dnsmasq", "unbound", "slapd", "vsftpd", "rabbitmq-server", "znc", "postgres", "mysqld",
})  # fmt: skip
_LOOPBACK = re.compile(r"(?<![\w.])(?:127\.0\.0\.1|localhost|\[?::1\]?)(?![\w.])")
_LISTENS = re.compile(
    r"^\s*(?:-l|bind|bind-address|host|listen|listen_addr(?:ess)?(?:es)?|listener|interface|addr|"
    r"address|server\.bind|http_addr|bind_addr|bind_address|net|ListenAddress|Listen)\b[\s=:]*(.*)$",
    re.IGNORECASE,
)
_PORT = re.compile(
    r"^\s*(?:port|listen_port|server\.port|http_port|bind_port|listen|listener|Listen)\b[\s=:]*"
    r"(?:[\w.\[\]:*]*:)?(\d{2,5})\b(?!\.)",
    re.IGNORECASE,
)
_COMMENT = ("#", ";", "//", "!")
_OWN_KINDS = ("program", "nginx", "haproxy", "php-fpm", "uwsgi")


@dataclass(slots=True)
class Fitted:
    """files: path in the image → text, laid beside the program's own configuration. told: what is
    otherwise than on the host, one sentence each."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bound:
    """A line of a configuration by which a program listens on the loopback alone."""

    where: str
    text: str


def fit(
    command: Sequence[str],
    environment: Mapping[str, str],
    configurations: Sequence[Configuration],
    port: int,
) -> Fitted:
    """configurations: the program's own."""
    fitted = Fitted(list(command))
    name = PurePosixPath(command[0]).name if command else ""
    bound = loopback_lines(configurations)
    rule = _php_fpm if re.match(r"^php[\d.]*-fpm[\d.]*$", name) else _RULES.get(name)
    if rule is not None:
        rule(fitted, configurations, bool(bound), port)
    _open_words(fitted)
    remaining = () if fitted.told or rule is not None else bound
    for line in remaining:
        fitted.told.append(
            f"{line.where} says `{line.text}`: it listens on the loopback alone, where no load "
            "balancer reaches a task, and hikkoshi knows no option of this program for it: change "
            "that line in the image"
        )
    return fitted


def own_configurations(host: Host, unit: Unit, command: Sequence[str]) -> list[Configuration]:
    """Those that it is started with, or that lie where its names say."""
    names = {unit.name.removesuffix(".service"), unit.package or ""}
    names.add(PurePosixPath(command[0]).name if command else "")
    names |= {name.removesuffix("-server").rstrip("0123456789") for name in names}
    tops = tuple(f"/etc/{name}{end}" for name in names if name for end in ("/", ".conf", ".d/"))
    version = re.match(r"^php([\d.]+)-fpm\.service$", unit.name)
    tops += (f"/etc/php/{version[1]}/fpm/",) if version else ()
    return [
        c for c in host.configurations
        if c.path in command or (c.path.startswith(tops) and c.kind in _OWN_KINDS)
    ]  # fmt: skip


def loopback_lines(configurations: Sequence[Configuration]) -> tuple[Bound, ...]:
    """By file and line. One that names another address besides the loopback is none."""
    found = []
    for configuration in configurations:
        for number, line in enumerate(configuration.text.splitlines(), 1):
            match = None if line.strip().startswith(_COMMENT) else _LISTENS.match(line)
            if match is None or not _LOOPBACK.search(match[1]):
                continue
            rest = _LOOPBACK.sub("", match[1])
            if not re.search(r"\d+\.\d+\.\d+\.\d+|\*|::(?!\d)", rest):
                found.append(Bound(f"{configuration.path}:{number}", " ".join(line.split())[:80]))
    return tuple(found)


def ports_said(configurations: Sequence[Configuration]) -> tuple[tuple[int, str], ...]:
    """(port, where it is said), in the order of the files."""
    found = []
    for configuration in configurations:
        for number, line in enumerate(configuration.text.splitlines(), 1):
            match = None if line.strip().startswith(_COMMENT) else _PORT.match(line)
            if match and 0 < int(match[1]) < 65536:
                words = " ".join(line.split())[:60]
                found.append((int(match[1]), f"{configuration.path}:{number} says `{words}`"))
    return tuple(found)


def _open_words(fitted: Fitted) -> None:
    """A loopback address among the command's words, where an address to listen on is given."""
    for index, word in enumerate(fitted.command[1:], 1):
        before = fitted.command[index - 1]
        is_value = re.match(r"^--?(?:l|a|b|addr|address|bind|host|listen)\w*$", before)
        own = re.match(r"^--?(?:[\w.-]*(?:listen|bind|addr|host)[\w.-]*)=", word)
        if (is_value or own) and _LOOPBACK.search(word):
            fitted.command[index] = _LOOPBACK.sub("0.0.0.0", word)
            fitted.told.append(f"`{word}` on its command line is `{fitted.command[index]}`: no "
                               "load balancer reaches a loopback address")  # fmt: skip


# -- by program ----------------------------------------------------------------------------------


def _redis(fitted: Fitted, own: Sequence[Configuration], is_bound: bool, port: int) -> None:
    for index, word in enumerate(fitted.command[:-1]):
        if word == "--supervised":
            fitted.command[index + 1] = "no"
    if is_bound:
        fitted.command += ["--bind", "*", "-::*", "--protected-mode", "no"]
        fitted.told.append(
            "redis listens on all addresses and without its protected mode (`--bind * -::* "
            "--protected-mode no`), which would refuse every other host: let the security group "
            "admit its clients alone, or set `requirepass`"
        )


def _memcached(fitted: Fitted, own: Sequence[Configuration], is_bound: bool, port: int) -> None:
    words: list[str] = []
    for configuration in own:
        for line in configuration.text.splitlines():
            plain = line.partition("#")[0].split()
            if plain and plain[0].startswith("-") and plain[0] not in ("-d", "-l", "-P"):
                words += plain
    fitted.told.append(
        "Debian's wrapper for systemd is left out: memcached is started with the options of its "
        "configuration, without `-d` and `-P`, and with `-l 0.0.0.0`"
    )
    fitted.command = ["/usr/bin/memcached", *words, "-l", "0.0.0.0"]


def _nats(fitted: Fitted, own: Sequence[Configuration], is_bound: bool, port: int) -> None:
    if is_bound:
        fitted.command += ["-a", "0.0.0.0"]
        fitted.told.append("`-a 0.0.0.0` overrules the loopback address of its configuration")


def _etcd(fitted: Fitted, own: Sequence[Configuration], is_bound: bool, port: int) -> None:
    fitted.environment = {
        "ETCD_LISTEN_CLIENT_URLS": f"http://0.0.0.0:{port}",
        "ETCD_ADVERTISE_CLIENT_URLS": f"http://127.0.0.1:{port}",
    }
    fitted.told.append(
        "etcd listens on the loopback unless told otherwise: ETCD_LISTEN_CLIENT_URLS is set; tell "
        "its clients' address in ETCD_ADVERTISE_CLIENT_URLS"
    )


def _mosquitto(fitted: Fitted, own: Sequence[Configuration], is_bound: bool, port: int) -> None:
    if any(re.search(r"^\s*listener\s", c.text, re.MULTILINE) for c in own) and not is_bound:
        return
    text = "\n".join(c.text for c in own)
    found = re.search(r"^\s*include_dir\s+(/\S+)", text, re.MULTILINE)
    directory = found[1] if found else None
    if directory is None:
        fitted.told.append("mosquitto without a `listener` serves the loopback alone, and its "
                           "configuration includes no directory: add `listener` to it")  # fmt: skip
        return
    place = f"{directory}/hikkoshi.conf"
    fitted.files[place] = f"listener {port} 0.0.0.0\nallow_anonymous true\n"
    fitted.told.append(
        f"mosquitto without a `listener` serves the loopback alone: {place} opens "
        f"port {port} and, as there, asks for no password: let the security group admit its "
        "clients alone, or set `password_file`"
    )


def _pgbouncer(fitted: Fitted, own: Sequence[Configuration], is_bound: bool, port: int) -> None:
    paths = [word for word in fitted.command if word.endswith(".ini")]
    if not is_bound or not paths:
        return
    place = f"{PurePosixPath(paths[-1]).parent}/hikkoshi.ini"
    fitted.files[place] = f"%include {paths[-1]}\n[pgbouncer]\nlisten_addr = 0.0.0.0\n"
    fitted.command[fitted.command.index(paths[-1])] = place
    fitted.told.append(f"pgbouncer is started with {place}, which includes {paths[-1]} and then "
                       "sets `listen_addr = 0.0.0.0`")  # fmt: skip


def _php_fpm(fitted: Fitted, own: Sequence[Configuration], is_bound: bool, port: int) -> None:
    """As PHP's own image does it. The pool's file keeps its name: sections are joined by it."""
    pool = next((c for c in own if re.search(r"^\s*listen\s*=", c.text, re.MULTILINE)), None)
    name = re.search(r"^\s*\[(?!global\])([\w.-]+)\]", pool.text, re.MULTILINE) if pool else None
    if pool is None or name is None:
        fitted.told.append("its pool was not read: let its logs go to stderr, and set "
                           "`clear_env = no`, without which it sees no variable")  # fmt: skip
        return
    place = f"{PurePosixPath(pool.path).parent}/zz-hikkoshi.conf"
    fitted.files[place] = (
        f"[global]\nerror_log = /proc/self/fd/2\n[{name[1]}]\nclear_env = no\n"
        "catch_workers_output = yes\ndecorate_workers_output = no\n"
    )
    fitted.told.append(f"{place} lets its logs go to stderr, and its scripts see the task's "
                       "variables (`clear_env = no`)")  # fmt: skip


def _nothing(fitted: Fitted, own: Sequence[Configuration], is_bound: bool, port: int) -> None:
    """It listens on all addresses, whatever its configuration says of 127.0.0.1 elsewhere."""


_RULES: Mapping[str, Callable[[Fitted, Sequence[Configuration], bool, int], None]] = {
    "redis-server": _redis,
    "systemd-memcached-wrapper": _memcached,
    "nats-server": _nats,
    "etcd": _etcd,
    "mosquitto": _mosquitto,
    "pgbouncer": _pgbouncer,
    "tinyproxy": _nothing,
}
