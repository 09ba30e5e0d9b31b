"""Many requests at one time on a connection of HTTP/2, against a server made of the library h2."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from hikkoshi.base.errors import BadInput
from hikkoshi.load.attack import Attack
from hikkoshi.load.http2 import Http2
from hikkoshi.load.pacer import constant
from hikkoshi.load.report import LoadSummary
from hikkoshi.load.response import Unreadable
from hikkoshi.load.results import read_results
from hikkoshi.load.run import LoadRun
from hikkoshi.load.targets import parse_targets


class Http2Server:
    """Answers a connection's requests once `together` of them are there, or the last one it takes;
    /never never. after: so many, and it ends the connection in order, as nginx does (the next ones
    are not begun)."""

    def __init__(self, streams: int, together: int = 1, after: int = 1 << 30) -> None:
        self.streams, self.together, self.after = streams, together, after
        self.most = 0
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._end = threading.Event()
        self._threads[0].start()

    def _accept(self) -> None:
        while not self._end.is_set():
            if select.select([self._listener], [], [], 0.1)[0]:
                sock, _ = self._listener.accept()
                self.connections += 1
                self._threads.append(threading.Thread(target=self._serve, args=(sock,)))
                self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        connection = h2.connection.H2Connection(config)
        most = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.streams}
        connection.local_settings = h2.settings.Settings(client=False, initial_values=most)
        connection.initiate_connection()
        waiting: list[int] = []
        state = {"begun": 0, "is_ended": False}
        with sock:
            while not self._end.is_set():
                sock.sendall(connection.data_to_send())
                if not select.select([sock], [], [], 0.1)[0]:
                    continue
                data = sock.recv(65536)
                if not data:
                    return
                for event in connection.receive_data(data):
                    self._take(connection, event, waiting, state)

    def _take(self, connection: Any, event: Any, waiting: list[int], state: dict[str, Any]) -> None:
        if not isinstance(event, h2.events.RequestReceived):
            return
        if state["is_ended"] or dict(event.headers or [])[b":path"] == b"/never":
            return
        state["begun"] += 1
        waiting.append(event.stream_id)
        self.most = max(self.most, len(waiting))
        is_last = state["begun"] >= self.after
        if len(waiting) < self.together and not is_last:
            return
        for stream in waiting:
            connection.send_headers(stream, [(b":status", b"200")])
            connection.send_data(stream, b"ok", end_stream=True)
        waiting.clear()
        if is_last:
            # By hand: h2 would send nothing after a GOAWAY of its own.
            state["is_ended"] = True
            frame = event.stream_id.to_bytes(4, "big") + bytes(4)
            connection._data_to_send += b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + frame

    def close(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()


@pytest.fixture
def serve() -> Iterator[Any]:
    servers: list[Http2Server] = []

    def make(*arguments: int, **more: int) -> Http2Server:
        servers.append(Http2Server(*arguments, **more))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def carry_out(url: str, targets: str, directory: Path, **more: Any) -> LoadSummary:
    settings = {"timeout_s": 20.0, "is_http2": True, **more}
    plan = Attack.paced(parse_targets(targets), constant(200, 0.5), base_url=url, **settings)
    with LoadRun(plan, directory / "r.load") as run:
        summary = run.wait(40)
    seen = [result.seq for path in summary.files for result in read_results(path)]
    assert sorted(seen) == list(range(100)), "each request is accounted for once"
    return summary


def test_requests_share_a_connection(serve: Any, tmp_path: Path) -> None:
    # It answers by tens: one request after another would never be answered.
    server = serve(100, together=10)
    summary = carry_out(server.url, "GET /", tmp_path, connections=1, streams=50)
    assert summary.whole.statuses == {200: 100}
    assert summary.totals.opened == server.connections == 1
    assert server.most == 10
    assert summary.whole.bytes_in == 200


def test_the_server_s_own_bound_is_kept(serve: Any, tmp_path: Path) -> None:
    server = serve(4, together=4)
    summary = carry_out(server.url, "GET /", tmp_path, connections=1, streams=50)
    assert summary.whole.statuses == {200: 100}
    assert server.most == 4


def test_lanes_are_bounded_and_more_connections_come_when_they_are_full(
    serve: Any, tmp_path: Path
) -> None:
    server = serve(100)
    summary = carry_out(
        server.url, "GET /never", tmp_path, connections=3, streams=5, timeout_s=4.0, queue=10
    )
    # Nothing is answered: 15 are at work, 10 wait, and the rest does not fit.
    assert summary.whole.errors == {"Timeout": 25, "Overflow": 75}
    assert summary.totals.peak_connections == 3


def test_one_request_s_timeout_ends_no_other(serve: Any, tmp_path: Path) -> None:
    server = serve(100)
    targets = "# weight: 9\nGET /\n\nGET /never\n"
    summary = carry_out(server.url, targets, tmp_path, connections=4, streams=50, timeout_s=5.0)
    assert summary.whole.errors == {"Timeout": 10}
    assert summary.whole.statuses == {200: 90}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_is_ended_in_order_costs_no_request(
    serve: Any, tmp_path: Path, method: str
) -> None:
    server = serve(20, after=15)
    summary = carry_out(server.url, f"{method} /", tmp_path, connections=2, streams=10)
    assert summary.whole.statuses == {200: 100}
    assert not summary.whole.errors
    assert server.connections == summary.totals.opened >= 7


def test_streams_are_of_http2_alone() -> None:
    with pytest.raises(BadInput, match="several streams"):
        Attack.paced(parse_targets("GET http://h/"), constant(1, 1), streams=2)
    with pytest.raises(BadInput, match="streams is 0"):
        Attack.paced(parse_targets("GET http://h/"), constant(1, 1), streams=0, is_http2=True)


def test_a_server_of_http1_is_told_at_once_and_not_waited_for() -> None:
    http2 = Http2(is_tls=False)
    http2.request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    with pytest.raises(Unreadable, match="not HTTP/2"):
        http2.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def silent() -> socket.socket:
    """A server that takes connections and says nothing: of each, one request goes out at first."""
    return socket.create_server(("127.0.0.1", 0), backlog=64)


def of_sixty(server: socket.socket, timeout_s: float) -> Attack:
    """60 requests at once over two connections, each of which takes one at first."""
    return Attack.paced(
        parse_targets("GET /"), constant(3000, 0.02), connections=2, streams=10, is_http2=True,
        base_url=f"http://127.0.0.1:{server.getsockname()[1]}", timeout_s=timeout_s,
    )  # fmt: skip


def test_requests_that_wait_for_their_turn_time_out_together(tmp_path: Path) -> None:
    with silent() as server, LoadRun(of_sixty(server, 0.5), tmp_path / "r.load") as run:
        summary = run.wait(40)
    assert summary.whole.errors == {"Timeout": 60}


def test_requests_that_wait_for_their_turn_are_stopped_together(tmp_path: Path) -> None:
    with silent() as server, LoadRun(of_sixty(server, 60.0), tmp_path / "r.load") as run:
        while run.live().issued < 60 and not run.is_over():
            run.wait_for_change(1.0)
        run.stop(0.0)
        summary = run.wait(40)
    assert summary.whole.errors == {"Stopped": 60}
