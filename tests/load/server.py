"""A small HTTP server of threads that behaves well or badly, as the path asks."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers on loopback (or a unix socket) by path; `requests` has what came, in order."""

    def __init__(self, unix_path: str | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.seen: Counter[str] = Counter()
        self.release = threading.Event()
        self.ways: dict[str, Callable[[socket.socket, bytes], bool]] = {
            "/": self._send(OK),
            "/missing": self._send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            "/grouped": self._send(OK.replace(b"OK\r\n", b"OK\r\nX-Group: blue\r\n", 1)),
            "/chunked": self._pieces(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
                b"lo\r\n6;x=y\r\n world\r",
                b"\n0\r\nTrailer: 1\r\n\r\n",
            ),
            "/until-close": self._send(b"HTTP/1.1 200 OK\r\n\r\nhello", stay=False),
            "/pieces": self._pieces(OK[:10], OK[10:30], OK[30:]),
            "/garbage": self._send(b"SSH-2.0-OpenSSH_9.2\r\n"),
            "/half": self._send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhi", stay=False),
            "/huge-head": self._huge_head,
            "/reset": self._reset,
            "/close": lambda sock, request: False,
            "/never": self._never,
            "/once": self._once,
            "/polite": self._polite,
            "/head": self._send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
            "/continue": self._send(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK),
        }
        if unix_path is None:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
            self.port = self._listener.getsockname()[1]
            self.url = f"http://127.0.0.1:{self.port}"
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(unix_path)
            self._listener.listen(64)
            self.port, self.url = 0, "http://somewhere"
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.release.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Closes every open connection, as a server that restarts does."""
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError):
                while (request := self._read(sock)) is not None:
                    path = request.split(b" ", 2)[1].decode().partition("?")[0]
                    self.seen[path] += 1
                    with self._lock:
                        self.requests.append(request)
                    if not self.ways[path](sock, request):
                        return
        finally:
            with self._lock:
                self._open.discard(sock)
            sock.close()

    def _read(self, sock: socket.socket) -> bytes | None:
        data = b""
        while b"\r\n\r\n" not in data:
            block = sock.recv(65536)
            if not block:
                return None
            data += block
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(body) < length:
            body += sock.recv(65536)
        return head + b"\r\n\r\n" + body

    def _send(self, data: bytes, stay: bool = True) -> Callable[[socket.socket, bytes], bool]:
        def way(sock: socket.socket, request: bytes) -> bool:
            sock.sendall(data)
            return stay

        return way

    def _pieces(self, *pieces: bytes) -> Callable[[socket.socket, bytes], bool]:
        def way(sock: socket.socket, request: bytes) -> bool:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                sock.sendall(piece)
            return True

        return way

    def _huge_head(self, sock: socket.socket, request: bytes) -> bool:
        sock.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(2000):
            sock.sendall(b"X-Padding: " + b"x" * 1000 + b"\r\n")
        return False

    def _reset(self, sock: socket.socket, request: bytes) -> bool:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def _never(self, sock: socket.socket, request: bytes) -> bool:
        self.release.wait()
        return False

    def _polite(self, sock: socket.socket, request: bytes) -> bool:
        """Keeps alive by its words, and hangs up with the last byte of the answer."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        sock.sendall(OK)
        sock.shutdown(socket.SHUT_WR)
        return False

    def _once(self, sock: socket.socket, request: bytes) -> bool:
        """Keeps alive by its words, but closes when the next request comes: the race of every
        idle connection, made certain."""
        sock.sendall(OK)
        self._read(sock)
        return False
