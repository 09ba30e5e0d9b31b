"""A task definition's ulimits, as this machine can grant them."""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hikkoshi.region.engine.port import Ulimit

_KINDS = {
    "core": resource.RLIMIT_CORE,
    "cpu": resource.RLIMIT_CPU,
    "data": resource.RLIMIT_DATA,
    "fsize": resource.RLIMIT_FSIZE,
    "memlock": resource.RLIMIT_MEMLOCK,
    "msgqueue": resource.RLIMIT_MSGQUEUE,
    "nice": resource.RLIMIT_NICE,
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
    "rss": resource.RLIMIT_RSS,
    "rtprio": resource.RLIMIT_RTPRIO,
    "rttime": resource.RLIMIT_RTTIME,
    "sigpending": resource.RLIMIT_SIGPENDING,
    "stack": resource.RLIMIT_STACK,
}
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Clipped:
    """A limit that could not be raised as far as was asked: hard limits only go down without
    CAP_SYS_RESOURCE."""

    name: str
    wanted: Ulimit
    soft: int
    hard: int


def grant(wanted: Sequence[Ulimit], own: dict[str, Pair]) -> tuple[dict[str, Pair], list[Clipped]]:
    """(limits to set, by name; those that were clipped to our own hard limit). -1 is unlimited.
    Raises ValueError for a name that Linux does not know."""
    granted: dict[str, Pair] = {}
    clipped: list[Clipped] = []
    for limit in wanted:
        if limit.name not in _KINDS:
            raise ValueError(f"unknown ulimit {limit.name!r}; one of {', '.join(sorted(_KINDS))}")
        ceiling = own[limit.name][1]
        hard = _lower(limit.hard, ceiling)
        soft = _lower(limit.soft, hard)
        granted[limit.name] = (soft, hard)
        if (soft, hard) != (limit.soft, limit.hard):
            clipped.append(Clipped(limit.name, limit, soft, hard))
    return granted, clipped


def _lower(one: int, other: int) -> int:
    if one < 0:
        return other
    return one if other < 0 else min(one, other)


def own_limits() -> dict[str, Pair]:
    return {name: resource.getrlimit(kind) for name, kind in _KINDS.items()}


_TITLES = {
    "Max core file size": "core",
    "Max cpu time": "cpu",
    "Max data size": "data",
    "Max file size": "fsize",
    "Max locked memory": "memlock",
    "Max msgqueue size": "msgqueue",
    "Max nice priority": "nice",
    "Max open files": "nofile",
    "Max processes": "nproc",
    "Max resident set": "rss",
    "Max realtime priority": "rtprio",
    "Max realtime timeout": "rttime",
    "Max pending signals": "sigpending",
    "Max stack size": "stack",
}


def parse_limits(text: str) -> dict[str, Pair]:
    """From /proc/PID/limits, by name; -1 is unlimited."""
    found: dict[str, Pair] = {}
    for line in text.splitlines():
        for title, name in _TITLES.items():
            if line.startswith(title + " "):
                soft, hard = line[len(title) :].split()[:2]
                found[name] = (_number(soft), _number(hard))
    return found


def _number(text: str) -> int:
    return int(text) if text.isdigit() else -1


def prlimit_options(limits: Mapping[str, Pair]) -> list[str]:
    """For prlimit(1), which gives them to itself and becomes its command."""

    def text(value: int) -> str:
        return "unlimited" if value < 0 else str(value)

    return [f"--{name}={text(soft)}:{text(hard)}" for name, (soft, hard) in limits.items()]


def set_limits(pid: int, limits: dict[str, Pair]) -> None:
    """Of a process of ours; it and its children have them from then on."""
    for name, pair in limits.items():
        resource.prlimit(pid, _KINDS[name], pair)
