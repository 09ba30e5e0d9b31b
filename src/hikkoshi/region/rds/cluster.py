"""The real parts of one Aurora cluster: its servers, their names, its failovers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from hikkoshi.base.clock import Clock
from hikkoshi.base.errors import CannotRun, DeadlinePassed
from hikkoshi.model.timers import Timers
from hikkoshi.region.engine.instances import Ground, Instance
from hikkoshi.region.ports import Names
from hikkoshi.region.rds.binaries import Binaries
from hikkoshi.region.rds.bootstrap import furnish
from hikkoshi.region.rds.configuration import ServerConfiguration
from hikkoshi.region.rds.decisions import (
    Choice,
    MemberView,
    Promote,
    choose_failover,
    readers_behind_names,
)
from hikkoshi.region.rds.doors import Door
from hikkoshi.region.rds.parameters import widest, with_sizes_of
from hikkoshi.region.rds.records import ClusterRecord, InstanceRecord
from hikkoshi.region.rds.replication import (
    cut_off,
    follow,
    join,
    replayed,
    wait_for_commits_on,
)
from hikkoshi.region.rds.server import Secrets, Server, create_data

NAME_TTL_S = 5

Tell = Callable[[str, str, str, str], None]
"""(source type, source, message, category): one of RDS's events."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every cluster of the region shares."""

    ground: Ground
    names: Names
    binaries: Binaries
    clock: Clock
    timers: Timers
    directory: Path
    tell: Tell


