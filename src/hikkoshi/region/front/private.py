"""The region's own calls under `/_hikkoshi/`: JSON in, JSON out, and only for this machine."""

from __future__ import annotations

import asyncio
import concurrent.futures
import ipaddress
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from hikkoshi.base.errors import HikkoshiError
from hikkoshi.region.front.port import AwsError
from hikkoshi.region.front.request import Request
from hikkoshi.region.front.serialize import Response

PREFIX = "/_hikkoshi/"
RESET = "/_hikkoshi/reset"

PrivateCall = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

_log = logging.getLogger(__name__)


def is_our_name(host: str, names: frozenset[str]) -> bool:
    """Whether a Host header names this machine: loopback, or one of `names`, with any port.

    A web page elsewhere that points its own name at 127.0.0.1 (DNS rebinding) is told by this.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name in names or name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class PrivateCalls:
    """path → async handler(parameters) → answer. GET takes the query string's parameters, POST a
    JSON object. A handler's AwsError or HikkoshiError becomes {"error": code, "message": text}."""

    def __init__(
        self,
        calls: Mapping[str, PrivateCall],
        *,
        names: frozenset[str],
        loop: asyncio.AbstractEventLoop,
        deadline_s: float,
    ) -> None:
        self._calls = dict(calls)
        self._names = names
        self._loop = loop
        self._deadline_s = deadline_s

    def answer(self, request: Request) -> Response:
        host = request.headers.get("host", "")
        if not is_our_name(host, self._names):
            return _refuse(403, "ForeignHost", f"{host[:100]!r} is not a name of this region")
        call = self._calls.get(request.path)
        if call is None:
            known = ", ".join(sorted(self._calls)) or "none"
            return _refuse(404, "NotFound", f"no such call; there are: {known}")
        try:
            return _reply(200, self._run(call, _parameters(request)))
        except AwsError as error:
            return _refuse(error.status, error.code, error.message)
        except HikkoshiError as error:
            return _refuse(400, type(error).__name__, str(error))
        except KeyError as fault:
            _log.exception("%s failed", request.path)
            return _refuse(500, "InternalFailure", f"KeyError: {fault}")
        except LookupError as error:
            return _refuse(404, "NotFound", str(error))
        except (TypeError, ValueError) as error:
            return _refuse(400, "BadRequest", f"a parameter is not as it should be: {error}")
        except Exception as fault:
            _log.exception("%s failed", request.path)
            return _refuse(500, "InternalFailure", f"{type(fault).__name__}: {fault}")

    def run_if_known(self, path: str) -> None:
        """A call of our own making, not a client's. Raises what it raises."""
        call = self._calls.get(path)
        if call is not None:
            self._run(call, {})

    def _run(self, call: PrivateCall, parameters: dict[str, Any]) -> dict[str, Any]:
        async def run() -> dict[str, Any]:
            return await call(parameters)

        future = asyncio.run_coroutine_threadsafe(run(), self._loop)
        try:
            return future.result(self._deadline_s)
        except (concurrent.futures.TimeoutError, concurrent.futures.CancelledError) as error:
            future.cancel()
            message = f"the call was not done within {self._deadline_s:g} s"
            raise AwsError("ServiceUnavailable", message, 503) from error


class _Asked(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        raise AwsError("BadRequest", f"the parameter {name!r} is missing")


def _parameters(request: Request) -> dict[str, Any]:
    if request.method == "GET":
        return _Asked(parse_qsl(request.query, keep_blank_values=True))
    if request.method != "POST":
        raise AwsError("MethodNotAllowed", "GET or POST", 405)
    # A form or text/plain could be sent by any web page without asking; JSON cannot.
    if request.body and not request.headers.get("content-type", "").startswith("application/json"):
        raise AwsError("UnsupportedMediaType", "the body must be application/json", 415)
    try:
        document = json.loads(request.body or b"{}")
    except (ValueError, RecursionError) as error:
        raise AwsError("BadRequest", f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise AwsError("BadRequest", "the body must be a JSON object")
    return _Asked(document)


def _refuse(status: int, code: str, message: str) -> Response:
    return _reply(status, {"error": code, "message": message})


def _reply(status: int, document: dict[str, Any]) -> Response:
    body = json.dumps(document, default=str).encode()
    return Response(status, {"Content-Type": "application/json"}, body)
