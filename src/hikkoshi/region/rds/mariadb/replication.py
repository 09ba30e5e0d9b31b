"""Readers that follow a writer by GTID, semi-synchronously.

A position is the sequence number of the one replication domain. A commit waits until one reader has
it; a failover brings its target up to whichever reader has most, so that none is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from hikkoshi.base.errors import CannotRun, DeadlinePassed
from hikkoshi.region.rds.mariadb.configuration import ADMIN_DATABASE, REPLICATION, Following
from hikkoshi.region.rds.mariadb.server import MariadbServer

POLL_S = 0.03
DEADLINE_S = 60.0


def parse_position(gtids: str | None) -> int:
    """MariaDB's `0-17-42` as 42; nothing as 0. There is one domain, 0."""
    for gtid in (gtids or "").split(","):
        domain, _, rest = gtid.strip().partition("-")
        if domain == "0":
            return int(rest.partition("-")[2])
    return 0


class GtidReplication:
    """As the protocol Replication says."""

    async def join(self, server: MariadbServer, writer: MariadbServer, *, has_data: bool) -> None:
        """A fresh copy is an empty server that plays the writer's whole binary log: none of it is
        ever thrown away."""
        if has_data:
            try:
                await _start_following(server, writer)
                return
            except (CannotRun, DeadlinePassed):
                await server.stop(is_hard=True)
        await server.empty()
        await _start_following(server, writer)

    async def resume(self, server: MariadbServer, writer: MariadbServer) -> None:
        await self.join(server, writer, has_data=True)

    async def wait_for_commits_on(
        self, writer: MariadbServer, readers: Sequence[MariadbServer]
    ) -> None:
        writer.configure(awaits_readers=bool(readers))
        await writer.ask(f"SET GLOBAL rpl_semi_sync_master_enabled = {int(bool(readers))}")
        for reader in readers:
            await self.replayed(reader, writer)

    async def cut_off(self, target: MariadbServer, others: Sequence[MariadbServer]) -> int:
        got = {server: await _received_when_cut_off(server) for server in (target, *others)}
        ahead = max(got, key=lambda server: (got[server], server is target))
        if ahead is not target:
            await _turn(target, ahead)
            await _until(
                f"{target.configuration.name} has what {ahead.configuration.name} has",
                lambda: _has_received(target, got[ahead]),
                target,
            )
        return got[ahead]

    async def promote(self, target: MariadbServer) -> None:
        name = target.configuration.name
        received = await _received(target)
        await target.ask("STOP SLAVE IO_THREAD")
        await _until(
            f"{name} has applied what it received", lambda: _has_applied(target, received), target
        )
        await target.ask("STOP SLAVE")
        await target.ask("RESET SLAVE ALL")
        target.configure(following=None, awaits_readers=False)
        await target.ask("SET GLOBAL rpl_semi_sync_slave_enabled = 0")
        await target.ask("SET GLOBAL rpl_semi_sync_master_enabled = 0")
        await target.ask("SET GLOBAL read_only = 0")

    async def follow(self, server: MariadbServer, writer: MariadbServer, promoted_at: int) -> None:
        """One that has applied more than the promoted one is refused by it, and copied anew."""
        try:
            await _turn(server, writer)
            await _wait_until_it_follows(server, writer)
        except (CannotRun, DeadlinePassed):
            await server.stop(is_hard=True)
            await self.join(server, writer, has_data=False)

    async def replayed(self, server: MariadbServer, writer: MariadbServer) -> None:
        wanted = parse_position((await writer.ask("SELECT @@gtid_binlog_pos"))[0][0])
        await _until(
            f"the reader {server.configuration.name} has applied the writer's log up to {wanted}",
            lambda: _has_applied(server, wanted),
            server,
        )


