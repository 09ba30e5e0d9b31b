"""tcp: JSON values, or lines (Format none), from a TCP port. FireLens has one as health check."""

from __future__ import annotations

import json
import socket
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.router.event import Event
from hikkoshi.router.inputs.base import Connection, Host, SocketInput
from hikkoshi.router.section import Settings

_decode = json.JSONDecoder().raw_decode
KIB = 1024


class Tcp(SocketInput):
    """A message of more than Buffer_Size KiB ends its connection, as in Fluent Bit: what it held
    is lost, and one line says so."""

    def __init__(self, name: str, settings: Settings, host: Host) -> None:
        super().__init__(name, settings, host)
        self._address = settings.text("listen") or "0.0.0.0"
        self._port = settings.number("port", 5170)
        self.format = (settings.text("format") or "json").lower()
        separator = settings.text("separator") or "\\n"
        self.separator = separator.encode().decode("unicode_escape").encode("latin-1")
        chunk = settings.number("chunk_size", 32)
        self.buffer_max = settings.number("buffer_size", chunk) * KIB
        if self.format not in ("json", "none"):
            raise BadInput(
                f"tcp: unknown format {self.format!r}",
                where=settings.section.where,
                fix="write `Format json` or `Format none`",
            )

    def start(self) -> None:
        self.listen_tcp(self._address, self._port)

    def make_connection(self, sock: socket.socket) -> Connection:
        return _Sender(sock, self)


class _Sender(Connection):
    def __init__(self, sock: socket.socket, owner: Tcp) -> None:
        super().__init__(sock)
        self._owner = owner
        self._rest = b""

    def feed(self, data: bytes) -> bool:
        owner = self._owner
        buffer = self._rest + data
        events: list[Event] = []
        is_good = True
        if owner.format == "none":
            *lines, self._rest = buffer.split(owner.separator)
            now = owner.host.wall()
            for line in lines:
                if line:
                    events.append((now, {"log": line.decode("utf-8", "surrogateescape")}))
        else:
            is_good = self._read_json(buffer, events)
        if events:
            owner.host.ingest(owner, owner.tag, events, len(buffer) - len(self._rest))
        if len(self._rest) > owner.buffer_max:
            owner.host.log(
                "error",
                f"input:{owner.name}",
                f"a message of {len(self._rest)} bytes is over Buffer_Size "
                f"({owner.buffer_max} bytes): dropped, connection closed",
            )
            return False
        return is_good

    def _read_json(self, buffer: bytes, events: list[Event]) -> bool:
        text = buffer.decode("utf-8", "surrogateescape")
        position = 0
        while True:
            while position < len(text) and text[position] in " \t\r\n\0":
                position += 1
            if position >= len(text):
                break
            try:
                value, position = _decode(text, position)
            except ValueError as error:
                if text[position] not in "{[" or "\n" in text[position:].strip():
                    where = f"input:{self._owner.name}"
                    self._owner.host.log("warn", where, f"invalid JSON message: {error}")
                    self._rest = b""
                    return False
                break
            except RecursionError:
                self._rest = b""
                return False
            events.extend(self._events(value))
        self._rest = text[position:].encode("utf-8", "surrogateescape")
        return True

    def _events(self, value: Any) -> list[Event]:
        now = self._owner.host.wall()
        found = value if isinstance(value, list) else [value]
        return [(now, record) for record in found if isinstance(record, dict)]

    def end(self) -> bool:
        if self._rest and self._owner.format == "none":
            self.feed(self._owner.separator)
        return False
