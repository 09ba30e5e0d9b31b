"""One server restarted in its place, with the parameters that were waiting for it.

The caller holds the cluster's lock."""

from __future__ import annotations

from collections.abc import Mapping

from hikkoshi.region.rds.engine import Server
from hikkoshi.region.rds.members import Members
from hikkoshi.region.rds.parameters import widest


async def reboot(members: Members, identifier: str, wanted: Mapping[str, str]) -> None:
    """wanted: the parameters in force. Where the writer's sizes change, its readers restart with
    it."""
    member, server = members.record.instances[identifier], members.servers[identifier]
    members.set_status(identifier, "rebooting")
    members.publish_names()
    members.tell_instance(identifier, "DB instance shutdown", "availability")
    if identifier == members.record.writer:
        await _reboot_writer(members, server, wanted)
        member.has_pending_parameters = False
    else:
        writer = members.servers[members.record.writer or ""].configuration.parameters
        as_large = widest(wanted, writer, members.engine.sizes)
        await members.synchronise(without=identifier)
        await _restart(server, as_large)
        member.has_pending_parameters = as_large != wanted
        await members.synchronise(also=identifier)
    members.set_status(identifier, "available")
    members.publish_names()


async def _restart(server: Server, parameters: Mapping[str, str]) -> None:
    await server.stop(is_hard=False)
    server.configure(parameters=parameters)
    await server.start()


async def _reboot_writer(members: Members, writer: Server, wanted: Mapping[str, str]) -> None:
    readers = [server for server in members.servers.values() if server is not writer]
    old = writer.configuration.parameters
    # First nobody may be smaller than the writer; then, when it is smaller itself and they have
    # seen that, they may be as small.
    await writer.stop(is_hard=False)
    as_large = widest(wanted, old, members.engine.sizes)
    if as_large != old:
        for server in readers:
            await _restart(server, as_large)
    writer.configure(parameters=wanted)
    await writer.start()
    await members.synchronise()
    if as_large != wanted:
        for server in readers:
            await members.engine.replication.replayed(server, writer)
            await members.synchronise(without=server.configuration.name)
            await _restart(server, wanted)
            await members.synchronise(also=server.configuration.name)
    for server in readers:
        member = members.record.instances[server.configuration.name]
        member.has_pending_parameters &= server.configuration.parameters != wanted
