"""Outputs that the stand-in knows by name only: records are counted as not delivered."""

from __future__ import annotations

from hikkoshi.router.event import Event
from hikkoshi.router.port import Log, Result
from hikkoshi.router.section import Settings

CAPTURED = frozenset(
    {
        "azure", "bigquery", "es", "firehose", "gelf", "kafka", "kinesis", "kinesis_firehose",
        "kinesis_streams", "loki", "newrelic", "nrlogs", "opensearch", "opentelemetry", "s3",
        "splunk", "stackdriver", "syslog",
    }
)  # fmt: skip


class Captured:
    tls = False

    def __init__(self, kind: str, settings: Settings, log: Log, reason: str = "") -> None:
        self.name = kind
        settings.ignore(entry.key for entry in settings.section.properties)
        log(
            "warn",
            f"output:{kind}",
            (reason or "this output is not interpreted by the stand-in")
            + "; its records are counted as captured, not delivered",
        )

    def flush(self, tag: str, events: list[Event]) -> Result:
        return Result.CAPTURED

    def close(self) -> None:
        return None
