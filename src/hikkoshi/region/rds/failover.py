"""One failover: the writer ends as in a crash, and a reader, or itself, is the writer afterwards.

The caller holds the cluster's lock."""

from __future__ import annotations

import asyncio

from hikkoshi.base.errors import CannotRun, DeadlinePassed
from hikkoshi.region.rds.engine import Server
from hikkoshi.region.rds.members import Members

FAILED = "Cluster failover failed, check the health of your cluster instances and try again."


async def promote(members: Members, target: str, *, is_old_to_return: bool) -> None:
    """Promote the reader `target`. The old writer's connections break at once; nobody writes until
    at least `Timers.failover_s` later; then the names move, and the old writer comes back as a
    reader. Raises CannotRun when it failed, with the old writer started again."""
    record, replication = members.record, members.engine.replication
    old = members.servers[record.writer or ""]
    new = members.servers[target]
    _begin(members, old.configuration.name, target)
    began = members.around.clock.monotonic()
    await old.stop(is_hard=True)
    try:
        others = [s for s in members.servers.values() if s not in (old, new) and s.is_running]
        position = await replication.cut_off(new, others)
        await _wait_as_aws_does(members, began)
        await replication.promote(new)
    except (CannotRun, DeadlinePassed) as error:
        await _abandon(members, old)
        raise CannotRun(f"the failover to {target} failed: {error}") from error
    record.writer = target
    members.in_sync.clear()
    _end(members, target)
    await _gather_readers(members, old if is_old_to_return else None, new, position)


async def restart_in_place(members: Members) -> None:
    """A failover where there is nobody to fail over to: the writer is started again in place."""
    name = members.record.writer or ""
    _begin(members, name, name)
    began = members.around.clock.monotonic()
    server = members.servers[name]
    await server.stop(is_hard=True)
    await _wait_as_aws_does(members, began)
    await server.start()
    await members.synchronise()
    _end(members, name)


async def _wait_as_aws_does(members: Members, began: float) -> None:
    """AWS's failover takes its time; the rehearsal's is Timers.failover_s."""
    spent = members.around.clock.monotonic() - began
    await asyncio.sleep(max(0.0, members.around.timers.failover_s - spent))


def _begin(members: Members, old: str, new: str) -> None:
    instances = members.record.instances
    is_same_zone = instances[old].zone == instances[new].zone
    members.record.status = "failing-over"
    members.set_status(old, "rebooting")
    kind = "same" if is_same_zone else "cross"
    members.tell_cluster(f"Started {kind} AZ failover to DB instance: {new}", "failover")


def _end(members: Members, new: str) -> None:
    members.record.status = "available"
    members.set_status(new, "available")
    members.publish_names()
    members.tell_cluster(f"Completed failover to DB instance: {new}", "failover")


async def _abandon(members: Members, old: Server) -> None:
    members.tell_cluster(FAILED, "failover")
    await old.start()
    members.set_status(old.configuration.name, "available")
    members.record.status = "available"


async def _gather_readers(
    members: Members, old: Server | None, writer: Server, position: int
) -> None:
    """Bring the other readers, then the old writer, behind the new one."""
    replication = members.engine.replication
    for name, server in tuple(members.servers.items()):
        if server is writer or (server is old) or not server.is_running:
            continue
        await replication.follow(server, writer, position)
        await members.synchronise(also=name)
    if old is not None:
        await replication.join(old, writer, has_data=True)
        name = old.configuration.name
        await members.synchronise(also=name)
        members.set_status(name, "available")
        members.tell_instance(name, "DB instance restarted", "availability")
    members.publish_names()
