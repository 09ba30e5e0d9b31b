"""A unit that starts a container by `docker run` (or podman's): the image is there already. Pure.
The options are those of `docker run`'s own reference; an option that is not known here ends the
reading, since whether it has a value is not known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

# Without a value.
_ALONE = frozenset({
    "-d", "--detach", "-i", "--interactive", "-t", "--tty", "-it", "-ti", "-dit", "-P",
    "--publish-all", "--rm", "--init", "--privileged", "--read-only", "--no-healthcheck",
    "--oom-kill-disable", "--sig-proxy", "-q", "--quiet", "--replace",
})  # fmt: skip
_WITH_VALUE = re.compile(
    r"^(?:-[aehlmpuvwc]|--(?:env|env-file|publish|volume|mount|name|network|net|user|workdir|hostname|"
    r"memory|memory-swap|cpus|cpu-shares|cpu-period|cpu-quota|cpuset-cpus|entrypoint|restart|label|"
    r"label-file|log-driver|log-opt|ulimit|add-host|dns|dns-search|cap-add|cap-drop|security-opt|"
    r"device|tmpfs|link|ip|expose|health-\w+|stop-signal|stop-timeout|shm-size|sysctl|pull|platform|"
    r"pid|ipc|uts|userns|cgroupns|cgroup-parent|cidfile|volumes-from|group-add|gpus|runtime|"
    r"network-alias|sdnotify|cgroups|conmon-pidfile|pidfile))$"
)


@dataclass(frozen=True, slots=True)
class DockerRun:
    """image: "" where the options could not be read to the end. port: the first published port's
    container side. volumes: as they are given. rest: the command after the image."""

    image: str
    port: int | None
    environment: Mapping[str, str]
    volumes: tuple[str, ...]
    rest: tuple[str, ...]


def read_docker_run(command: Sequence[str], environment: Mapping[str, str]) -> DockerRun | None:
    """None: it is no such command. environment: the unit's, for `-e NAME` alone."""
    if not command or PurePosixPath(command[0]).name not in ("docker", "podman"):
        return None
    words = list(command[1:])
    if words[:1] == ["container"]:
        del words[0]
    if words[:1] != ["run"]:
        return None
    given: dict[str, str] = {}
    volumes: list[str] = []
    ports: list[int] = []
    index = 1
    while index < len(words) and words[index].startswith("-"):
        option, equals, value = words[index].partition("=")
        if option in _ALONE:
            index += 1
            continue
        if not _WITH_VALUE.match(option):
            return DockerRun("", None, given, tuple(volumes), ())
        if not equals:
            value = words[index + 1] if index + 1 < len(words) else ""
        index += 1 if equals else 2
        if option in ("-e", "--env"):
            name, is_given, said = value.partition("=")
            given[name] = said if is_given else environment.get(name, "")
        elif option in ("-v", "--volume", "--mount"):
            volumes.append(value)
        elif option in ("-p", "--publish"):
            inside = re.search(r"(\d{1,5})(?:/tcp)?$", value)
            ports += [int(inside[1])] if inside else []
    image = words[index] if index < len(words) else ""
    return DockerRun(image, ports[0] if ports else None, given, tuple(volumes),
                     tuple(words[index + 1 :]))  # fmt: skip
