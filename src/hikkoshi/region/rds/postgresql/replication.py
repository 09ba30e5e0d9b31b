"""Standbys and the writer that they follow, through PostgreSQL's own views."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from hikkoshi.base.errors import CannotRun, DeadlinePassed
from hikkoshi.region.rds.decisions import has_diverged, parse_position
from hikkoshi.region.rds.engine import ServerSilent
from hikkoshi.region.rds.postgresql.configuration import Following
from hikkoshi.region.rds.postgresql.server import PostgresServer

POLL_S = 0.02
DEADLINE_S = 60.0


def place_of(server: PostgresServer) -> Following:
    return Following(server.configuration.address, server.configuration.port)


async def received(server: PostgresServer) -> int:
    """The position up to which a standby has the log."""
    rows = await server.ask("SELECT pg_last_wal_receive_lsn()::text")
    return parse_position(rows[0][0])


class StreamingReplication:
    """As the protocol Replication says; a position is one in the write-ahead log, in bytes."""

    async def join(self, server: PostgresServer, writer: PostgresServer, *, has_data: bool) -> None:
        """Start a server as a standby of the writer, and wait until it streams. Data of its own is
        brought onto the writer's line where that can be done; else it becomes a fresh copy."""
        source = place_of(writer)
        if has_data:
            # Until its first checkpoint a promoted server names its old line to pg_rewind.
            await writer.ask("CHECKPOINT")
        is_rewound = has_data and await server.rewind_to(source)
        server.configure(following=source, sync=())
        if is_rewound:
            try:
                await server.start()
                await _wait_until_streaming(writer, server.configuration.name)
                return
            except (CannotRun, DeadlinePassed):
                await server.stop(is_hard=True)
        await server.copy_from(source)
        await server.start()
        await _wait_until_streaming(writer, server.configuration.name)

    async def resume(self, server: PostgresServer, writer: PostgresServer) -> None:
        """Start a standby on the data that it had when it and its writer were killed; where those
        cannot be gone on with (the writer had just changed), it becomes a fresh copy."""
        server.configure(following=place_of(writer), sync=())
        try:
            await server.start()
            await _wait_until_streaming(writer, server.configuration.name)
        except (CannotRun, DeadlinePassed):
            await server.stop(is_hard=True)
            await self.join(server, writer, has_data=False)

    async def follow(
        self, server: PostgresServer, writer: PostgresServer, promoted_at: int
    ) -> None:
        """Turn a running standby to a new writer, promoted at that position of the log."""
        if has_diverged(await received(server), promoted_at):
            await server.stop(is_hard=True)
            await self.join(server, writer, has_data=True)
            return
        server.configure(following=place_of(writer), sync=())
        await server.reload()
        await _wait_until_streaming(writer, server.configuration.name)

    async def cut_off(self, target: PostgresServer, others: Sequence[PostgresServer]) -> int:
        """Wait until a standby has noticed that its writer is gone; what it has then is all it
        will have, and since commits waited for every standby, all that any has."""
        server = target
        deadline = time.monotonic() + DEADLINE_S
        query = "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'"
        while (await server.ask(query))[0][0]:
            if time.monotonic() > deadline:
                raise DeadlinePassed(
                    f"the standby {server.configuration.name} did not notice within "
                    f"{DEADLINE_S:.0f} s that its writer had stopped"
                )
            await asyncio.sleep(POLL_S)
        return await received(server)

    async def replayed(self, server: PostgresServer, writer: PostgresServer) -> None:
        """Wait until a standby has replayed all that the writer has written until now."""
        (row,) = await writer.ask("SELECT pg_current_wal_lsn()::text")
        deadline = time.monotonic() + DEADLINE_S
        query = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        while not (await server.ask(query, (row[0],)))[0][0]:
            if time.monotonic() > deadline:
                raise DeadlinePassed(
                    f"the reader {server.configuration.name} did not replay the log up to {row[0]} "
                    f"within {DEADLINE_S:.0f} s"
                )
            await asyncio.sleep(POLL_S)

    async def wait_for_commits_on(
        self, writer: PostgresServer, readers: Sequence[PostgresServer]
    ) -> None:
        """From now on a commit is acknowledged only when all of these have it."""
        standbys = sorted(server.configuration.name for server in readers)
        writer.configure(sync=tuple(standbys))
        await writer.reload()
        if not standbys:
            return
        (row,) = await writer.ask("SELECT pg_current_wal_flush_lsn()::text")
        query = (
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = ANY(%s) "
            "AND sync_state = 'sync' AND flush_lsn >= %s::pg_lsn"
        )
        deadline = time.monotonic() + DEADLINE_S
        while (await writer.ask(query, (list(standbys), row[0])))[0][0] < len(standbys):
            if time.monotonic() > deadline:
                writer.configure(sync=())
                await writer.reload()
                raise DeadlinePassed(
                    f"the readers {', '.join(standbys)} did not catch up with "
                    f"{writer.configuration.name} within {DEADLINE_S:.0f} s"
                )
            await asyncio.sleep(POLL_S)

    async def promote(self, target: PostgresServer) -> None:
        target.configure(sync=())
        await target.promote()


async def _wait_until_streaming(writer: PostgresServer, name: str) -> None:
    query = (
        "SELECT count(*) FROM pg_stat_replication "
        "WHERE application_name = %s AND state = 'streaming'"
    )
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            if (await writer.ask(query, (name,)))[0][0]:
                return
        except ServerSilent as error:
            if not writer.is_running:
                raise CannotRun(f"the writer ended while {name} joined it") from error
        if time.monotonic() > deadline:
            raise DeadlinePassed(
                f"the reader {name} did not stream from {writer.configuration.name} "
                f"within {DEADLINE_S:.0f} s"
            )
        await asyncio.sleep(POLL_S)
