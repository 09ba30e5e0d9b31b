"""The lanes of HTTP/2 in place of connections: those that stand are filled up before another one is
opened."""

from __future__ import annotations

import select
import ssl
from collections.abc import Sequence

from hikkoshi.load.carrier import Carrier, Ends, Lane
from hikkoshi.load.limits import Limits
from hikkoshi.load.pool import CannotOpen, Pool
from hikkoshi.load.request import Address, Prepared
from hikkoshi.load.totals import Totals


class LanePool(Pool):
    def __init__(
        self,
        epoll: select.epoll,
        targets: Sequence[Prepared],
        limits: Limits,
        tls: ssl.SSLContext | None,
        totals: Totals,
        *,
        ends: Ends,
        most_body: int,
    ) -> None:
        super().__init__(epoll, targets, limits, tls, totals)
        self._ends = ends
        self._most_lanes = limits.streams
        self._most_body = most_body
        # Those of each address that had room when they were last looked at, oldest first.
        self._roomy: dict[int, dict[Carrier, None]] = {}

    def has_room(self, address: Address) -> bool:
        return (
            self._with_room(address) is not None
            or len(self.fds) < self._most
            or self._idle_carrier() is not None
        )

    def open(self, address: Address) -> Lane | CannotOpen:
        """A lane on a connection that has room for it; a new connection if none has."""
        carrier = self._with_room(address)
        if carrier is None:
            connection = self._connect(address)
            if isinstance(connection, CannotOpen):
                return connection
            carrier = connection.carrier = Carrier(
                connection, self._epoll, self._ends, most_lanes=self._most_lanes,
                most_body=self._most_body, on_room=self._note_room, on_close=self.drop,
            )  # fmt: skip
            self._note_room(carrier)
        return carrier.lane()

    def _with_room(self, address: Address) -> Carrier | None:
        roomy = self._roomy.get(id(address), {})
        while roomy:
            carrier = next(iter(roomy))
            if carrier.has_room():
                return carrier
            del roomy[carrier]
        return None

    def _note_room(self, carrier: Carrier) -> None:
        self._roomy.setdefault(id(carrier.connection.address), {})[carrier] = None

    def _idle_carrier(self) -> Carrier | None:
        if len(self._addresses) < 2:
            return None
        carriers = (connection.carrier for connection in self.fds.values())
        return next((each for each in carriers if each is not None and each.is_idle()), None)

    def _close_an_idle_one(self) -> None:
        carrier = self._idle_carrier()
        if carrier is None:
            return
        for lane in carrier.idle_lanes():
            lane.address.idle.remove(lane)
        carrier.close()
