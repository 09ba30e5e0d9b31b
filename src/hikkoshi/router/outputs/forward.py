"""forward: on to another Fluent Bit or Fluentd, by TCP or a Unix socket."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from hikkoshi.router.event import Event
from hikkoshi.router.forward import event_time, pack, unpacker, write_message
from hikkoshi.router.http import CONNECT_TIMEOUT_S, RESPONSE_TIMEOUT_S, gzip_bytes, read_tls
from hikkoshi.router.port import Log, Result
from hikkoshi.router.section import Settings


class ForwardOutput:
    """One connection, kept; a lock hands it to one worker at a time."""

    name = "forward"

    def __init__(self, settings: Settings, log: Log) -> None:
        self._log = log
        self._host = settings.text("host") or "127.0.0.1"
        self._port = settings.number("port", 24224)
        self._unix = settings.text("unix_path")
        self._tag = settings.text("tag")
        self._is_whole = settings.boolean("time_as_integer")
        self._wants_ack = settings.boolean("require_ack_response")
        self._is_gzip = (settings.text("compress") or "").lower() == "gzip"
        settings.ignore(["send_options", "retain_metadata_in_forward_mode"])
        self._secure = read_tls(settings)
        self.tls = self._secure is not None
        self._connection: socket.socket | None = None
        self._lock = threading.Lock()

    def flush(self, tag: str, events: list[Event]) -> Result:
        options: dict[str, Any] = {"size": len(events), "fluent_signal": 0}
        chunk = os.urandom(16).hex()
        if self._wants_ack:
            options["chunk"] = chunk
        data = self._encode(self._tag or tag, events, options)
        with self._lock:
            try:
                connection = self._connected()
                connection.sendall(data)
                if self._wants_ack:
                    self._await_ack(connection, chunk)
            except (OSError, ValueError) as error:
                self._drop()
                where = self._unix or f"{self._host}:{self._port}"
                self._log("error", "output:forward", f"could not send to {where}: {error}")
                return Result.RETRY
        return Result.OK

    def _encode(self, tag: str, events: list[Event], options: dict[str, Any]) -> bytes:
        if not self._is_gzip:
            return write_message(tag, events, options, whole=self._is_whole)
        entries = b"".join(
            pack([time // 10**9 if self._is_whole else event_time(time), record])
            for time, record in events
        )
        return pack([tag, gzip_bytes(entries), {**options, "compressed": "gzip"}])

    def _connected(self) -> socket.socket:
        if self._connection is not None:
            self._connection.setblocking(False)
            try:
                if not self._connection.recv(1, socket.MSG_PEEK):
                    self._drop()
            except (BlockingIOError, ValueError):
                pass
            except OSError:
                self._drop()
        if self._connection is None:
            if self._unix:
                raw = socket.socket(socket.AF_UNIX)
                raw.settimeout(CONNECT_TIMEOUT_S)
                raw.connect(self._unix)
            else:
                raw = socket.create_connection((self._host, self._port), CONNECT_TIMEOUT_S)
            if self._secure is not None:
                name = self._secure.vhost or self._host
                raw = self._secure.context().wrap_socket(raw, server_hostname=name)
            self._connection = raw
        self._connection.settimeout(RESPONSE_TIMEOUT_S)
        return self._connection

    def _await_ack(self, connection: socket.socket, chunk: str) -> None:
        reader = unpacker(65536)
        while True:
            data = connection.recv(4096)
            if not data:
                raise ValueError("the connection was closed before the acknowledgement came")
            reader.feed(data)
            for answer in reader:
                if not isinstance(answer, dict) or answer.get("ack") != chunk:
                    raise ValueError(f"the acknowledgement is for another chunk: {answer!r}")
                return

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        self._drop()
