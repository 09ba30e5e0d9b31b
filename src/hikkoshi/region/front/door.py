"""The API's door: HTTP on the sockets that were handed in, for every service of AWS."""

from __future__ import annotations

import asyncio
import io
import logging
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from hikkoshi.region.front.dispatch import Dispatcher
from hikkoshi.region.front.fallback import Environ, MotoFallback, WsgiApplication
from hikkoshi.region.front.port import Service
from hikkoshi.region.front.private import PREFIX, RESET, PrivateCall, PrivateCalls, is_our_name
from hikkoshi.region.front.request import OWN_SERVICES, Request, Route, find_route
from hikkoshi.region.front.serialize import Response, error_response
from hikkoshi.region.front.server import HttpServer

_log = logging.getLogger(__name__)

MAX_OWN_BODY = 4 * 1024 * 1024
"""Bytes; AWS's own limits for these APIs are smaller."""
MAX_BODY = 256 * 1024 * 1024
"""Bytes, for what moto answers (S3 objects, layers of images)."""

_NOT_OURS = "not implemented by the local region"


class ApiFront:
    """All of AWS's API behind one address.

    ecs, elbv2, rds and xray are answered by `services` (a missing one, or a missing operation, is
    an AWS-shaped "not implemented by the local region"); all else by moto, or by `fallback` if it
    is an application. `calls` are the private ones, by full path (`/_hikkoshi/status`). Services
    run on `loop`; HTTP in threads of its own.

    names: what the region is called beside loopback (10.0.0.1, …).
    first_use: signing name of a service that moto answers → what is done, once, before it is first
    asked.
    """

    def __init__(
        self,
        services: Mapping[str, Service],
        *,
        loop: asyncio.AbstractEventLoop,
        account_id: str = "123456789012",
        default_region: str = "ap-northeast-1",
        fallback: WsgiApplication | str | None = "moto",
        calls: Mapping[str, PrivateCall] | None = None,
        first_use: Mapping[str, Callable[[], None]] | None = None,
        names: Sequence[str] = ("10.0.0.1",),
        threads: int = 16,
        deadline_s: float = 60.0,
    ) -> None:
        foreign = sorted(set(services) - set(OWN_SERVICES))
        if foreign:
            raise ValueError(f"the front has no way to {foreign}; it knows {OWN_SERVICES}")
        self._dispatcher = Dispatcher(
            services,
            account_id=account_id,
            default_region=default_region,
            loop=loop,
            deadline_s=deadline_s,
        )
        self._names = frozenset(names)
        self._private = PrivateCalls(
            calls or {}, names=self._names, loop=loop, deadline_s=deadline_s
        )
        self._default_region = default_region
        self._first_use = dict(first_use or {})
        self._first_use_lock = threading.Lock()
        if isinstance(fallback, str):
            if fallback != "moto":
                raise ValueError("fallback is 'moto', an application or None")
            fallback = MotoFallback(account_id)
        self._fallback = fallback
        self._threads = threads
        self._server: HttpServer | None = None

    def start(self, sockets: Sequence[socket.socket]) -> threading.Thread | None:
        """Serve on listening sockets; returns at once. The answer is the thread that warms moto,
        for whoever wants to wait for it."""
        self._server = HttpServer(self, sockets, threads=self._threads, max_body=MAX_BODY)
        self._server.start()
        for service in OWN_SERVICES:
            self._dispatcher.describe(service)
        if isinstance(self._fallback, MotoFallback):
            return self._fallback.warm(self._default_region)
        return None

    def close(self) -> None:
        """Stop serving and close the sockets. Blocks for a moment, so not on the loop: requests
        under way need it."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """WSGI. Never raises, and never answers with HTML."""
        try:
            response = self._answer(environ)
        except Exception as fault:
            _log.exception("the front failed at %s", environ.get("PATH_INFO"))
            response = _shaped(_protocol(environ), "InternalFailure", str(fault), 500)
        phrase = HTTPStatus(response.status).phrase if response.status in _STATUSES else "Status"
        headers = [(name, value) for name, value in response.headers.items()]
        headers.append(("Content-Length", str(len(response.body))))
        start_response(f"{response.status} {phrase}", headers)
        return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else response.body]

    def _answer(self, environ: Environ) -> Response:
        protocol = _protocol(environ)
        origin = environ.get("HTTP_ORIGIN")
        if origin and not is_our_name(origin.partition("://")[2], self._names):
            return _shaped(protocol, "AccessDenied", "web pages may not call the local region", 403)
        request = _read(environ)
        if request.path.startswith(PREFIX):
            if len(request.body) > MAX_OWN_BODY or request.body is _UNREAD:
                return _shaped("json", "RequestEntityTooLarge", "the body is too large", 413)
            return self._private.answer(request)
        if request.method == "POST" and request.path == _MOTO_RESET:
            # What moto's own users (mock_aws in server mode) mean by it is everything.
            self._private.run_if_known(RESET)
        route = find_route(request)
        if route.service is None:
            return self._ask_fallback(environ, request, route, protocol)
        if request.body is _UNREAD:
            own = self._dispatcher.describe(route.service).protocol
            message = f"the body is larger than {MAX_OWN_BODY} bytes"
            return _shaped(own, "RequestEntityTooLarge", message, 413)
        return self._dispatcher.answer(request, route)

    def _ask_fallback(
        self, environ: Environ, request: Request, route: Route, protocol: str
    ) -> Response:
        name = route.signing_name or "this request"
        if route.signing_name is None and "x-amz-target" in request.headers:
            target = request.headers["x-amz-target"][:200]
            return _shaped("json", "UnknownOperationException", f"no service has {target!r}", 400)
        if self._fallback is None:
            return _shaped(protocol, "NotImplementedException", f"{name} is {_NOT_OURS}", 501)
        with self._first_use_lock:
            if route.signing_name in self._first_use:
                self._first_use[route.signing_name]()
                del self._first_use[route.signing_name]
        if request.body is not _UNREAD:
            environ["wsgi.input"] = io.BytesIO(request.body)
        found: list[Any] = []
        try:
            chunks = self._fallback(environ, lambda *args: found.extend(args[:2]))
            body = b"".join(chunks)
            if hasattr(chunks, "close"):
                chunks.close()
        except NotImplementedError as error:
            message = f"{name} is {_NOT_OURS}: {error}"
            return _shaped(protocol, "NotImplementedException", message, 501)
        except Exception as fault:
            return _from_moto_fault(fault, name, protocol)
        status = int(str(found[0]).split(" ", 1)[0])
        headers = {
            key: value
            for key, value in found[1]
            if not key.lower().startswith("access-control-") and key.lower() != "content-length"
        }
        is_page = any(
            key.lower() == "content-type" and "text/html" in value for key, value in headers.items()
        )
        if (
            is_page
            and status >= 400
            and body.lstrip()[:9].lower().startswith((b"<!doctype", b"<html"))
        ):
            return _shaped(protocol, "NotImplementedException", f"{name} is {_NOT_OURS}", 501)
        return Response(status, headers, body)


_MOTO_RESET = "/moto-api/reset"
_UNREAD = b"(unread: larger than what our own services take)"
_XML = ("s3", "cloudfront", "route53")
_STATUSES = frozenset(int(status) for status in HTTPStatus)


def _from_moto_fault(fault: Exception, name: str, protocol: str) -> Response:
    _log.info("moto could not answer %s", name, exc_info=fault)
    what = f"{name}, as asked, is {_NOT_OURS} (moto: {type(fault).__name__}: {str(fault)[:300]})"
    return _shaped(protocol, "NotImplementedException", what, 501)


def _read(environ: Environ) -> Request:
    """The body is read only up to what our own services take; moto gets the stream."""
    headers = {
        key[5:].replace("_", "-").lower(): str(value)
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    headers["content-type"] = str(environ.get("CONTENT_TYPE", "")).lower()
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length) if length <= MAX_OWN_BODY else _UNREAD
    return Request(
        method=str(environ.get("REQUEST_METHOD", "GET")).upper(),
        path=str(environ.get("PATH_INFO", "/")),
        query=str(environ.get("QUERY_STRING", "")),
        headers=headers,
        body=body,
    )


def _protocol(environ: Environ) -> str:
    """The shape in which an error is understood, before it is known whom the request is for."""
    if environ.get("HTTP_X_AMZ_TARGET") or "json" in str(environ.get("CONTENT_TYPE", "")):
        return "json"
    if "urlencoded" in str(environ.get("CONTENT_TYPE", "")):
        return "query"
    if "Action=" in str(environ.get("QUERY_STRING", "")):
        return "query"
    is_xml = "xml" in str(environ.get("CONTENT_TYPE", "")) or any(
        f"/{name}/aws4_request" in str(environ.get("HTTP_AUTHORIZATION", "")) for name in _XML
    )
    return "rest-xml" if is_xml else "rest-json"


def _shaped(protocol: str, code: str, message: str, status: int) -> Response:
    return error_response(protocol, code, message, status, str(uuid.uuid4()))
