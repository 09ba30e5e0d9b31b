"""cloudwatch_logs: PutLogEvents, signed, to AWS_ENDPOINT_URL (the local region, as a rule).

Without an endpoint nothing is sent anywhere: the records are captured.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Mapping

from hikkoshi.base.errors import BadInput
from hikkoshi.router.accessor import as_text
from hikkoshi.router.codec import to_json
from hikkoshi.router.event import Event
from hikkoshi.router.http import HttpClient, HttpFailed, Tls
from hikkoshi.router.outputs.captured import Captured
from hikkoshi.router.port import Log, Output, Result
from hikkoshi.router.section import Settings

MAX_EVENTS = 10_000
MAX_BATCH = 1_048_576
MAX_EVENT = 262_144
OVERHEAD = 26
"""PutLogEvents: at most 10,000 events and 1 MiB a batch, 26 bytes counted on top of each."""


def make_cloudwatch_logs(
    kind: str, settings: Settings, log: Log, environ: Mapping[str, str]
) -> Output:
    endpoint = settings.text("endpoint") or environ.get(
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", environ.get("AWS_ENDPOINT_URL")
    )
    group = settings.required("log_group_name")
    stream = settings.text("log_stream_name")
    prefix = settings.text("log_stream_prefix")
    region = settings.required("region")
    if (stream is None) == (prefix is None):
        raise BadInput(
            f"{kind}: either log_stream_name or log_stream_prefix is required, not both",
            where=settings.section.where,
            fix="write `log_stream_prefix app-`",
        )
    key = settings.text("log_key")
    creates = settings.boolean("auto_create_group")
    settings.ignore(["log_format", "auto_retry_requests", "log_retention_days", "metric_namespace"])
    if not endpoint:
        return Captured(kind, settings, log, "no AWS_ENDPOINT_URL is set")
    return CloudWatchLogs(kind, endpoint, region, group, stream, prefix, key, creates, log, environ)


class CloudWatchLogs:
    tls = False

    def __init__(
        self, kind: str, endpoint: str, region: str, group: str, stream: str | None,
        prefix: str | None, key: str | None, creates_group: bool, log: Log,
        environ: Mapping[str, str],
    ) -> None:  # fmt: skip
        self.name = kind
        self._region = region
        self._group = group
        self._stream = stream
        self._prefix = prefix
        self._key = key
        self._creates_group = creates_group
        self._log = log
        self._environ = environ
        scheme, _, rest = endpoint.rstrip("/").partition("://")
        host, _, port = rest.partition(":")
        tls = Tls() if scheme == "https" else None
        self._client = HttpClient(host, int(port or (443 if tls else 80)), tls)
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def flush(self, tag: str, events: list[Event]) -> Result:
        stream = self._stream or f"{self._prefix}{tag}"
        try:
            with self._lock:
                if stream not in self._known:
                    self._create(stream)
                    self._known.add(stream)
            for batch in batches(events, self._key):
                self._call(
                    "PutLogEvents",
                    {"logGroupName": self._group, "logStreamName": stream, "logEvents": batch},
                )
        except HttpFailed as error:
            self._log("error", f"output:{self.name}", str(error))
            return Result.RETRY
        return Result.OK

    def _create(self, stream: str) -> None:
        if self._creates_group:
            self._call("CreateLogGroup", {"logGroupName": self._group}, "ResourceAlreadyExists")
        self._call(
            "CreateLogStream",
            {"logGroupName": self._group, "logStreamName": stream},
            "ResourceAlreadyExists",
        )

    def _call(self, operation: str, body: object, allowed: str | None = None) -> None:
        payload = json.dumps(body).encode()
        headers = sign(
            payload, f"Logs_20140328.{operation}", self._client.host, self._client.port,
            self._region, credentials(self._environ), time.time(),
        )  # fmt: skip
        response = self._client.request("POST", "/", headers, payload)
        if response.status == 200 or (allowed and allowed.encode() in response.body):
            return
        text = response.body[:300].decode("utf-8", "replace")
        raise HttpFailed(f"{operation} was refused (HTTP {response.status}): {text}")

    def close(self) -> None:
        self._client.close()


def batches(events: list[Event], key: str | None) -> list[list[dict[str, object]]]:
    """Within PutLogEvents' limits and in the order of time; key: only that field is sent."""
    out: list[list[dict[str, object]]] = []
    size = 0
    for moment, record in sorted(events, key=lambda event: event[0]):
        if key is not None and key in record:
            raw = as_text(record[key]).encode("utf-8", "replace")
        else:
            raw = to_json(record)
        message = raw[: MAX_EVENT - OVERHEAD].decode("utf-8", "ignore")
        if not message:
            continue
        cost = len(message.encode()) + OVERHEAD
        if not out or size + cost > MAX_BATCH or len(out[-1]) >= MAX_EVENTS:
            out.append([])
            size = 0
        out[-1].append({"timestamp": moment // 1_000_000, "message": message})
        size += cost
    return out


def credentials(environ: Mapping[str, str]) -> tuple[str, str, str | None]:
    """(access key, secret, session token): the environment's, else the task role's."""
    if environ.get("AWS_ACCESS_KEY_ID"):
        return (
            environ["AWS_ACCESS_KEY_ID"],
            environ.get("AWS_SECRET_ACCESS_KEY", ""),
            environ.get("AWS_SESSION_TOKEN"),
        )
    path = environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    if not path:
        raise HttpFailed("no credentials: neither AWS_ACCESS_KEY_ID nor a task role is there")
    response = HttpClient("169.254.170.2", 80).request("GET", path, [], b"")
    try:
        found = json.loads(response.body)
        return (found["AccessKeyId"], found["SecretAccessKey"], found.get("Token"))
    except (ValueError, KeyError, TypeError) as error:
        raise HttpFailed(f"the task role's credentials could not be read: {error}") from error


def sign(
    payload: bytes, target: str, host: str, port: int, region: str,
    keys: tuple[str, str, str | None], now: float,
) -> list[tuple[str, str]]:  # fmt: skip
    """Signature Version 4 for a JSON call of CloudWatch Logs; the headers to send with it."""
    access, secret, token = keys
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    shown = host if port in (80, 443) else f"{host}:{port}"
    signed = {
        "content-type": "application/x-amz-json-1.1", "host": shown, "x-amz-date": stamp,
        "x-amz-target": target,
    }  # fmt: skip
    if token:
        signed["x-amz-security-token"] = token
    names = ";".join(sorted(signed))
    canonical = "\n".join(
        ["POST", "/", "", *(f"{n}:{signed[n]}" for n in sorted(signed)), "", names,
         hashlib.sha256(payload).hexdigest()]
    )  # fmt: skip
    scope = f"{stamp[:8]}/{region}/logs/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = b"AWS4" + secret.encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    value = f"AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={names}, Signature="
    headers = [(name, text) for name, text in signed.items() if name != "host"]
    return [*headers, ("Authorization", value + key.hex())]
