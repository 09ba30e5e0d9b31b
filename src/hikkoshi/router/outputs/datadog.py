"""datadog: POST to /api/v2/logs with the key in a header, as Fluent Bit's plugin does.

https://docs.fluentbit.io/manual/pipeline/outputs/datadog; the remapping of `provider ecs` follows
its source (plugins/out_datadog/datadog_remap.c).
"""

from __future__ import annotations

from typing import Any

from hikkoshi.router import VERSION
from hikkoshi.router.codec import to_json
from hikkoshi.router.event import Event
from hikkoshi.router.http import HttpClient, HttpFailed, gzip_bytes, read_tls
from hikkoshi.router.port import Log, Result
from hikkoshi.router.section import Settings

DEFAULT_HOST = "http-intake.logs.datadoghq.com"
PATH = "/api/v2/logs"
_REMAPPED = (
    "container_id", "container_name", "container_image", "ecs_cluster", "ecs_task_definition",
    "ecs_task_arn",
)  # fmt: skip


class Datadog:
    name = "datadog"

    def __init__(self, settings: Settings, log: Log) -> None:
        self._log = log
        self._key = settings.required("apikey")
        self._service = settings.text("dd_service")
        self._source = settings.text("dd_source")
        self._tags = settings.text("dd_tags")
        self._hostname = settings.text("dd_hostname")
        self._message_key = settings.text("dd_message_key") or "log"
        self._date_key = settings.text("json_date_key") or "timestamp"
        self._has_remapping = settings.text("provider") == "ecs"
        self._tag_key = settings.text("tag_key") or "tagkey"
        self._has_tag = settings.boolean("include_tag_key")
        self._is_gzip = (settings.text("compress") or "").lower() == "gzip"
        self._headers = [
            (name, value)
            for name, _, value in (e.value.partition(" ") for e in settings.many("header"))
        ]
        tls = read_tls(settings)
        self.tls = tls is not None
        host = settings.text("host") or DEFAULT_HOST
        self._client = HttpClient(host, settings.number("port", 443 if tls else 80), tls)

    def document(self, tag: str, event: Event) -> dict[str, Any]:
        """One entry of the array that is sent. The time is in milliseconds."""
        time, record = event
        entry: dict[str, Any] = {self._date_key: (time + 500_000) // 1_000_000}
        if self._has_tag:
            entry[self._tag_key] = tag
        if self._source is not None:
            entry["ddsource"] = self._source
        if self._service is not None:
            entry["service"] = self._service
        if self._hostname is not None:
            entry["hostname"] = self._hostname
        tags: list[str] = []
        for key, value in record.items():
            if self._has_remapping and key in _REMAPPED and isinstance(value, str) and value:
                tags += remap(key, value)
            else:
                entry["message" if key == self._message_key else key] = value
        if self._tags is not None:
            tags.append(self._tags)
        if tags:
            entry["ddtags"] = ",".join(tags)
        return entry

    def flush(self, tag: str, events: list[Event]) -> Result:
        body = to_json([self.document(tag, event) for event in events])
        headers = [
            ("User-Agent", "Fluent-Bit"),
            ("DD-API-KEY", self._key),
            ("DD-EVP-ORIGIN", "Fluent-Bit"),
            ("DD-EVP-ORIGIN-VERSION", VERSION),
            ("Content-Type", "application/json"),
            *self._headers,
        ]
        if self._is_gzip:
            body = gzip_bytes(body)
            headers.append(("Content-Encoding", "gzip"))
        place = f"{'https' if self.tls else 'http'}://{self._client.host}:{self._client.port}"
        try:
            response = self._client.request("POST", PATH, headers, body)
        except HttpFailed as error:
            self._log("error", "output:datadog", f"could not flush records to {place}: {error}")
            return Result.RETRY
        if not 200 <= response.status <= 205:
            self._log("error", "output:datadog", f"{place} HTTP status={response.status}")
            return Result.RETRY
        return Result.OK

    def close(self) -> None:
        self._client.close()


def remap(key: str, value: str) -> list[str]:
    """The Datadog tags that a field of ECS metadata becomes."""
    if key == "container_name":
        return [f"container_name:{value.removeprefix('/')}"]
    if key == "ecs_cluster":
        return [f"cluster_name:{value.partition('cluster/')[2] or value}"]
    if key == "ecs_task_definition":
        family, found, version = value.partition(":")
        if not found:
            return [f"ecs_task_definition:{value}"]
        return [f"task_family:{family}", f"task_version:{version}"]
    if key == "ecs_task_arn":
        tags = [f"task_arn:{value}"]
        rest = value.removeprefix("arn:aws:ecs:")
        if rest != value and ":" in rest:
            tags.append(f"region:{rest.partition(':')[0]}")
        tags.append(f"task_id:{value.partition('task/')[2] or value}")
        return tags
    return [f"{key}:{value}"]
