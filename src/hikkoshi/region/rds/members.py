"""Who is in one Aurora cluster now: its servers, which of them have every commit, and the names
and doors that lead to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.base.clock import Clock
from hikkoshi.model.timers import Timers
from hikkoshi.region.engine.instances import Ground
from hikkoshi.region.ports import Names
from hikkoshi.region.rds.decisions import MemberView, readers_behind_names
from hikkoshi.region.rds.doors import Door
from hikkoshi.region.rds.engine import DatabaseEngine, Server
from hikkoshi.region.rds.records import ClusterRecord

NAME_TTL_S = 5

Tell = Callable[[str, str, str, str], None]
"""(source type, source, message, category): one of RDS's events."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every cluster of the region shares."""

    ground: Ground
    names: Names
    clock: Clock
    timers: Timers
    directory: Path
    tell: Tell


class Members:
    """The running servers of a cluster, by the identifier of their instance. Whoever changes who is
    what holds the cluster's lock."""

    def __init__(
        self, record: ClusterRecord, engine: DatabaseEngine[Any], around: Surroundings
    ) -> None:
        self.record = record
        self.engine = engine
        self.around = around
        self.servers: dict[str, Server] = {}
        self.in_sync: set[str] = set()
        self.writer_door = Door(around.ground, lambda: self._place(record.writer))
        self.reader_door = Door(around.ground, self._reader_place)
        self._turn = 0

    @property
    def writer(self) -> Server | None:
        """The writer's server, if it has one."""
        return self.servers.get(self.record.writer or "")

    def views(self) -> list[MemberView]:
        return [
            MemberView(
                name=member.identifier,
                zone=member.zone,
                status=member.status,
                is_writer=member.identifier == self.record.writer,
                is_in_sync=member.identifier in self.in_sync,
                promotion_tier=member.promotion_tier,
            )
            for member in self.record.instances.values()
        ]

    async def synchronise(self, *, also: str | None = None, without: str | None = None) -> None:
        """Let commits wait for the readers that are there, for one more, or for one less."""
        there = {name for name in self.servers if name != self.record.writer}
        self.in_sync = (self.in_sync | {also or ""}) & there - {without or ""}
        writer = self.writer
        if writer is not None and writer.is_running:
            readers = [self.servers[name] for name in sorted(self.in_sync)]
            await self.engine.replication.wait_for_commits_on(writer, readers)

    def set_status(self, name: str, status: str) -> None:
        """What is being deleted stays so in the API's eyes, whatever else happens to it."""
        member = self.record.instances[name]
        if member.status != "deleting":
            member.status = status

    def tell_cluster(self, message: str, category: str) -> None:
        self.around.tell("db-cluster", self.record.identifier, message, category)

    def tell_instance(self, name: str, message: str, category: str) -> None:
        self.around.tell("db-instance", name, message, category)

    # -- names and doors ----------------------------------------------------------------------

    def publish_names(self) -> None:
        names, record = self.around.names, self.record
        for name, server in self.servers.items():
            address = server.configuration.address
            names.set(record.instances[name].endpoint, [address], NAME_TTL_S)
        if record.writer in self.servers:
            writer = record.instances[record.writer].endpoint
            names.set_alias(record.endpoint, writer, NAME_TTL_S)
        readers = [name for name in readers_behind_names(self.views()) if name in self.servers]
        if len(readers) == 1:
            target = record.instances[readers[0]].endpoint
            names.set_alias(record.reader_endpoint, target, NAME_TTL_S)
        elif readers:
            # AWS turns one CNAME; here the addresses take turns behind the one name.
            addresses = [self.servers[name].configuration.address for name in readers]
            names.set(record.reader_endpoint, addresses, NAME_TTL_S)

    def withdraw_names(self) -> None:
        for name in (self.record.endpoint, self.record.reader_endpoint):
            self.around.names.remove(name)
        for member in self.record.instances.values():
            self.around.names.remove(member.endpoint)

    def _place(self, name: str | None) -> tuple[str, int] | None:
        server = self.servers.get(name or "")
        if server is None:
            return None
        return server.configuration.address, server.configuration.port

    def _reader_place(self) -> tuple[str, int] | None:
        readers = readers_behind_names(self.views())
        self._turn += 1
        return self._place(readers[self._turn % len(readers)]) if readers else None