class DatabaseCluster:
    """One cluster. `record` is the API's view; the statuses in it are set here as things happen.

    Everything that changes who is what holds one lock, so failovers, reboots, joining and leaving
    come one after the other."""

    def __init__(
        self,
        record: ClusterRecord,
        around: Surroundings,
        secrets: Secrets,
        verifier: str,
        parameters: Callable[[ClusterRecord], dict[str, str]],
    ) -> None:
        self.record = record
        self.servers: dict[str, Server] = {}
        self.writer_door = Door(around.ground, lambda: self._place(record.writer))
        self.reader_door = Door(around.ground, self._reader_place)
        self.verifier = verifier
        self._around = around
        self._secrets = secrets
        self._parameters = parameters
        self._instances: dict[str, Instance] = {}
        self._in_sync: set[str] = set()
        self._lock = asyncio.Lock()
        self._volume = asyncio.Event()
        self._turn = 0
        self._recoveries: set[asyncio.Task[None]] = set()
        self._is_closing = False

    # -- life ---------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Make the cluster's empty volume; then the cluster is available, without instances."""
        await create_data(
            self._around.ground.region_instance(),
            self._around.binaries,
            self._directory() / "volume",
            self._secrets,
        )
        self._volume.set()
        self.record.status = "available"
        self._around.tell("db-cluster", self.record.identifier, "DB cluster created", "creation")

    async def add(self, member: InstanceRecord) -> None:
        """Bring an instance up: the writer on the volume, a reader as its copy."""
        # The lock is given in the order of asking: a reader never overtakes its writer.
        async with self._lock:
            instance = await self._around.ground.create_instance(f"rds-{member.identifier}")
            self._instances[member.identifier] = instance
            await self._volume.wait()
            server = self._server(member.identifier, instance)
            if member.identifier == self.record.writer:
                await self._add_writer(server)
            else:
                await self._add_reader(server)
            member.status = "available"
            self._publish_names()
        self._around.tell("db-instance", member.identifier, "DB instance created", "creation")

    async def remove(self, identifier: str) -> None:
        """End one instance; when it was the writer, a ready reader takes over first."""
        if identifier == self.record.writer and len(self.servers) > 1:
            choice = self.choose(None, ignoring_status=True)
            if isinstance(choice, Promote):
                await self.fail_over(choice.target, is_old_to_return=False)
        async with self._lock:
            server = self.servers.pop(identifier, None)
            member = self.record.instances.pop(identifier)
            self._around.names.remove(member.endpoint)
            await self._synchronise()
            if server is not None:
                await server.stop(is_hard=False)
            instance = self._instances.pop(identifier, None)
            if instance is not None:
                await instance.remove()
            if self.record.writer == identifier:
                self.record.writer = None
            self._publish_names()
        self._around.tell("db-instance", identifier, "DB instance deleted", "deletion")

    async def close(self) -> None:
        """Stop all servers, at once, and give back names, doors and namespaces."""
        self._is_closing = True
        for task in tuple(self._recoveries):
            task.cancel()
        await asyncio.gather(*self._recoveries, return_exceptions=True)
        await self.writer_door.close()
        await self.reader_door.close()
        await asyncio.gather(*(server.stop(is_hard=True) for server in self.servers.values()))
        self.servers.clear()
        for instance in self._instances.values():
            await instance.remove()
        self._instances.clear()
        for name in (self.record.endpoint, self.record.reader_endpoint):
            self._around.names.remove(name)
        for member in self.record.instances.values():
            self._around.names.remove(member.endpoint)

    # -- failover and reboot ------------------------------------------------------------------

    def members(self) -> list[MemberView]:
        return [
            MemberView(
                name=member.identifier,
                zone=member.zone,
                status=member.status,
                is_writer=member.identifier == self.record.writer,
                is_in_sync=member.identifier in self._in_sync,
                promotion_tier=member.promotion_tier,
            )
            for member in self.record.instances.values()
        ]

    def choose(self, wanted: str | None, *, ignoring_status: bool = False) -> Choice:
        status = "available" if ignoring_status else self.record.status
        return choose_failover(self.record.identifier, status, self.members(), wanted)

    async def fail_over(self, target: str, *, is_old_to_return: bool = True) -> None:
        """Promote the reader `target`. The old writer's connections break at once; nobody writes
        until at least `Timers.failover_s` later; then the names move, and the old writer comes
        back as a reader. Raises CannotRun or DeadlinePassed when it failed, with the old writer
        started again."""
        async with self._lock:
            old = self.servers[self.record.writer or ""]
            new = self.servers[target]
            self._begin_failover(old.configuration.name, target)
            began = self._around.clock.monotonic()
            await old.stop(is_hard=True)
            try:
                position = await cut_off(new)
                # AWS's failover takes its time; the rehearsal's is Timers.failover_s.
                spent = self._around.clock.monotonic() - began
                await asyncio.sleep(max(0.0, self._around.timers.failover_s - spent))
                new.configure(sync=())
                await new.promote()
            except (CannotRun, DeadlinePassed, psycopg.Error) as error:
                await self._abandon_failover(old, target)
                raise CannotRun(f"the failover to {target} failed: {error}") from error
            self.record.writer = target
            self._in_sync.clear()
            self._end_failover(old.configuration.name, target)
            await self._gather_readers(old if is_old_to_return else None, new, position)

    async def reboot(self, identifier: str) -> None:
        """Restart one server in its place, with the parameters that were waiting for it. Where the
        writer's sizes change, its readers restart with it."""
        async with self._lock:
            member = self.record.instances[identifier]
            server = self.servers[identifier]
            self._set_status(identifier, "rebooting")
            self._publish_names()
            self._around.tell("db-instance", identifier, "DB instance shutdown", "availability")
            wanted = self._parameters(self.record)
            if identifier == self.record.writer:
                await self._reboot_writer(server, wanted)
                member.has_pending_parameters = False
            else:
                writer = self.servers[self.record.writer or ""].configuration.parameters
                await self._synchronise(without=identifier)
                await self._restart(server, widest(wanted, writer))
                member.has_pending_parameters = widest(wanted, writer) != wanted
                await self._synchronise(also=identifier)
            self._set_status(identifier, "available")
            self._publish_names()
        self._around.tell("db-instance", identifier, "DB instance restarted", "availability")

    async def restart_writer(self) -> None:
        """A failover where there is nobody to fail over to: the writer ends as in a crash, and is
        started again where it was."""
        async with self._lock:
            name = self.record.writer or ""
            self._begin_failover(name, name)
            began = self._around.clock.monotonic()
            server = self.servers[name]
            await server.stop(is_hard=True)
            spent = self._around.clock.monotonic() - began
            await asyncio.sleep(max(0.0, self._around.timers.failover_s - spent))
            await server.start()
            await self._synchronise()
            self._end_failover(name, name)

    async def apply_parameters(self) -> None:
        """Make new values hold that need no restart."""
        async with self._lock:
            wanted = self._parameters(self.record)
            for server in self.servers.values():
                running = server.configuration.parameters
                server.configure(parameters=with_sizes_of(wanted, running))
                await server.reload()

    async def change_password(self, verifier: str) -> None:
        self.verifier = verifier
        async with self._lock:
            if self.record.writer in self.servers:
                writer = self.servers[self.record.writer]
                role = sql.Identifier(self.record.master_username)
                statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(verifier))
                await writer.ask(statement.as_string())

    # -- parts --------------------------------------------------------------------------------

    async def _add_writer(self, server: Server) -> None:
        server.directory.parent.mkdir(parents=True, exist_ok=True)
        (self._directory() / "volume").rename(server.directory)
        server.configure()
        await server.start()
        record = self.record
        await furnish(server, self._secrets, record.master_username, self.verifier, record.database)
        self.servers[server.configuration.name] = server
        await self.writer_door.open(record.port)
        await self.reader_door.open(None)

    async def _add_reader(self, server: Server) -> None:
        writer = self.servers.get(self.record.writer or "")
        if writer is None:
            raise CannotRun(
                f"DB cluster {self.record.identifier} has no running writer to copy from"
            )
        await join(server, writer, has_data=False)
        name = server.configuration.name
        self.servers[name] = server
        await self._synchronise(also=name)

    def _server(self, name: str, instance: Instance) -> Server:
        configuration = ServerConfiguration(
            name=name,
            address=instance.address,
            port=self.record.port,
            gateway=self._around.ground.gateway,
            directory=self._directory() / name,
            parameters=self._parameters(self.record),
        )
        return Server(
            instance,
            self._around.binaries,
            configuration,
            self._secrets,
            on_exit=lambda: self._on_exit(name),
        )

    async def _synchronise(self, *, also: str | None = None, without: str | None = None) -> None:
        """Let commits wait for the readers that are there, for one more, or for one less."""
        readers = {name for name in self.servers if name != self.record.writer}
        self._in_sync = (self._in_sync | {also or ""}) & readers - {without or ""}
        writer = self.servers.get(self.record.writer or "")
        if writer is not None and writer.is_running:
            await wait_for_commits_on(writer, sorted(self._in_sync))

    async def _restart(self, server: Server, parameters: dict[str, str]) -> None:
        await server.stop(is_hard=False)
        server.configure(parameters=parameters)
        await server.start()

    async def _reboot_writer(self, writer: Server, wanted: dict[str, str]) -> None:
        readers = [server for server in self.servers.values() if server is not writer]
        old = writer.configuration.parameters
        # First nobody may be smaller than the writer; then, when it is smaller itself and they have
        # seen that, they may be as small.
        await writer.stop(is_hard=False)
        if widest(wanted, old) != old:
            for server in readers:
                await self._restart(server, widest(wanted, old))
        writer.configure(parameters=wanted)
        await writer.start()
        await self._synchronise()
        if widest(wanted, old) != wanted:
            for server in readers:
                await replayed(server, writer)
                await self._synchronise(without=server.configuration.name)
                await self._restart(server, wanted)
                await self._synchronise(also=server.configuration.name)
        for server in readers:
            member = self.record.instances[server.configuration.name]
            member.has_pending_parameters &= server.configuration.parameters != wanted

    def _set_status(self, name: str, status: str) -> None:
        """What is being deleted stays so in the API's eyes, whatever else happens to it."""
        member = self.record.instances[name]
        if member.status != "deleting":
            member.status = status

    def _begin_failover(self, old: str, new: str) -> None:
        members = self.record.instances
        is_same_zone = members[old].zone == members[new].zone
        self.record.status = "failing-over"
        self._set_status(old, "rebooting")
        message = f"Started {'same' if is_same_zone else 'cross'} AZ failover to DB instance: {new}"
        self._around.tell("db-cluster", self.record.identifier, message, "failover")

    def _end_failover(self, old: str, new: str) -> None:
        self.record.status = "available"
        self._set_status(new, "available")
        self._publish_names()
        message = f"Completed failover to DB instance: {new}"
        self._around.tell("db-cluster", self.record.identifier, message, "failover")

    async def _abandon_failover(self, old: Server, target: str) -> None:
        message = (
            "Cluster failover failed, check the health of your cluster instances and try again."
        )
        self._around.tell("db-cluster", self.record.identifier, message, "failover")
        name = old.configuration.name
        await old.start()
        self._set_status(name, "available")
        self.record.status = "available"

    async def _gather_readers(self, old: Server | None, writer: Server, position: int) -> None:
        """Bring the other readers, then the old writer, behind the new one."""
        # Until its first checkpoint a promoted server names its old line to pg_rewind.
        await writer.ask("CHECKPOINT")
        for name, server in tuple(self.servers.items()):
            if server is writer or (server is old) or not server.is_running:
                continue
            await follow(server, writer, position)
            await self._synchronise(also=name)
        if old is not None:
            await join(old, writer, has_data=True)
            name = old.configuration.name
            await self._synchronise(also=name)
            self._set_status(name, "available")
            self._around.tell("db-instance", name, "DB instance restarted", "availability")
        self._publish_names()

    def _publish_names(self) -> None:
        names, record = self._around.names, self.record
        for name, server in self.servers.items():
            address = server.configuration.address
            names.set(record.instances[name].endpoint, [address], NAME_TTL_S)
        if record.writer in self.servers:
            writer = record.instances[record.writer].endpoint
            names.set_alias(record.endpoint, writer, NAME_TTL_S)
        readers = [name for name in readers_behind_names(self.members()) if name in self.servers]
        if len(readers) == 1:
            target = record.instances[readers[0]].endpoint
            names.set_alias(record.reader_endpoint, target, NAME_TTL_S)
        elif readers:
            # AWS turns one CNAME; here the addresses take turns behind the one name.
            addresses = [self.servers[name].configuration.address for name in readers]
            names.set(record.reader_endpoint, addresses, NAME_TTL_S)

    def _place(self, name: str | None) -> tuple[str, int] | None:
        server = self.servers.get(name or "")
        if server is None:
            return None
        return server.configuration.address, server.configuration.port

    def _reader_place(self) -> tuple[str, int] | None:
        readers = readers_behind_names(self.members())
        self._turn += 1
        return self._place(readers[self._turn % len(readers)]) if readers else None

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
        self._around.tell("db-instance", name, "DB instance shutdown", "availability")
        choice = self.choose(None) if name == self.record.writer else None
        try:
            if isinstance(choice, Promote):
                await self.fail_over(choice.target)
                return
            await self._start_again(member, server)
        except (CannotRun, DeadlinePassed, psycopg.Error) as error:
            member.status = "failed"
            member.failure = str(error)
            self._around.tell("db-instance", name, f"DB instance failed: {error}", "failure")

    async def _start_again(self, member: InstanceRecord, server: Server) -> None:
        async with self._lock:
            name = member.identifier
            self._set_status(name, "rebooting")
            await server.stop(is_hard=True)
            if name == self.record.writer:
                await server.start()
                await self._synchronise()
            else:
                await self._synchronise(without=name)
                await server.start()
                await self._synchronise(also=name)
            self._set_status(name, "available")
            self._publish_names()
        self._around.tell("db-instance", name, "DB instance restarted", "recovery")
