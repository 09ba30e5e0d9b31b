"""The image of a program that a distribution's package brought, from the host's own disk: what is
installed there goes in, with its configuration, its users and the places that it writes to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from hikkoshi.model.survey import Configuration, Host, Unit
from hikkoshi.plan.application import Chosen
from hikkoshi.plan.fitting import Fitted

_USER_ID = "10001"
# What systemd makes below which directory. Source: systemd.exec(5).
_MADE = {"RuntimeDirectory": "/run", "StateDirectory": "/var/lib", "CacheDirectory": "/var/cache",
         "LogsDirectory": "/var/log", "ConfigurationDirectory": "/etc"}  # fmt: skip
_STATE = re.compile(r"(?<![\w/])/(?:var/(?:lib|log|cache|spool|run)|run)/[\w./-]+")
_SAFE = re.compile(r"^/[\w./+@:-]+$")


def system_package(chosen: Chosen) -> str | None:
    program = chosen.program
    return (program.package if program else None) or chosen.unit.package


def user_of(chosen: Chosen, host: Host) -> str | None:
    """As the unit has it; a number where nobody on the host has the name. None: root."""
    user = chosen.unit.user
    if user in ("", "root", "0"):
        return None
    return user if user in host.users or user.isdigit() else _USER_ID


def embedded(
    chosen: Chosen, host: Host, fitted: Fitted, own: Sequence[Configuration], root_files: str
) -> dict[str, Any]:
    """`images.NAME.embedded`. root_files: where the plan's own files for the image lie."""
    # The program may be of one package and its unit and configuration of another.
    packages = [system_package(chosen), chosen.unit.package]
    include = [path for path in ("/etc/passwd", "/etc/group") if host.users]
    include += [path for path in chosen.files.named if _SAFE.match(path)]
    named = [c.path for c in own if c.path in chosen.command and _SAFE.match(c.path)]
    made: dict[str, Any] = {
        "from": "scratch",
        "root": host.system.tree,
        "system_packages": list(dict.fromkeys(name for name in packages if name)),
        "include": list(dict.fromkeys([*include, *named])),
        "directories": writable(chosen.unit, chosen.command, own),
    }
    if fitted.files:
        made["copy"] = {f"{root_files}{path}": path for path in fitted.files}
    # An image of hikkoshi's has a user of its own unless told otherwise.
    made["user"] = user_of(chosen, host) or "0:0"
    if chosen.unit.working_directory:
        made["working_directory"] = chosen.unit.working_directory
    made["command"] = fitted.command
    return {key: value for key, value in made.items() if value != []}


def writable(unit: Unit, command: Sequence[str], own: Sequence[Configuration]) -> list[str]:
    """Directories that systemd makes for the unit, that it makes before its start, and that its
    options and configuration name."""
    found = [
        f"{_MADE[key]}/{name}"
        for key, names in unit.directories.items()
        for name in names.split()
        if key in _MADE
    ]
    for words in unit.before_start:
        if words and PurePosixPath(words[0]).name in ("mkdir", "install"):
            found += [word for word in words[1:] if word.startswith("/")]
    texts = [" ".join(command), " ".join(unit.environment.values())]
    texts += [re.sub(r"^\s*[#;].*$", "", c.text, flags=re.MULTILINE) for c in own]
    for text in texts:
        for word in _STATE.findall(text):
            path = PurePosixPath(word)
            found.append(str(path.parent if path.suffix and not word.endswith("/") else path))
    cleaned = (re.sub(r"^/var/run(?=/|$)", "/run", path) for path in found)
    tops = {"/run", "/var/lib", "/var/log", "/var/cache", "/var/spool", "/etc"}
    return sorted({p for p in cleaned if p not in tops and _SAFE.match(p) and ".." not in p})


def told(chosen: Chosen, host: Host) -> list[str]:
    """What a reader must know of how it runs."""
    lines = [
        f"its image is made of what is installed on the disk at `{host.system.tree}`, with its "
        "configuration as it is there, and whatever is secret in it"
    ]
    user = user_of(chosen, host)
    if user is None:
        lines.append("it starts as root, as its unit does; whether it becomes another user is its "
                     "own configuration's affair")  # fmt: skip
    elif user != chosen.unit.user:
        lines.append(f"no user `{chosen.unit.user}` is in /etc/passwd: it runs as number {user}")
    if user is not None and chosen.port < 1024:
        lines.append(
            f"it listens on port {chosen.port} without being root (on the host by a capability): "
            "give the container `systemControls` with net.ipv4.ip_unprivileged_port_start=0 in "
            "AWS; a local region lets every user do so, and takes no systemControls"
        )
    return lines
