"""What the databases do, sampled into the evidence: how each engine knows it is its observer's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from hikkoshi.base.clock import Clock
from hikkoshi.model.evidence import Recorder
from hikkoshi.region.rds.engine import Server, ServerSilent, Statement

INTERVAL_S = 0.5


def summed(rows: Iterable[Statement]) -> list[Statement]:
    """One row a query over all servers: readers are copies, so a query has one id on all."""
    found: dict[str, Statement] = {}
    for queryid, text, calls, count, seconds in rows:
        _, text, c, n, s = found.get(queryid, (queryid, text, 0, 0, 0.0))
        found[queryid] = (queryid, text, c + calls, n + count, s + seconds)
    return list(found.values())


Member = tuple[str, str, Server]
"""name, role (`writer` or `reader`), server."""


class Sampler:
    """Every half second a row of `database` for each server that answers, and the new rows of its
    log. A server that does not answer has no row for that moment."""

    def __init__(
        self, members: Callable[[], list[Member]], recorder: Recorder, clock: Clock
    ) -> None:
        self._members = members
        self._recorder = recorder
        self._clock = clock
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Read the logs' ends, and stop."""
        self.read_logs()
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None

    async def mark(self, name: str) -> int:
        """Record the statements counted so far under that name; their number."""
        gathered: list[Statement] = []
        for _, _, server in self._members():
            if server.is_running:
                gathered += await server.observer.statements()
        now = self._clock.now()
        rows = summed(gathered)
        for queryid, text, calls, count, seconds in rows:
            self._recorder.record(
                "queries", t=now, mark=name, queryid=queryid, query=text, calls=calls, rows=count,
                total_s=seconds,
            )  # fmt: skip
        for member, role, server in self._members():
            if server.is_running:
                await self._record_scans(member, role, server, name)
        self.read_logs()
        return len(rows)

    async def _record_scans(self, member: str, role: str, server: Server, mark: str) -> None:
        """Of a server that goes away meanwhile there are no rows."""
        try:
            found = await server.observer.scans(with_plans=role == "writer")
        except ServerSilent:
            return
        now = self._clock.now()
        for table in found.tables:
            self._recorder.record("table_scans", t=now, mark=mark, instance=member, **table)
        for plan in found.plans:
            self._recorder.record("scan_plans", t=now, **plan)

    def read_logs(self) -> None:
        now = self._clock.now()
        for name, _, server in self._members():
            for row in server.observer.log_rows(now):
                self._recorder.record("database_log", **({"instance": name} | row))

    async def sample(self) -> None:
        await asyncio.gather(*(self._sample(*member) for member in self._members()))
        self.read_logs()

    async def _sample(self, name: str, role: str, server: Server) -> None:
        if not server.is_running:
            return
        try:
            async with asyncio.timeout(2.0):
                seen = await server.observer.sample()
        except (ServerSilent, TimeoutError):
            return
        now = self._clock.now()
        self._recorder.record("database", t=now, instance=name, role=role, **seen.activity)
        for columns in seen.clients:
            self._recorder.record("database_clients", t=now, instance=name, **columns)
        for columns in seen.sessions:
            self._recorder.record("database_sessions", t=now, instance=name, **columns)

    async def _run(self) -> None:
        while True:
            began = self._clock.monotonic()
            await self.sample()
            # A beat, not a wait for something: the evidence is a series in time.
            await asyncio.sleep(max(0.05, INTERVAL_S - (self._clock.monotonic() - began)))
