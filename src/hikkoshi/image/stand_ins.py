"""Well-known sidecars that a program of ours, or of this machine, can play."""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from hikkoshi.image.names import repository

FLUENT_BIT_CONFIGURATION = "/fluent-bit/etc/fluent-bit.conf"


@dataclass(frozen=True, slots=True)
class StandIn:
    """patterns match the repository's last part (fnmatch). program names what plays it, in the
    report; entry_point is None where nothing does yet. machine_program: the true program's name;
    where this machine has it, it is run instead with machine_arguments."""

    patterns: tuple[str, ...]
    program: str
    entry_point: tuple[str, ...] | None
    machine_program: str | None = None
    machine_arguments: tuple[str, ...] = ()

    def found_on_machine(self) -> str | None:
        if self.machine_program is None:
            return None
        path = "/usr/local/bin:/usr/bin:/bin:/opt/fluent-bit/bin"
        return shutil.which(self.machine_program, path=path)


STAND_INS: tuple[StandIn, ...] = (
    StandIn(
        ("aws-for-fluent-bit", "fluent-bit"),
        "hikkoshi.router, the built-in log router",
        ("python3", "-m", "hikkoshi.router"),
        "fluent-bit",
        ("-c", FLUENT_BIT_CONFIGURATION),
    ),
    StandIn(
        ("aws-xray-daemon", "aws-otel-collector", "adot-collector", "adot"),
        "hikkoshi.region.xray.sidecar, the built-in trace daemon",
        ("python3", "-m", "hikkoshi.region.xray.sidecar"),
    ),
    StandIn(("agent",), "the Datadog agent", None),
)


def match(name: str, table: Sequence[StandIn]) -> StandIn | None:
    """`agent` alone would match anybody's agent: it must be Datadog's."""
    owner, _, last = repository(name).rpartition("/")
    for stand_in in table:
        if last == "agent" and "datadog" not in owner:
            continue
        if any(fnmatch.fnmatchcase(last, pattern) for pattern in stand_in.patterns):
            return stand_in
    return None
