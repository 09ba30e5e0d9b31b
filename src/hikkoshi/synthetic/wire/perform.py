"""Sends one request of any kind and times it by phases."""

from __future__ import annotations

import http.client
import socket
import ssl
import time

from hikkoshi.synthetic.reply import CannotTry, ExchangeFailed, Reply, Timings
from hikkoshi.synthetic.requests import (
    DnsRequest,
    HttpRequest,
    IcmpRequest,
    Request,
    TcpRequest,
    TlsRequest,
    UdpRequest,
    Wait,
    WebSocketRequest,
)
from hikkoshi.synthetic.wire.clock import Watch
from hikkoshi.synthetic.wire.icmp import exchange_icmp
from hikkoshi.synthetic.wire.names import exchange_dns
from hikkoshi.synthetic.wire.sockets import exchange_tcp, exchange_tls, exchange_udp
from hikkoshi.synthetic.wire.web import exchange_http
from hikkoshi.synthetic.wire.websocket import exchange_websocket

__all__ = ["CannotTry", "ExchangeFailed", "perform"]


def perform(request: Request, *, timeout_s: float, connect_to: str | None = None) -> Reply:
    """One request and what came of it.

    connect_to: `host:port` or `unix:/path`, instead of what the address says. timeout_s is for
    the whole exchange, redirects included. Raises ExchangeFailed, CannotTry.
    """
    watch = Watch(timeout_s)
    try:
        match request:
            case HttpRequest():
                return exchange_http(request, watch, connect_to)
            case TlsRequest():
                return exchange_tls(request, watch, connect_to)
            case TcpRequest():
                return exchange_tcp(request, watch, connect_to)
            case UdpRequest():
                return exchange_udp(request, watch)
            case DnsRequest():
                return exchange_dns(request, watch)
            case WebSocketRequest():
                return exchange_websocket(request, watch, connect_to)
            case IcmpRequest():
                return exchange_icmp(request, watch)
            case Wait():
                time.sleep(request.seconds)
                return Reply(Timings(total_s=request.seconds))
    except (OSError, http.client.HTTPException) as error:
        kind, detail = told(error, timeout_s)
        raise ExchangeFailed(kind, detail, watch.timings()) from error
    except ValueError as error:
        # A host name that cannot be one (IDNA), a port that is no number, a header with a line
        # break: http.client and socket say so as ValueError.
        raise ExchangeFailed("INVALID_REQUEST", str(error), watch.timings()) from error


def told(error: OSError | http.client.HTTPException, timeout_s: float) -> tuple[str, str]:
    """The kind and the words for what went wrong."""
    match error:
        case TimeoutError():
            return "TIMEOUT", f"not done within {timeout_s:g} s"
        case ConnectionRefusedError():
            return "CONNREFUSED", "nothing listens there"
        case socket.gaierror():
            return "DNS", str(error)
        case ssl.SSLCertVerificationError():
            return "SSL", f"the certificate was refused: {error.verify_message}"
        case ssl.SSLError():
            return "SSL", str(error)
        case http.client.RemoteDisconnected():
            return "CONNRESET", "closed without an answer"
        case ConnectionError() | http.client.IncompleteRead():
            return "CONNRESET", "reset, or closed within the answer"
        case http.client.HTTPException():
            return "MALFORMED_RESPONSE", f"{type(error).__name__}: {error}"[:200]
    kind = {113: "HOSTUNREACH", 101: "NETUNREACH"}.get(error.errno or 0, "CONNREFUSED")
    return kind, str(error)
