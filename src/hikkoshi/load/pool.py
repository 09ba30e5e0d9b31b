"""The open connections: which is taken for a request, which gives way to another."""

from __future__ import annotations

import select
import ssl
from collections.abc import Sequence
from typing import NamedTuple

from hikkoshi.load.carrier import Lane
from hikkoshi.load.connection import Connection, Job, failure_of
from hikkoshi.load.failures import Failure
from hikkoshi.load.limits import Limits
from hikkoshi.load.request import Address, Prepared
from hikkoshi.load.totals import Totals

# After so long in idleness, a connection is looked at before it is trusted.
_TRUSTED_IDLE_S = 1.0


class CannotOpen(NamedTuple):
    failure: Failure
    detail: str


class Pool:
    """fds: every open connection by its descriptor."""

    def __init__(
        self,
        epoll: select.epoll,
        targets: Sequence[Prepared],
        limits: Limits,
        tls: ssl.SSLContext | None,
        totals: Totals,
    ) -> None:
        self.fds: dict[int, Connection] = {}
        self._epoll = epoll
        self._most = limits.connections
        self._tls = tls
        self._totals = totals
        self._addresses: dict[int, Address] = {id(t.address): t.address for t in targets}

    def has_room(self, address: Address) -> bool:
        """Whether `open` may be called, while fewer requests are at work than there are places."""
        return True

    def take(self, job: Job, now: float) -> Connection | Lane | None:
        """The idle connection that was used last; None when there is none."""
        target = job.target
        idle = target.address.idle
        while idle:
            connection = idle.pop()
            if target.is_idempotent and now - connection.idle_since <= _TRUSTED_IDLE_S:
                return connection
            # A request that cannot be repeated is worth a look whether the peer has hung up.
            if not connection.is_stale():
                return connection
            self.drop(connection)
        return None

    def open(self, address: Address) -> Connection | Lane | CannotOpen:
        """A new one; when all are open, an idle one to somewhere else gives way."""
        return self._connect(address)

    def _connect(self, address: Address) -> Connection | CannotOpen:
        if len(self.fds) >= self._most:
            self._close_an_idle_one()
        try:
            connection = Connection(address, self._tls)
        except (OSError, ValueError) as error:
            kind = failure_of(error) if isinstance(error, OSError) else Failure.CONNECT_FAILED
            return CannotOpen(kind, str(error))
        self._addresses.setdefault(id(address), address)
        self.fds[connection.fd] = connection
        self._epoll.register(connection.fd, select.EPOLLIN | select.EPOLLOUT)
        totals = self._totals
        totals.opened += 1
        totals.peak_connections = max(totals.peak_connections, len(self.fds))
        return connection

    def _close_an_idle_one(self) -> None:
        for address in self._addresses.values():
            if address.idle:
                self.drop(address.idle.pop(0))
                return

    def drop(self, connection: Connection | Lane) -> None:
        if isinstance(connection, Connection):
            del self.fds[connection.fd]
        connection.close()

    def close(self) -> None:
        for connection in list(self.fds.values()):
            self.drop(connection)
