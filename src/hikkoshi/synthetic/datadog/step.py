"""A step of Datadog's: turned into a request, judged, extracted from."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from hikkoshi.synthetic import xpath
from hikkoshi.synthetic.checks import Check
from hikkoshi.synthetic.datadog.assertions import judge
from hikkoshi.synthetic.datadog.bodies import body_of
from hikkoshi.synthetic.datadog.operators import BadTarget, expression, text
from hikkoshi.synthetic.datadog.variables import generate
from hikkoshi.synthetic.definition import CannotCapture, Captured, Flow
from hikkoshi.synthetic.jsonpath import parse_path
from hikkoshi.synthetic.reply import CannotTry, Reply
from hikkoshi.synthetic.requests import (
    ClientCertificate,
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
from hikkoshi.synthetic.templates import filled_known, names_in

_PORTS = {"ssl": 443, "tcp": 80, "udp": 53}


@dataclass(frozen=True, slots=True)
class DatadogStep:
    """`document` is the step as Datadog has it (a test of one request is one step), `options` are
    its test's. own_url: of the test's first HTTP request, as written: its origin is what a base
    address replaces."""

    title: str
    where: str
    kind: str
    document: Mapping[str, Any]
    options: Mapping[str, Any]
    own_url: str = ""
    flow: Flow = field(default_factory=Flow)
    why_not: str | None = None

    @property
    def timeout_s(self) -> float | None:
        given = self._asked.get("timeout")
        is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
        return float(given) if is_number and given else None

    @property
    def _asked(self) -> Mapping[str, Any]:
        found = self.document.get("request")
        return found if isinstance(found, dict) else {}

    def used_names(self) -> list[str]:
        return names_in([dict(self._asked), self.document.get("assertions") or []])

    def captured_names(self) -> list[str]:
        return [str(each.get("name")) for each in self.document.get("extractedValues") or []]

    def request(self, names: Mapping[str, Any], base_url: str | None) -> Request:
        if self.kind == "wait":
            return Wait(float(self.document.get("value") or 0))
        asked = filled_known(generated(self._asked), names)
        own = origin(str(filled_known(self.own_url, names)))
        match self.kind:
            case "http":
                return self._http(asked, own, base_url)
            case "websocket":
                return self._websocket(asked, own, base_url)
            case "dns":
                port = int(asked.get("dnsServerPort") or 53)
                types = self._record_types()
                return DnsRequest(_host(asked), types, asked.get("dnsServer") or None, port)
            case "icmp":
                return IcmpRequest(_host(asked), int(asked.get("numberOfPackets") or 4))
        port = int(asked.get("port") or _PORTS[self.kind])
        if self.kind == "udp":
            return UdpRequest(_host(asked), port, str(asked.get("message") or "").encode())
        types_asserted = {a.get("type") for a in self.document.get("assertions") or []}
        if self.kind == "tcp":
            return TcpRequest(_host(asked), port, "connection" in types_asserted)
        return TlsRequest(
            _host(asked),
            port,
            asked.get("servername") or None,
            is_insecure=self._has("accept_self_signed", "ignore_certificate_validation"),
            is_lowest_asked="minTlsVersion" in types_asserted,
            client_certificate=_client(asked),
        )

    def check(self, reply: Reply, names: Mapping[str, Any]) -> tuple[Check, ...]:
        return tuple(
            judge(filled_known(each, names), reply)
            for each in self.document.get("assertions") or []
        )

    def capture(self, reply: Reply) -> tuple[Captured, ...]:
        return tuple(extract(each, reply) for each in self.document.get("extractedValues") or [])

    def _http(self, asked: Mapping[str, Any], own: str, base_url: str | None) -> HttpRequest:
        url = rebased(str(asked.get("url") or ""), own, base_url)
        query = asked.get("query")
        if isinstance(query, dict) and query:
            url += ("&" if urlsplit(url).query else "?") + urlencode(query, doseq=True)
        headers = _headers(asked)
        body, kind = body_of(asked)
        if kind and "content-type" not in {name.lower() for name, _ in headers}:
            headers.append(("Content-Type", kind))
        return HttpRequest(
            str(asked.get("method") or "GET").upper(),
            url.replace(" ", "%20"),
            tuple(headers),
            body,
            is_following=self._has("follow_redirects"),
            is_insecure=self._has("allow_insecure", "ignore_certificate_validation"),
            client_certificate=_client(asked),
        )

    def _websocket(
        self, asked: Mapping[str, Any], own: str, base_url: str | None
    ) -> WebSocketRequest:
        url = rebased(str(asked.get("url") or ""), own, base_url)
        message = asked.get("message")
        data = None if message is None else str(message).encode()
        is_binary = bool(asked.get("isMessageBase64Encoded"))
        if data is not None and is_binary:
            try:
                data = base64.b64decode(data, validate=True)
            except ValueError:
                raise CannotTry("the message is said to be base64, and is not") from None
        return WebSocketRequest(
            url.replace("http", "ws", 1) if url.startswith("http") else url,
            tuple(_headers(asked)),
            data,
            is_binary,
            self._has("allow_insecure", "accept_self_signed"),
        )

    def _has(self, *switches: str) -> bool:
        return any(self._asked.get(name, self.options.get(name)) is True for name in switches)

    def _record_types(self) -> tuple[str, ...]:
        found = [
            str(each.get("property") or "A")
            for each in self.document.get("assertions") or []
            if each.get("type") in ("recordEvery", "recordSome")
        ]
        return tuple(dict.fromkeys(found)) or ("A",)


def generated(value: Any) -> Any:
    """Built-in values may stand in a request, too."""
    if isinstance(value, str):
        return generate(value, datetime.now(UTC)) if "{{" in value else value
    if isinstance(value, dict):
        return {key: generated(each) for key, each in value.items()}
    return [generated(each) for each in value] if isinstance(value, list) else value


def origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def rebased(url: str, own: str, base_url: str | None) -> str:
    """The address with the test's own origin replaced by the base address; a path alone gets it."""
    if url.startswith("/"):
        if base_url is None:
            raise CannotTry(f"{url} is a path alone: give --base-url")
        return base_url + url
    if "://" not in url:
        url = f"https://{url}"
    if base_url is None or origin(url) != own:
        return url
    rest = url.split("://", 1)[1]
    path = rest[len(urlsplit(url).netloc) :]
    return base_url + path


