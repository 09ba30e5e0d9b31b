"""The daemon's stand-in as a process: the real SDK, OTLP, losses, its end."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from xray_house import SOURCE, Api, StartSidecar, wait_until

SDK_PROGRAM = """
import sys
from aws_xray_sdk.core import xray_recorder
xray_recorder.configure(service="genba", sampling=True, context_missing="LOG_ERROR")
with xray_recorder.in_segment("genba") as segment:
    segment.put_http_meta("url", "http://genba/reports")
    segment.put_http_meta("method", "GET")
    for number in range(40):
        with xray_recorder.in_subsegment("db", namespace="remote") as query:
            query.set_sql({"sanitized_query": "SELECT 1 WHERE id = %s", "database_type": "pg"})
    try:
        with xray_recorder.in_subsegment("broken"):
            raise ValueError("planted")
    except ValueError:
        pass
print(segment.trace_id, segment.sampled)
"""


def send(port: int, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for data in datagrams:
            s.sendto(data, ("127.0.0.1", port))


def datagram(number: int) -> bytes:
    document = {
        "name": "genba",
        "id": f"{number:016x}",
        "trace_id": f"1-5759e988-{number:024x}",
        "start_time": 1.0,
        "end_time": 2.0,
    }
    return b'{"format":"json","version":1}\n' + json.dumps(document).encode()


def post(port: int, path: str, body: bytes, **headers: str) -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", path, body, names)
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.getheader("content-type", "")
    connection.close()
    return found


def test_the_real_sdk_delivers_through_it(api: Api, start_sidecar: StartSidecar) -> None:
    sidecar = start_sidecar(api.endpoint)
    done = subprocess.run(
        [sys.executable, "-c", SDK_PROGRAM],
        env=os.environ | {"AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{sidecar.xray}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    trace_id, sampled = done.stdout.split()
    assert sampled in ("1", "True")
    wait_until(lambda: len(api.rows.of("spans")) >= 42, "the SDK's spans arrived")
    rows = api.rows.of("spans")
    assert {row["trace_id"] for row in rows} == {trace_id}
    (root,) = [row for row in rows if row["parent_id"] is None]
    assert (root["name"], root["method"], root["url"]) == ("genba", "GET", "http://genba/reports")
    queries = [row for row in rows if row["sql"]]
    assert len(queries) == 40 and {row["parent_id"] for row in queries} == {root["span_id"]}
    (broken,) = [row for row in rows if row["name"] == "broken"]
    assert broken["fault"]
    assert len({row["span_id"] for row in rows}) == len(rows) == 42
    code, log = sidecar.stop()
    assert code == 0 and " 0 rejected, 0 dropped" in log


def test_sampling_calls_are_handed_on(api: Api, start_sidecar: StartSidecar) -> None:
    sidecar = start_sidecar(api.endpoint)
    status, body, _ = post(sidecar.xray, "/GetSamplingRules", b"{}")
    (record,) = json.loads(body)["SamplingRuleRecords"]
    assert status == 200 and record["SamplingRule"]["RuleName"] == "Default"
    statistics = {
        "RuleName": "Default",
        "ClientID": "a" * 24,
        "RequestCount": 1,
        "BorrowCount": 0,
        "SampledCount": 1,
        "Timestamp": time.time(),
    }
    asked = json.dumps({"SamplingStatisticsDocuments": [statistics]}).encode()
    status, body, _ = post(sidecar.xray, "/SamplingTargets", asked)
    answer = json.loads(body)
    assert status == 200 and answer["SamplingTargetDocuments"][0]["FixedRate"] == 1.0
    assert isinstance(answer["LastRuleModification"], (int, float))
    assert post(sidecar.xray, "/TraceSegments", b"{}")[0] == 404


def test_what_is_queued_is_delivered_on_sigterm(api: Api, start_sidecar: StartSidecar) -> None:
    sidecar = start_sidecar(api.endpoint)
    send(sidecar.xray, *[datagram(number) for number in range(1, 121)], b"garbage")
    code, log = sidecar.stop()
    assert code == 0
    assert "121 received, 120 sent, 1 rejected, 0 dropped" in log
    assert len(api.rows.of("spans")) == 120
    assert [row["count"] for row in api.rows.of("dropped")] == [1]


def test_without_the_api_it_drops_counts_and_ends(start_sidecar: StartSidecar) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    sidecar = start_sidecar(f"http://127.0.0.1:{port}")
    send(sidecar.xray, datagram(1))
    status, body, _ = post(sidecar.xray, "/GetSamplingRules", b"{}")
    assert status == 502 and b"does not answer" in body
    code, log = sidecar.stop()
    assert code == 0 and "1 received, 0 sent, 0 rejected, 1 dropped" in log


def test_a_daemon_and_a_collector_share_the_ports(api: Api, start_sidecar: StartSidecar) -> None:
    """As in a task that has both: each takes what is free, and both deliver to the region."""
    daemon = start_sidecar(api.endpoint)
    collector = start_sidecar(api.endpoint, daemon.xray, daemon.otlp)
    assert (collector.xray, collector.otlp) == (0, 0)
    assert collector.grpc not in (0, daemon.grpc)
    send(daemon.xray, datagram(1))
    wait_until(lambda: len(api.rows.of("spans")) == 1, "the daemon's span arrived")
    assert (collector.stop()[0], daemon.stop()[0]) == (0, 0)


def test_nothing_to_send_to_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hikkoshi.region.xray.sidecar"],
        env={"PYTHONPATH": str(SOURCE), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2 and "AWS_ENDPOINT_URL is not set" in done.stderr


TRACE = bytes.fromhex("5759e988bd862e3fe1be46a994272793")


def otlp_request() -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    attribute = resource_spans.resource.attributes.add(key="service.name")
    attribute.value.string_value = "genba"
    spans = resource_spans.scope_spans.add().spans
    server = spans.add(trace_id=TRACE, span_id=b"\1" * 8, name="GET /reports", kind=2)
    server.start_time_unix_nano, server.end_time_unix_nano = 10**18, 10**18 + 10**9
    server.attributes.add(key="http.request.method").value.string_value = "GET"
    server.attributes.add(key="url.path").value.string_value = "/reports"
    server.attributes.add(key="server.address").value.string_value = "genba"
    server.attributes.add(key="http.response.status_code").value.int_value = 503
    query = spans.add(trace_id=TRACE, span_id=b"\2" * 8, parent_span_id=b"\1" * 8, name="SELECT")
    query.kind = 3
    query.start_time_unix_nano, query.end_time_unix_nano = 10**18 + 10**6, 10**18 + 2 * 10**6
    query.attributes.add(key="db.system").value.string_value = "postgresql"
    query.attributes.add(key="db.statement").value.string_value = "SELECT 1"
    spans.add(trace_id=b"short", span_id=b"\3" * 8, name="bad")
    return request


def otlp_json() -> dict[str, Any]:
    def attribute(key: str, value: Any) -> dict[str, Any]:
        kind = "intValue" if isinstance(value, int) else "stringValue"
        return {"key": key, "value": {kind: str(value)}}

    server = {
        "traceId": TRACE.hex(),
        "spanId": "01" * 8,
        "name": "GET /reports",
        "kind": "SPAN_KIND_SERVER",
        "startTimeUnixNano": str(10**18),
        "endTimeUnixNano": 10**18 + 10**9,
        "attributes": [
            attribute("http.request.method", "GET"),
            attribute("url.path", "/reports"),
            attribute("server.address", "genba"),
            attribute("http.response.status_code", 503),
        ],
    }
    query = {
        "traceId": TRACE.hex().upper(),
        "spanId": "02" * 8,
        "parentSpanId": "01" * 8,
        "name": "SELECT",
        "kind": 3,
        "startTimeUnixNano": str(10**18 + 10**6),
        "endTimeUnixNano": str(10**18 + 2 * 10**6),
        "attributes": [attribute("db.system", "postgresql"), attribute("db.statement", "SELECT 1")],
    }
    bad = {"traceId": "short", "spanId": "03" * 8, "startTimeUnixNano": 1, "endTimeUnixNano": 2}
    resource = {"attributes": [attribute("service.name", "genba")]}
    spans = [server, query, bad, {"no": "ids"}]
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("kind", ["application/x-protobuf", "application/json"])
def test_otlp_becomes_the_same_spans(
    api: Api, start_sidecar: StartSidecar, kind: str, encoding: str
) -> None:
    sidecar = start_sidecar(api.endpoint)
    is_json = kind == "application/json"
    body = json.dumps(otlp_json()).encode() if is_json else otlp_request().SerializeToString()
    if encoding == "gzip":
        body = gzip.compress(body)
    status, answer, answer_kind = post(
        sidecar.otlp, "/v1/traces", body, content_type=kind, content_encoding=encoding
    )
    assert status == 200 and answer_kind == kind
    if is_json:
        assert json.loads(answer) == {"partialSuccess": {"rejectedSpans": "2"}}
    else:
        assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 1
    assert sidecar.stop()[0] == 0
    server, query = api.rows.of("spans")
    assert server["trace_id"] == query["trace_id"] == "1-5759e988-bd862e3fe1be46a994272793"
    assert (server["method"], server["url"]) == ("GET", "http://genba/reports")
    assert (server["status"], server["fault"], server["name"]) == (503, True, "GET /reports")
    assert query["parent_id"] == server["span_id"] and query["sql"] == "SELECT 1"
    assert query["t_end"] - query["t_start"] == pytest.approx(0.001, abs=1e-5)
    assert {server["source"], query["source"]} == {"otlp"}


def test_otlp_says_no_in_http(api: Api, start_sidecar: StartSidecar) -> None:
    sidecar = start_sidecar(api.endpoint)
    kind = {"content_type": "application/json"}
    assert post(sidecar.otlp, "/v1/metrics", b"{}", **kind)[:2] == (200, b"{}")
    assert post(sidecar.otlp, "/v1/logs", b"", content_type="application/x-protobuf")[0] == 200
    assert post(sidecar.otlp, "/v1/traces", b"{", **kind)[0] == 400
    assert post(sidecar.otlp, "/v1/traces", b"[]", **kind)[0] == 400
    assert post(sidecar.otlp, "/v1/traces", b"x", content_encoding="gzip", **kind)[0] == 400
    assert post(sidecar.otlp, "/v1/traces", b"x", content_encoding="zstd", **kind)[0] == 415
    assert post(sidecar.otlp, "/v1/traces", b"x", content_type="text/plain")[0] == 415
    protobuf = post(sidecar.otlp, "/v1/traces", b"\xff\xff", content_type="application/x-protobuf")
    assert protobuf[0] == 400
    assert post(sidecar.otlp, "/v1/profiles", b"{}", **kind)[0] == 404
    bomb = gzip.compress(b"\0" * (40 << 20))
    assert post(sidecar.otlp, "/v1/traces", bomb, content_encoding="gzip", **kind)[0] == 413
    assert sidecar.stop()[0] == 0


def test_it_loads_only_the_standard_library() -> None:
    code = (
        "import sys, hikkoshi.region.xray.sidecar; "
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('google', 'opentelemetry', 'boto3', 'botocore', 'moto', 'psycopg', 'dnslib')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.strip() == "[]"
