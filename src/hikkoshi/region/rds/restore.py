"""What RDS held when the region was killed: journaled, and brought up again on the data on disk.

A server's data are its directory, which outlives the region's processes. The writer recovers from
its own log, as after a crash; its readers follow it again. Passwords are kept nowhere: the master's
is in the data as PostgreSQL's verifier, and the region's own roles get new ones (`renew_secrets`).
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.region.journal import Line, restored
from hikkoshi.region.rds.cluster import VOLUME, DatabaseCluster, DoorPorts
from hikkoshi.region.rds.records import ClusterRecord, InstanceRecord, ParameterGroup
from hikkoshi.region.rds.state import RdsState

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeptCluster:
    """verifier: what PostgreSQL stores of the master's password, for a cluster whose volume does
    not have it yet."""

    record: ClusterRecord
    verifier: str
    doors: DoorPorts


_KINDS: dict[str, Any] = {
    "parameter_group": ParameterGroup,
    "subnet_group": dict[str, Any],
    "tags": list[dict[str, str]],
    "cluster": KeptCluster,
}

Make = Callable[[KeptCluster], DatabaseCluster]


def everything(state: RdsState) -> Iterator[Line]:
    for name, group in state.groups.own().items():
        yield "parameter_group", name, group
    for name, subnets in state.subnets.own().items():
        yield "subnet_group", name, subnets
    for arn, tags in state.tags.items():
        yield "tags", arn, tags
    for name, cluster in state.clusters.items():
        writer, reader = cluster.door_ports
        kept = KeptCluster(cluster.record, cluster.verifier, (writer or None, reader or None))
        yield "cluster", name, kept


async def restore(state: RdsState, lines: Iterable[Line], make: Make) -> None:
    """Fill an empty state, remove data that are nobody's, and bring the servers up: returns when
    each writer answers, or has failed and says so in its status; readers come after that."""
    directory = state.around.directory
    for kind, key, record in restored(lines, _KINDS):
        match kind:
            case "parameter_group":
                state.groups.own()[key] = record
            case "subnet_group":
                state.subnets.own()[key] = record
            case "tags":
                state.tags[key] = record
            case "cluster" if comes_back(record.record, directory / key):
                state.clusters[key] = make(record)
    await asyncio.to_thread(_remove_what_is_nobodys, directory, state.clusters)
    writers = [task for cluster in state.clusters.values() for task in _bring_up(state, cluster)]
    await asyncio.gather(*writers)


def comes_back(record: ClusterRecord, directory: Path) -> bool:
    """Not one that was being deleted, and not one whose data are gone: an empty database in the
    place of a full one would be a lie."""
    if record.status == "deleting":
        return False
    places = (*record.instances, VOLUME)
    if record.is_furnished and not any((directory / place / "data").is_dir() for place in places):
        _log.error("DB cluster %s does not come back: %s is gone", record.identifier, directory)
        return False
    return True


def _remove_what_is_nobodys(directory: Path, clusters: dict[str, DatabaseCluster]) -> None:
    """What a deleted cluster left, and what was only half made: that is made anew."""
    for found in directory.iterdir() if directory.is_dir() else ():
        cluster = clusters.get(found.name)
        if cluster is None or not cluster.record.is_furnished:
            shutil.rmtree(found, ignore_errors=True)
            continue
        members = cluster.record.instances.values()
        for name in (m.identifier for m in members if m.status == "creating"):
            if name != cluster.record.writer:
                shutil.rmtree(found / name, ignore_errors=True)


def _bring_up(state: RdsState, cluster: DatabaseCluster) -> list[asyncio.Task[None]]:
    """The tasks to wait for: its writer's."""
    record = cluster.record
    if record.is_furnished:
        cluster.take_up()
    else:
        state.begin(cluster.prepare(), record)
    tasks = {}
    for member in sorted(record.instances.values(), key=lambda m: m.identifier != record.writer):
        if member.status not in ("creating", "deleting"):
            member.status = "starting"
        member.failure = None
        # It starts with the parameters that are in force now.
        member.has_pending_parameters = False
        tasks[member.identifier] = state.begin(cluster.add(member), member)
    for member in tuple(record.instances.values()):
        if member.status == "deleting":
            state.begin(_remove_after(list(tasks.values()), cluster, member), member)
    return [task for name, task in tasks.items() if name == record.writer]


async def _remove_after(
    tasks: list[asyncio.Task[None]], cluster: DatabaseCluster, member: InstanceRecord
) -> None:
    """A deletion that the kill interrupted; a writer's needs its readers to be there first."""
    await asyncio.gather(*tasks)
    await cluster.remove(member.identifier)
