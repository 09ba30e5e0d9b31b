"""forward: the Fluentd forward protocol, by TCP or a Unix socket."""

from __future__ import annotations

import socket
from pathlib import Path

import msgpack

from hikkoshi.router.event import Event
from hikkoshi.router.forward import BadMessage, pack, read_message, read_plain, unpacker
from hikkoshi.router.inputs.base import Connection, Host, SocketInput
from hikkoshi.router.section import Settings, parse_size


class Forward(SocketInput):
    """The sender's tag stands, unless Tag or Tag_Prefix says otherwise."""

    def __init__(self, name: str, settings: Settings, host: Host) -> None:
        super().__init__(name, settings, host)
        self.fixed_tag = settings.text("tag")
        self.prefix = settings.text("tag_prefix") or ""
        self._address = settings.text("listen") or "0.0.0.0"
        self._port = settings.number("port", 24224)
        self._unix = settings.text("unix_path")
        self._mode = settings.read("unix_perm", None, lambda text: int(text, 8), "0644")
        settings.ignore(["buffer_chunk_size"])
        self.buffer_max = settings.read("buffer_max_size", 6_144_000, parse_size, "6M")

    def start(self) -> None:
        if self._unix:
            self.listen_unix(Path(self._unix), self._mode)
        else:
            self.listen_tcp(self._address, self._port)

    def make_connection(self, sock: socket.socket) -> Connection:
        return _Sender(sock, self)


class _Sender(Connection):
    def __init__(self, sock: socket.socket, owner: Forward) -> None:
        super().__init__(sock)
        self._owner = owner
        self._reader = unpacker(max(owner.buffer_max, self.CHUNK))
        self._counted = 0

    def feed(self, data: bytes) -> bool:
        """Messages that came at once under one tag are handed on together."""
        tag, start = "", self._counted
        events: list[Event] = []
        acks: list[object] = []
        try:
            self._reader.feed(data)
            for message in self._reader:
                event = read_plain(message, tag)
                if event is not None:
                    events.append(event)
                    continue
                found = read_message(message, self._owner.buffer_max)
                if found is None:
                    continue
                if found[0] != tag and events:
                    start = self._hand_on(tag, events, start)
                    events = []
                tag = found[0]
                events.extend(found[1])
                if "chunk" in found[2]:
                    acks.append(found[2]["chunk"])
        except (BadMessage, ValueError, msgpack.exceptions.UnpackException, TypeError) as error:
            text = str(error) or type(error).__name__
            self._owner.host.log("error", f"input:{self._owner.name}", f"bad message: {text}")
            self._finish(tag, events, start, acks)
            return False
        return self._finish(tag, events, start, acks)

    def _finish(self, tag: str, events: list[Event], start: int, acks: list[object]) -> bool:
        if events:
            self._hand_on(tag, events, start)
        self._counted = self._reader.tell()
        try:
            for chunk in acks:
                self.sock.send(pack({"ack": chunk}))
        except OSError:
            return False
        return True

    def _hand_on(self, tag: str, events: list[Event], start: int) -> int:
        owner = self._owner
        end: int = self._reader.tell()
        owner.host.ingest(owner, owner.fixed_tag or owner.prefix + tag, events, end - start)
        return end
