"""All faults by name. The names are those of AWS FIS where it has the fault."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from hikkoshi.base.errors import BadInput
from hikkoshi.faults import databases, deploys, network, pressure, tasks
from hikkoshi.faults.model import Fault, Place


@dataclass(frozen=True, slots=True)
class Entry:
    """needs: service, database, database url, in the words of the list. how: the calls."""

    name: str
    title: str
    needs: str
    how: str
    make: Callable[[Place], Fault]


CATALOGUE: tuple[Entry, ...] = (
    Entry("stop-task", "one task is stopped", "service", "ecs:StopTask", tasks.StopTask),
    Entry(
        "zone-gone", "the tasks of one availability zone end, and stay away", "service",
        "ecs:StopTask, again and again", tasks.ZoneGone,
    ),
    Entry(
        "crash-sidecar", "a sidecar's process ends", "service",
        "ECS Exec (SIGTERM, SIGABRT); in the local region SIGKILL", tasks.CrashSidecar,
    ),
    Entry(
        "spot-interruption", "Fargate Spot takes a task back", "service",
        "the local region alone", tasks.SpotInterruption,
    ),
    Entry(
        "failover-database", "the database fails over to its reader", "database",
        "rds:FailoverDBCluster", databases.FailoverDatabase,
    ),
    Entry(
        "reboot-database", "the database's writer restarts", "database",
        "rds:RebootDBInstance", databases.RebootDatabase,
    ),
    Entry(
        "exhaust-connections", "the database has no connection left", "DATABASE_URL",
        "connections that are opened and held", databases.ConnectionExhaustion,
    ),
    Entry(
        "rolling-deploy", "every task is replaced", "service",
        "ecs:UpdateService, forceNewDeployment", deploys.RollingDeploy,
    ),
    Entry(
        "bad-deploy", "a deploy that cannot come up; the circuit breaker takes it back", "service",
        "ecs:UpdateService with an image that does not exist",
        lambda place: deploys.BrokenDeploy(place, deploys.without_image),
    ),
    Entry(
        "secrets-unavailable", "new tasks cannot read a secret", "service",
        "ecs:UpdateService with a secret that does not exist",
        lambda place: deploys.BrokenDeploy(place, deploys.without_secret),
    ),
    Entry(
        "descriptor-pressure", f"tasks have {deploys.FEW_DESCRIPTORS} file descriptors", "service",
        "ecs:UpdateService with a ulimit",
        lambda place: deploys.BrokenDeploy(place, deploys.with_few_descriptors, is_held=True),
    ),
    Entry(
        "cpu-pressure", "every CPU of one task is kept busy", "service, ECS Exec",
        "ecs:ExecuteCommand", pressure.cpu_pressure,
    ),
    Entry(
        "memory-pressure", f"{pressure.MEMORY_MIB} MiB are held in one task", "service, ECS Exec",
        "ecs:ExecuteCommand", pressure.memory_pressure,
    ),
    Entry(
        "dns-failure", "one task's names are not resolved", "service, ECS Exec",
        "ecs:ExecuteCommand, /etc/resolv.conf", pressure.dns_failure,
    ),
    Entry(
        "network-latency", "one task's packets to a peer are late", "service, ECS Exec, peer",
        "the agent's fault endpoint",
        lambda place: network.NetworkFault(place, "network-latency"),
    ),
    Entry(
        "network-packet-loss", "one task's packets to a peer are lost", "service, ECS Exec, peer",
        "the agent's fault endpoint",
        lambda place: network.NetworkFault(place, "network-packet-loss"),
    ),
    Entry(
        "network-blackhole-port", "one task's packets to a port vanish",
        "service, ECS Exec, peer", "the agent's fault endpoint",
        lambda place: network.NetworkFault(place, "network-blackhole-port"),
    ),
)  # fmt: skip


def find(name: str) -> Entry:
    for entry in CATALOGUE:
        if entry.name == name:
            return entry
    near = difflib.get_close_matches(name, [e.name for e in CATALOGUE], 1)
    hint = f"did you mean {near[0]}?" if near else "`hikkoshi fault list` lists them"
    raise BadInput(f"there is no fault {name!r}", fix=hint)


def refuse_what_lacks(entry: Entry, place: Place) -> None:
    """BadInput when what the fault is made for is not named. (Without DATABASE_URL a fault is not
    tried: it is of the environment, and other faults of the same command can do without.)"""
    for need, value, fix in (
        ("service", place.service, "give --service NAME"),
        ("database", place.database, "give --database IDENTIFIER"),
    ):
        if need in entry.needs.split(", ") and value is None:
            raise BadInput(f"{entry.name} needs: {need}", fix=fix)
