"""A step of our own format: turned into a request, judged, captured from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from hikkoshi.synthetic.checks import Check
from hikkoshi.synthetic.definition import CannotCapture, Captured, Flow
from hikkoshi.synthetic.expectations import Condition, Expectation, check_reply
from hikkoshi.synthetic.jsonpath import JsonPath
from hikkoshi.synthetic.reply import Reply
from hikkoshi.synthetic.requests import DnsRequest, HttpRequest, Request, TcpRequest, TlsRequest
from hikkoshi.synthetic.templates import filled, filled_text, names_in

_SAFE = "/?#[]@!$&'()*+,;=:%-._~"


@dataclass(frozen=True, slots=True)
class NativeStep:
    """method: of HTTP, or TCP, TLS, DNS, whose `path` is then host:port or a name.

    body None: none; text or bytes as they are; anything else is sent as JSON. capture: names that
    later steps may use as {{name}}, each from a path of the JSON answer, or from a header.
    """

    method: str
    path: str
    where: str
    headers: tuple[tuple[str, str], ...] = ()
    body: Any = None
    expect: Expectation = field(default_factory=Expectation)
    capture_from: tuple[tuple[str, JsonPath | str], ...] = ()
    is_following: bool = False
    is_insecure: bool = False
    flow: Flow = field(default_factory=Flow)
    why_not: str | None = None

    @property
    def title(self) -> str:
        return f"{self.method} {self.path}"

    def used_names(self) -> list[str]:
        operands = [
            condition.operand
            for condition in (
                *(condition for _, condition in self.expect.headers),
                *(condition for _, condition in self.expect.json),
                *(condition for _, condition in self.expect.xpath),
                *self.expect.body,
            )
        ]
        return names_in([self.path, [list(pair) for pair in self.headers], self.body, operands])

    def captured_names(self) -> list[str]:
        return [name for name, _ in self.capture_from]

    def request(self, names: Mapping[str, Any], base_url: str | None) -> Request:
        if self.method in ("TCP", "TLS"):
            host, port = split_place(filled_text(self.path, names), 443)
            if self.method == "TCP":
                is_refusal = self.expect.connection is not None
                return TcpRequest(host, port, is_refusal_an_answer=is_refusal)
            return TlsRequest(host, port, is_insecure=self.is_insecure)
        if self.method == "DNS":
            return DnsRequest(
                filled_text(self.path, names), tuple(dict(self.expect.records)) or ("A",)
            )
        path = _path(self.path, names)
        url = path if path.startswith(("http://", "https://")) else (base_url or "") + path
        headers, body = _content(self, names)
        return HttpRequest(
            self.method,
            quote(url, safe=_SAFE),
            tuple(headers),
            body,
            is_following=self.is_following,
            is_insecure=self.is_insecure,
        )

    def check(self, reply: Reply, names: Mapping[str, Any]) -> tuple[Check, ...]:
        is_http = self.method not in ("TCP", "TLS", "DNS")
        return check_reply(_filled_expectation(self.expect, names), reply, is_http=is_http)

    def capture(self, reply: Reply) -> tuple[Captured, ...]:
        return tuple(Captured(name, _captured(name, s, reply)) for name, s in self.capture_from)


def split_place(text: str, default_port: int) -> tuple[str, int]:
    """`host:port`, `[::1]:port` or a host alone. ValueError: the port is none."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        return text.strip("[]"), default_port
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{port!r} is not a port")
    return host.strip("[]"), int(port)


def _captured(name: str, source: JsonPath | str, reply: Reply) -> Any:
    if isinstance(source, str):
        if source not in reply.headers:
            raise CannotCapture(f"nothing to capture as {name}: no header {source}")
        return reply.headers[source]
    try:
        values = source.find(json.loads(reply.body))
    except ValueError:
        raise CannotCapture(f"nothing to capture as {name}: the answer is not JSON") from None
    if not values:
        raise CannotCapture(f"nothing to capture as {name}: {source.text} leads nowhere")
    return values if source.is_many else values[0]


def _path(text: str, names: Mapping[str, Any]) -> str:
    """Values inside a path are percent-encoded; one that the path begins with is an address of
    its own (a captured Location) and stays as it is."""
    begin, end = "", text
    if text.startswith("{{"):
        begin, _, end = text.partition("}}")
        begin = filled_text(begin + "}}", names)
    return begin + filled_text(end, names, lambda value: quote(value, safe=""))


def _content(
    step: NativeStep, names: Mapping[str, Any]
) -> tuple[list[tuple[str, str]], bytes | None]:
    headers = [(name, filled_text(value, names)) for name, value in step.headers]
    body: bytes | None = None
    if isinstance(step.body, str):
        body = filled_text(step.body, names).encode("utf-8")
    elif step.body is not None:
        body = json.dumps(filled(step.body, names), ensure_ascii=False).encode("utf-8")
        if "content-type" not in {name.lower() for name, _ in headers}:
            headers.append(("Content-Type", "application/json"))
    return headers, body


def _filled_expectation(expected: Expectation, names: Mapping[str, Any]) -> Expectation:
    def filled_condition(condition: Condition) -> Condition:
        return Condition(condition.operator, filled(condition.operand, names))

    return replace(
        expected,
        headers=tuple((name, filled_condition(each)) for name, each in expected.headers),
        json=tuple((path, filled_condition(each)) for path, each in expected.json),
        xpath=tuple((path, filled_condition(each)) for path, each in expected.xpath),
        body=tuple(filled_condition(each) for each in expected.body),
    )