def extract(wanted: Mapping[str, Any], reply: Reply) -> Captured:
    """One of extractedValues. Raises CannotCapture."""
    name = str(wanted.get("name"))
    source: str | None
    match wanted.get("type"):
        case "http_status_code":
            source = str(reply.status)
        case "http_header":
            source = reply.headers.get(str(wanted.get("field") or "").lower())
            if source is None:
                raise CannotCapture(f"nothing to extract as {name}: no header {wanted['field']}")
        case "http_body":
            source = reply.body.decode("utf-8", "replace")
        case other:
            raise CannotCapture(f"{name} is extracted from {other}, which is not known here")
    parser = wanted.get("parser") or {"type": "raw"}
    return Captured(name, _parsed(name, parser, source), bool(wanted.get("secure")))


def _parsed(name: str, parser: Mapping[str, Any], source: str) -> Any:
    pattern = str(parser.get("value") or "")
    try:
        match parser.get("type"):
            case "raw":
                return source
            case "json_path":
                values = parse_path(pattern).find(json.loads(source))
            case "x_path":
                values = xpath.find(pattern, source.encode())
            case "regex":
                found = expression(pattern).search(source)
                values = [] if found is None else [found[1] if found.groups() else found[0]]
            case other:
                raise CannotCapture(f"{name} is extracted by {other}, which is not known here")
    except (ValueError, BadTarget, xpath.NotMarkup) as error:
        raise CannotCapture(f"nothing to extract as {name}: {error}") from error
    if not values:
        raise CannotCapture(f"nothing to extract as {name}: {pattern} leads nowhere")
    return values[0] if isinstance(values[0], str) else text(values[0])


def _host(asked: Mapping[str, Any]) -> str:
    """Some write a whole address where only a host belongs."""
    host = str(asked.get("host") or "").rpartition("://")[2]
    return host.partition("/")[0].strip("[]")


def _client(asked: Mapping[str, Any]) -> ClientCertificate | None:
    given = asked.get("certificate")
    if not isinstance(given, dict):
        return None
    parts = [(given.get(side) or {}).get("content") for side in ("cert", "key")]
    if not all(parts):
        raise CannotTry("the client certificate's content is kept by Datadog alone")
    return ClientCertificate(str(parts[0]), str(parts[1]))


def _headers(asked: Mapping[str, Any]) -> list[tuple[str, str]]:
    headers = [(str(n), text(v)) for n, v in (asked.get("headers") or {}).items()]
    login = asked.get("basicAuth")
    if isinstance(login, dict):
        pair = f"{login.get('username', '')}:{login.get('password', '')}"
        headers.append(("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}"))
    return headers
