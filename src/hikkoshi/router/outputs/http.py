"""http: POST records as JSON or msgpack. https://docs.fluentbit.io/manual/pipeline/outputs/http"""

from __future__ import annotations

import base64
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.router.codec import to_json
from hikkoshi.router.event import TIME_STYLES, Event, format_time
from hikkoshi.router.forward import event_time, pack
from hikkoshi.router.http import HttpClient, HttpFailed, gzip_bytes, read_tls
from hikkoshi.router.port import Log, Result
from hikkoshi.router.section import Settings

_TYPES = {
    "json": "application/json",
    "json_lines": "application/x-ndjson",
    "json_stream": "application/json",
    "msgpack": "application/msgpack",
}


class JsonShape:
    """json_date_key and json_date_format, shared by the outputs that write JSON."""

    def __init__(self, settings: Settings) -> None:
        key = settings.text("json_date_key") or "date"
        self._key = None if key.lower() == "false" else key
        self._style = (settings.text("json_date_format") or "double").lower()
        if self._style not in TIME_STYLES:
            raise BadInput(
                f"{settings.plugin}: unknown json_date_format {self._style!r}",
                where=settings.section.where,
                fix="one of " + ", ".join(TIME_STYLES),
            )

    def document(self, event: Event) -> dict[str, Any]:
        if self._key is None:
            return event[1]
        return {self._key: format_time(event[0], self._style), **event[1]}

    def encode(self, style: str, events: list[Event]) -> bytes:
        """style json: one array; json_lines: one a line; json_stream: one after another."""
        if style == "json":
            return to_json([self.document(event) for event in events])
        parts = [to_json(self.document(event)) for event in events]
        return (
            b"".join(part + b"\n" for part in parts) if style == "json_lines" else b"".join(parts)
        )


class HttpOutput:
    name = "http"

    def __init__(self, settings: Settings, log: Log) -> None:
        self._log = log
        self._format = (settings.text("format") or "msgpack").lower()
        if self._format not in _TYPES:
            raise BadInput(
                f"http: format {self._format!r} is not interpreted by the stand-in",
                where=settings.section.where,
                fix="one of " + ", ".join(_TYPES),
            )
        self._json = JsonShape(settings)
        self._path = settings.text("uri") or "/"
        self._is_gzip = (settings.text("compress") or "").lower() == "gzip"
        self._tag_header = settings.text("header_tag")
        self._headers = [
            (name, value)
            for name, _, value in (e.value.partition(" ") for e in settings.many("header"))
        ]
        user = settings.text("http_user")
        if user is not None:
            secret = f"{user}:{settings.text('http_passwd') or ''}".encode()
            self._headers.append(("Authorization", "Basic " + base64.b64encode(secret).decode()))
        settings.ignore(["allow_duplicated_headers", "log_response_payload"])
        tls = read_tls(settings)
        self.tls = tls is not None
        host = settings.text("host") or "127.0.0.1"
        self._client = HttpClient(host, settings.number("port", 443 if tls else 80), tls)

    def flush(self, tag: str, events: list[Event]) -> Result:
        if self._format == "msgpack":
            body = b"".join(pack([event_time(time), record]) for time, record in events)
        else:
            body = self._json.encode(self._format, events)
        headers = [
            ("User-Agent", "Fluent-Bit"), ("Content-Type", _TYPES[self._format]), *self._headers
        ]  # fmt: skip
        if self._tag_header:
            headers.append((self._tag_header, tag))
        if self._is_gzip:
            body = gzip_bytes(body)
            headers.append(("Content-Encoding", "gzip"))
        try:
            response = self._client.request("POST", self._path, headers, body)
        except HttpFailed as error:
            self._log("error", "output:http", str(error))
            return Result.RETRY
        if 200 <= response.status <= 205:
            return Result.OK
        place = f"{self._client.host}:{self._client.port}"
        self._log("error", "output:http", f"{place}, HTTP status={response.status}")
        return Result.RETRY

    def close(self) -> None:
        self._client.close()
