"""The real parts of one Aurora cluster: its volume, its servers, and what happens to them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import CannotRun, DeadlinePassed
from hikkoshi.region.engine.instances import Instance
from hikkoshi.region.rds import failover, rebooting
from hikkoshi.region.rds.decisions import Choice, Promote, choose_failover
from hikkoshi.region.rds.engine import DatabaseEngine, Place, Secrets, Server
from hikkoshi.region.rds.members import Members, Surroundings
from hikkoshi.region.rds.parameters import with_sizes_of
from hikkoshi.region.rds.records import ClusterRecord, InstanceRecord

VOLUME = "volume"
"""The directory of the cluster's data while no instance has them."""

DoorPorts = tuple[int | None, int | None]
"""Where the writer's and the reader's door on the host would best be."""


class DatabaseCluster:
    """One cluster. `record` is the API's view; the statuses in it are set here as things happen.

    Everything that changes who is what holds one lock, so failovers, reboots, joining and leaving
    come one after the other."""

    def __init__(
        self,
        record: ClusterRecord,
        engine: DatabaseEngine[Any],
        around: Surroundings,
        secrets: Secrets,
        verifier: str,
        parameters: Callable[[ClusterRecord], dict[str, str]],
        doors: DoorPorts | None = None,
    ) -> None:
        self.record = record
        self.verifier = verifier
        self._members = Members(record, engine, around)
        self._engine = engine
        self._around = around
        self._secrets = secrets
        self._parameters = parameters
        self._doors = doors or (record.port, None)
        self._instances: dict[str, Instance] = {}
        self._lock = asyncio.Lock()
        self._volume = asyncio.Event()
        self._recoveries: set[asyncio.Task[None]] = set()
        self._is_closing = False

    @property
    def servers(self) -> dict[str, Server]:
        return self._members.servers

    @property
    def door_ports(self) -> tuple[int, int]:
        """The writer's and the reader's, on the host's loopback; 0 while there is none."""
        return self._members.writer_door.port, self._members.reader_door.port

    # -- life ---------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Make the cluster's empty volume; then the cluster is available, without instances."""
        await self._engine.create_data(self._directory() / VOLUME, self._secrets)
        self._volume.set()
        self.record.status = "available"
        self._members.tell_cluster("DB cluster created", "creation")

    def take_up(self) -> None:
        """Its data are on disk, from before the region was killed: there is nothing to prepare."""
        self.record.status = "available"
        self._volume.set()

    async def add(self, member: InstanceRecord) -> None:
        """Bring an instance up: the writer on the volume, a reader as its copy; or each on its own
        data, where it has some from before the region was killed."""
        # The lock is given in the order of asking: a reader never overtakes its writer.
        async with self._lock:
            instance = await self._around.ground.create_instance(f"rds-{member.identifier}")
            self._instances[member.identifier] = instance
            await self._volume.wait()
            server = self._server(member.identifier, instance)
            is_back = server.has_data
            if member.identifier == self.record.writer:
                await self._add_writer(server)
            else:
                await self._add_reader(server)
            self._members.set_status(member.identifier, "available")
            self._members.publish_names()
        if is_back:
            self._members.tell_instance(member.identifier, "DB instance restarted", "recovery")
        else:
            self._members.tell_instance(member.identifier, "DB instance created", "creation")

    async def remove(self, identifier: str) -> None:
        """End one instance; when it was the writer, a ready reader takes over first."""
        if identifier == self.record.writer and len(self.servers) > 1:
            choice = self.choose(None, ignoring_status=True)
            if isinstance(choice, Promote):
                await self.fail_over(choice.target, is_old_to_return=False)
        async with self._lock:
            server = self.servers.pop(identifier, None)
            member = self.record.instances.pop(identifier)
            is_writer = identifier == self.record.writer
            if is_writer:
                self.record.writer = None
            self._around.names.remove(member.endpoint)
            await self._members.synchronise()
            if server is not None:
                await server.stop(is_hard=False)
            instance = self._instances.pop(identifier, None)
            if instance is not None:
                await instance.remove()
            self._members.publish_names()
            data = self._directory() / identifier
            if is_writer and data.exists():
                # A cluster keeps its volume when its last instance goes.
                data.rename(self._directory() / VOLUME)
            else:
                await asyncio.to_thread(shutil.rmtree, data, True)
        self._members.tell_instance(identifier, "DB instance deleted", "deletion")

    async def close(self) -> None:
        """Stop all servers, at once, and give back names, doors and namespaces."""
        self._is_closing = True
        for task in tuple(self._recoveries):
            task.cancel()
        await asyncio.gather(*self._recoveries, return_exceptions=True)
        await self._members.writer_door.close()
        await self._members.reader_door.close()
        await asyncio.gather(*(server.stop(is_hard=True) for server in self.servers.values()))
        self.servers.clear()
        for instance in self._instances.values():
            await instance.remove()
        self._instances.clear()
        self._members.withdraw_names()

    async def destroy(self) -> None:
        """Close, and remove its data."""
        await self.close()
        await asyncio.to_thread(shutil.rmtree, self._directory(), True)

    # -- failover and reboot ------------------------------------------------------------------

    def choose(self, wanted: str | None, *, ignoring_status: bool = False) -> Choice:
        status = "available" if ignoring_status else self.record.status
        return choose_failover(self.record.identifier, status, self._members.views(), wanted)

    async def fail_over(self, target: str, *, is_old_to_return: bool = True) -> None:
        """As failover.promote says."""
        async with self._lock:
            await failover.promote(self._members, target, is_old_to_return=is_old_to_return)

    async def restart_writer(self) -> None:
        """As failover.restart_in_place says."""
        async with self._lock:
            await failover.restart_in_place(self._members)

    async def reboot(self, identifier: str) -> None:
        """As rebooting.reboot says."""
        async with self._lock:
            await rebooting.reboot(self._members, identifier, self._parameters(self.record))
        self._members.tell_instance(identifier, "DB instance restarted", "availability")

    async def apply_parameters(self) -> None:
        """Make new values hold that need no restart."""
        async with self._lock:
            wanted = self._parameters(self.record)
            for server in self.servers.values():
                running = server.configuration.parameters
                server.configure(parameters=with_sizes_of(wanted, running, self._engine.sizes))
                await server.reload()

    async def change_password(self, verifier: str) -> None:
        self.verifier = verifier
        async with self._lock:
            writer = self._members.writer
            if writer is not None:
                user = self.record.master_username
                await self._engine.change_password(writer, user, verifier)

    # -- parts --------------------------------------------------------------------------------

    async def _add_writer(self, server: Server) -> None:
        record = self.record
        if not server.has_data:
            (self._directory() / VOLUME).rename(server.directory)
        server.configure()
        if record.is_furnished:
            await server.renew_secrets()
            await server.start()
        else:
            await server.start()
            master, database = record.master_username, record.database
            await self._engine.furnish(server, self._secrets, master, self.verifier, database)
            record.is_furnished = True
        self.servers[server.configuration.name] = server
        doors = (self._members.writer_door, self._members.reader_door)
        for door, wanted in zip(doors, self._doors, strict=True):
            if not door.port:
                await door.open(wanted)

    async def _add_reader(self, server: Server) -> None:
        writer = self._members.writer
        if writer is None:
            raise CannotRun(
                f"DB cluster {self.record.identifier} has no running writer to copy from"
            )
        if server.has_data:
            await self._engine.replication.resume(server, writer)
        else:
            await self._engine.replication.join(server, writer, has_data=False)
        name = server.configuration.name
        self.servers[name] = server
        await self._members.synchronise(also=name)

    def _server(self, name: str, instance: Instance) -> Server:
        place = Place(
            name=name,
            address=instance.address,
            port=self.record.port,
            gateway=self._around.ground.gateway,
            directory=self._directory() / name,
            parameters=self._parameters(self.record),
        )
        server: Server = self._engine.server(
            instance, place, self._secrets, on_exit=lambda: self._on_exit(name)
        )
        return server

    def _directory(self) -> Path:
        return self._around.directory / self.record.identifier

    # -- servers that end by themselves -------------------------------------------------------

    def _on_exit(self, name: str) -> None:
        if self._is_closing:
            return
        task = asyncio.get_running_loop().create_task(self._recover(name))
        self._recoveries.add(task)
        task.add_done_callback(self._recoveries.discard)

    async def _recover(self, name: str) -> None:
        """A server crashed: a reader is started again; a writer is failed over, if it can be."""
        member = self.record.instances.get(name)
        server = self.servers.get(name)
        if member is None or server is None:
            return
        self._members.tell_instance(name, "DB instance shutdown", "availability")
        choice = self.choose(None) if name == self.record.writer else None
        try:
            if isinstance(choice, Promote):
                await self.fail_over(choice.target)
                return
            await self._start_again(member, server)
        except (CannotRun, DeadlinePassed) as error:
            member.status = "failed"
            member.failure = str(error)
            self._members.tell_instance(name, f"DB instance failed: {error}", "failure")

    async def _start_again(self, member: InstanceRecord, server: Server) -> None:
        async with self._lock:
            name = member.identifier
            self._members.set_status(name, "rebooting")
            await server.stop(is_hard=True)
            if name == self.record.writer:
                await server.start()
                await self._members.synchronise()
            else:
                await self._members.synchronise(without=name)
                await server.start()
                await self._members.synchronise(also=name)
            self._members.set_status(name, "available")
            self._members.publish_names()
        self._members.tell_instance(name, "DB instance restarted", "recovery")
