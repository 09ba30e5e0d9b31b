"""HTTP/1.1 by waitress on sockets that are already listening; its own errors in AWS's shape."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher

_log = logging.getLogger(__name__)
_IDLE_S = 75


class _AwsShapedErrorTask(ErrorTask):  # type: ignore[misc]
    """What waitress refuses by itself (broken headers, a body too large), as AWS would say it."""

    def execute(self) -> None:
        error = self.request.error
        code = "RequestEntityTooLarge" if error.code == 413 else "BadRequest"
        document = {"__type": code, "message": f"{error.reason}: {error.body}"}
        body = json.dumps(document).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/x-amz-json-1.1"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):  # type: ignore[misc]
    error_task_class = _AwsShapedErrorTask


class _Server(TcpWSGIServer):  # type: ignore[misc]
    channel_class = _Channel


class HttpServer:
    """A WSGI application on any number of listening sockets, which it owns and closes."""

    def __init__(
        self,
        application: Callable[..., Any],
        sockets: Sequence[socket.socket],
        *,
        threads: int,
        max_body: int,
    ) -> None:
        adjustments = Adjustments(
            threads=threads,
            max_request_body_size=max_body,
            max_request_header_size=64 * 1024,
            connection_limit=1000,
            channel_timeout=_IDLE_S,
            asyncore_use_poll=True,
            expose_tracebacks=False,
            ident=None,
            clear_untrusted_proxy_headers=True,
        )
        self._map: dict[int, Any] = {}
        self._dispatcher = ThreadedTaskDispatcher()
        self._dispatcher.set_thread_count(threads)
        self._servers = [
            _Server(
                application,
                self._map,
                True,
                listening,
                dispatcher=self._dispatcher,
                adj=adjustments,
                bind_socket=False,
                sockinfo=(
                    listening.family,
                    listening.type,
                    listening.proto,
                    listening.getsockname(),
                ),
            )
            for listening in sockets
        ]
        self._is_closing = False
        self._thread = threading.Thread(target=self._loop, name="front-http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """No request that is under way is waited for longer than 2 s."""
        self._is_closing = True
        for server in self._servers:
            with contextlib.suppress(OSError):
                server.pull_trigger()
        self._thread.join(5)
        self._dispatcher.shutdown(timeout=2)
        wasyncore.close_all(self._map, ignore_all=True)

    def _loop(self) -> None:
        while not self._is_closing:
            try:
                wasyncore.loop(timeout=1.0, use_poll=True, map=self._map, count=1)
            except Exception:
                # One broken connection must not close the door for all.
                _log.exception("the front's connections hiccuped")