async def _start_following(server: MariadbServer, writer: MariadbServer) -> None:
    server.configure(following=_place_of(writer), awaits_readers=False)
    await server.launch()
    # What a former writer wrote is in its own log alone; a reader's is there too.
    (row,) = await server.ask("SELECT @@gtid_binlog_pos")
    await server.ask("SET GLOBAL gtid_slave_pos = %s", (row[0],))
    await _turn(server, writer)
    await _wait_until_it_follows(server, writer)


def _place_of(server: MariadbServer) -> Following:
    return Following(server.configuration.address, server.configuration.own_port)


async def _turn(server: MariadbServer, source: MariadbServer) -> None:
    """Let a running server follow that one."""
    place = _place_of(source)
    server.configure(following=place, awaits_readers=False)
    await server.ask("STOP SLAVE")
    await server.ask(
        "CHANGE MASTER TO MASTER_HOST = %s, MASTER_PORT = %s, MASTER_USER = %s, "
        "MASTER_PASSWORD = %s, MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1",
        (place.address, place.port, REPLICATION, source.secrets.replication),
    )
    await server.ask("SET GLOBAL rpl_semi_sync_slave_enabled = 1")
    await server.ask("SET GLOBAL rpl_semi_sync_master_enabled = 0")
    await server.ask("SET GLOBAL read_only = 1")
    await server.ask("START SLAVE")


async def _wait_until_it_follows(server: MariadbServer, writer: MariadbServer) -> None:
    """A transaction of now must arrive: only that shows that the two have one line behind them,
    since a writer looks at its own log before it sends."""
    await writer.ask(f"INSERT INTO {ADMIN_DATABASE}.heartbeat VALUES ()")
    wanted = parse_position((await writer.ask("SELECT @@gtid_binlog_pos"))[0][0])

    async def has_it() -> bool:
        if not writer.is_running:
            raise CannotRun(f"the writer ended while {server.configuration.name} joined it")
        status = await server.ask_named("SHOW SLAVE STATUS")
        return status.get("Slave_IO_Running") == "Yes" and await _has_applied(server, wanted)

    await _until(
        f"the reader {server.configuration.name} follows {writer.configuration.name}",
        has_it,
        server,
    )


async def _received_when_cut_off(server: MariadbServer) -> int:
    """Once it has noticed that its writer is gone: what it has then is all it will have."""

    async def has_noticed() -> bool:
        status = await server.ask_named("SHOW SLAVE STATUS")
        return status.get("Slave_IO_Running") != "Yes"

    await _until(f"{server.configuration.name} notices the writer's end", has_noticed, server)
    return await _received(server)


async def _received(server: MariadbServer) -> int:
    status = await server.ask_named("SHOW SLAVE STATUS")
    applied = parse_position((await server.ask("SELECT @@gtid_slave_pos"))[0][0])
    return max(applied, parse_position(status.get("Gtid_IO_Pos")))


async def _has_received(server: MariadbServer, position: int) -> bool:
    return await _received(server) >= position


async def _has_applied(server: MariadbServer, position: int) -> bool:
    return parse_position((await server.ask("SELECT @@gtid_slave_pos"))[0][0]) >= position


async def _until(
    what: str, condition: Callable[[], Awaitable[bool]], reader: MariadbServer
) -> None:
    """Raises CannotRun as soon as the reader's replication has failed for good."""
    deadline = time.monotonic() + DEADLINE_S
    while not await condition():
        status = await reader.ask_named("SHOW SLAVE STATUS")
        # 1236: the source has another history than this reader.
        if status.get("Last_IO_Errno") == 1236 or status.get("Last_SQL_Errno"):
            said = status.get("Last_SQL_Error") or status.get("Last_IO_Error")
            raise CannotRun(f"{reader.configuration.name} cannot follow: {said}")
        if time.monotonic() > deadline:
            said = status.get("Last_IO_Error") or "no error is told"
            raise DeadlinePassed(f"not within {DEADLINE_S:.0f} s: {what} ({said})")
        await asyncio.sleep(POLL_S)
