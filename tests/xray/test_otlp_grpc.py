"""OTLP over gRPC: the real SDK and the real grpc client against the stand-in as a process."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest
from h2.connection import H2Connection
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from test_sidecar import otlp_request
from xray_house import Api, Sidecar, StartSidecar, wait_until

from hikkoshi.region.xray.http import MAX_BODY

SDK_PROGRAM = """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider(resource=Resource.create({"service.name": "genba"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(insecure=True)))
tracer = provider.get_tracer("test")
with tracer.start_as_current_span("GET /reports", kind=trace.SpanKind.SERVER) as root:
    for number in range(700):
        attributes = {"db.system": "postgresql", "db.statement": f"SELECT {number}"}
        with tracer.start_as_current_span(
            "SELECT", kind=trace.SpanKind.CLIENT, attributes=attributes
        ):
            pass
provider.shutdown()
print(format(root.get_span_context().trace_id, "032x"))
"""


@pytest.fixture
def sidecar(api: Api, start_sidecar: StartSidecar) -> Sidecar:
    return start_sidecar(api.endpoint)


@pytest.fixture
def channel(sidecar: Sidecar) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc}") as channel:
        yield channel


@pytest.mark.parametrize("compression", [{}, {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}])
def test_the_real_sdk_delivers_all(api: Api, sidecar: Sidecar, compression: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SDK_PROGRAM],
        env=os.environ
        | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sidecar.grpc}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "50",
            **compression,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    trace = done.stdout.strip()
    wait_until(lambda: len(api.rows.of("spans")) >= 701, "the SDK's spans arrived")
    rows = api.rows.of("spans")
    assert {row["trace_id"] for row in rows} == {f"1-{trace[:8]}-{trace[8:]}"}
    (root,) = [row for row in rows if row["parent_id"] is None]
    assert root["name"] == "GET /reports"
    queries = [row for row in rows if row["sql"]]
    assert {row["sql"] for row in queries} == {f"SELECT {number}" for number in range(700)}
    assert {row["parent_id"] for row in queries} == {root["span_id"]}
    code, log = sidecar.stop()
    assert code == 0 and "701 received, 701 sent, 0 rejected, 0 dropped" in log


def test_a_part_that_is_refused_is_told_and_counted(
    api: Api, sidecar: Sidecar, channel: grpc.Channel
) -> None:
    answer = TraceServiceStub(channel).Export(otlp_request(), timeout=60)
    assert answer.partial_success.rejected_spans == 1
    whole = TraceServiceStub(channel).Export(ExportTraceServiceRequest(), timeout=60)
    assert not whole.HasField("partial_success")
    assert sidecar.stop()[0] == 0
    assert len(api.rows.of("spans")) == 2
    assert [row["count"] for row in api.rows.of("dropped")] == [1]


def test_metrics_are_taken_and_left_aside(sidecar: Sidecar, channel: grpc.Channel) -> None:
    stub = metrics_service_pb2_grpc.MetricsServiceStub(channel)
    answer = stub.Export(metrics_service_pb2.ExportMetricsServiceRequest(), timeout=60)
    assert not answer.HasField("partial_success")


@pytest.mark.parametrize(
    ("path", "message", "status", "words"),
    [
        ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", b"\xff\xff",
         grpc.StatusCode.INVALID_ARGUMENT, "not OTLP"),
        ("/opentelemetry.proto.collector.profiles.v1.ProfilesService/Export", b"",
         grpc.StatusCode.UNIMPLEMENTED, "not an Export"),
        ("/genba.Reports/List", b"", grpc.StatusCode.UNIMPLEMENTED, "/genba.Reports/List"),
        ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", b"\0" * (MAX_BODY + 1),
         grpc.StatusCode.RESOURCE_EXHAUSTED, "more than"),
    ],
)  # fmt: skip
def test_what_is_refused_has_its_status(
    sidecar: Sidecar, channel: grpc.Channel, path: str, message: bytes,
    status: grpc.StatusCode, words: str,
) -> None:  # fmt: skip
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(path)(message, timeout=60)
    assert (raised.value.code(), words in raised.value.details()) == (status, True)
    # The connection goes on.
    answer = TraceServiceStub(channel).Export(otlp_request(), timeout=60)
    assert answer.partial_success.rejected_spans == 1


@pytest.mark.parametrize(
    ("compression", "status"),
    [
        (grpc.Compression.Gzip, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (grpc.Compression.Deflate, grpc.StatusCode.UNIMPLEMENTED),
    ],
)
def test_compression(
    sidecar: Sidecar, channel: grpc.Channel, compression: grpc.Compression,
    status: grpc.StatusCode,
) -> None:  # fmt: skip
    """A small message that unpacks to more than is taken; an encoding that is not known."""
    call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
    with pytest.raises(grpc.RpcError) as raised:
        call(b"\0" * (MAX_BODY + 1), timeout=60, compression=compression)
    assert raised.value.code() == status


def talk(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        found = b""
        while part := s.recv(65536):
            found += part
        return found


def test_http_1_is_told_which_port_is_meant(sidecar: Sidecar) -> None:
    answer = talk(sidecar.grpc, b"POST /v1/traces HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400") and b"4318" in answer


def test_garbage_costs_only_its_own_connection(
    api: Api, sidecar: Sidecar, channel: grpc.Channel
) -> None:
    dice = random.Random(7)
    client = H2Connection()
    client.initiate_connection()
    begun = client.data_to_send()
    headers = [(":method", "POST"), (":path", "/a"), (":scheme", "http"), (":authority", "a"),
               ("te", "trailers")]  # fmt: skip
    client.send_headers(1, [*headers, ("content-type", "text/plain")], end_stream=True)
    assert talk(sidecar.grpc, begun + client.data_to_send())  # 415
    client.send_headers(3, [*headers, ("content-type", "application/grpc")])
    client.send_data(3, b"\1\0\0")
    unfinished = client.data_to_send()
    for data in (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
        begun + unfinished,
        begun + b"\0\0\xff\xff\xff\xff\xff\xff\xff",
        begun + b"\xff\xff\xff" * 1000,
        *(begun + dice.randbytes(400) for _ in range(40)),
        # Valid frame heads with arbitrary types, flags and bodies.
        *(begun + b"\0\0\x20" + dice.randbytes(2) + b"\0\0\0\1" + dice.randbytes(32)
          for _ in range(40)),
    ):  # fmt: skip
        talk(sidecar.grpc, data)
    TraceServiceStub(channel).Export(otlp_request(), timeout=60)
    code, log = sidecar.stop()
    assert code == 0 and "Traceback" not in log, log
    assert len(api.rows.of("spans")) == 2
