"""A request through the region's HAProxy to applications with the real SDKs, whose spans go through
the sidecar to the region: one trace, with the load balancer at its root."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from xray_house import Api, Sidecar, StartSidecar, wait_until

sys.path.insert(0, str(Path(__file__).parents[1] / "elb"))

from elb_house import QUICK, House

from hikkoshi.base.clock import SystemClock
from hikkoshi.evidence.build import build_store
from hikkoshi.evidence.recorder import JsonlRecorder
from hikkoshi.evidence.traces import Trace, choose_traces, complete

SERVE = """
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass

server = make_server("127.0.0.1", 0, application, Server, Quiet)
print(server.server_port, flush=True)
server.serve_forever()
"""
OPENTELEMETRY = """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(insecure=True)))
trace.set_tracer_provider(provider)

def answer(environ, start_response):
    with trace.get_tracer("test").start_as_current_span("work"):
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

application = OpenTelemetryMiddleware(answer)
"""
XRAY = """
from aws_xray_sdk.core import xray_recorder
from aws_xray_sdk.ext.flask.middleware import XRayMiddleware
from flask import Flask

xray_recorder.configure(service="genba", context_missing="LOG_ERROR")
application = Flask("genba")
XRayMiddleware(application, xray_recorder)

@application.route("/<path:name>")
def answer(name):
    with xray_recorder.in_subsegment("work"):
        return "ok"
"""


@pytest.fixture
def sidecar(api: Api, start_sidecar: StartSidecar) -> Sidecar:
    return start_sidecar(api.endpoint)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    built = House(tmp_path / "elb", QUICK)
    yield built
    built.close()


Send = Callable[..., None]


@pytest.fixture
def serve(house: House, sidecar: Sidecar) -> Iterator[Callable[..., Send]]:
    """Start a program behind the load balancer; what sends requests to it."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, captured: str = "") -> Send:
        process = subprocess.Popen(
            [sys.executable, "-c", program + SERVE],
            env=os.environ | {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sidecar.grpc}",
                "OTEL_PROPAGATORS": "tracecontext,xray",
                "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": captured,
                "OTEL_SERVICE_NAME": "genba",
                "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{sidecar.xray}",
            },
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        backend: Any = SimpleNamespace(port=int(process.stdout.readline()))
        group = house.create_group("app")
        actions = [{"Type": "forward", "TargetGroupArn": group}]
        listener = house.create_listener(house.create_balancer(), actions)
        house.register(group, backend)
        house.wait_for(group, healthy=1)

        def send(path: str, **headers: str) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", house.door(listener), timeout=30)
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET", path, headers=names)
            assert connection.getresponse().status == 200
            connection.close()

        return send

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def traces_of(
    house: House, api: Api, paths: set[str], tmp_path: Path, *lines: str
) -> dict[str, Trace]:
    """Path → the trace that a report would show of it, when all spans have come."""

    def balanced() -> list[dict[str, Any]]:
        rows = [row for row in house.recorder.rows if row["table"] == "balanced"]
        return [{k: v for k, v in row.items() if k != "table"} for row in rows]

    def seen() -> set[str]:
        rows = api.rows.of("spans")
        whole = {row["trace_id"] for row in rows if row["name"] == "work"}
        urls = [row["url"] or "" for row in rows if row["trace_id"] in whole]
        return {path for path in paths if any(url.endswith(path) for url in urls)}

    wait_until(lambda: seen() == paths, "the applications' spans came", 60)
    wait_until(lambda: paths <= {row["path"] for row in balanced()}, "the access log came", 60)
    recorder = JsonlRecorder(tmp_path / "records", SystemClock())
    for row in balanced():
        recorder.record("balanced", **row)
    for row in api.rows.of("spans"):
        recorder.record("spans", **row)
    for line in lines:
        recorder.record("logs", t=1.0, task="t", container="genba", stream="stdout", line=line)
    recorder.close()
    with build_store([tmp_path / "records"], [], tmp_path / "evidence.duckdb") as store:
        traces = complete(store, choose_traces(store))
    return {path: one for path in paths for one in traces if one.endpoint == f"GET {path}"}


def shape(trace: Trace) -> list[tuple[int, str]]:
    return [(row.depth, row.name.split(" http://")[0]) for row in trace.rows]


def test_opentelemetry_by_either_header(
    house: House, api: Api, serve: Callable[[str], Send], tmp_path: Path
) -> None:
    send = serve(OPENTELEMETRY)
    w3c, parent, root = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "5759e988"
    xray = f"1-{root}-bd862e3fe1be46a994272793"
    send("/w3c", traceparent=f"00-{w3c}-{parent}-01")
    send("/xray", X_Amzn_Trace_Id=f"Root={xray};Parent={parent};Sampled=1")
    send("/neither")
    send("/hostile", traceparent="00-<script> x-\xff-01", X_Amzn_Trace_Id="Root= a b;Root=")
    paths = {"/w3c", "/xray", "/neither", "/hostile"}
    traces = traces_of(house, api, paths, tmp_path, f'{{"trace_id": "{w3c}", "event": "read"}}')
    for path in ("/w3c", "/xray"):
        names = [(0, f"load balancer GET {path}"), (1, "GET"), (2, "work")]
        assert [(d, n.split(f" {path}")[0] if d else n) for d, n in shape(traces[path])] == names
    assert traces["/xray"].trace_id == xray
    # The load balancer's own id is the trace's; the line that carries the other id is its line.
    assert traces["/w3c"].other_ids == (f"1-{w3c[:8]}-{w3c[8:]}",)
    assert traces["/w3c"].trace_id not in traces["/w3c"].other_ids
    assert [line.container for line in traces["/w3c"].lines] == ["genba"]
    # A load balancer adds no Parent, and without one OpenTelemetry begins a trace of its own.
    for path in ("/neither", "/hostile"):
        assert [depth for depth, _ in shape(traces[path])] == [0, 1]


def test_opentelemetry_that_captures_the_header_is_joined(
    house: House, api: Api, serve: Callable[..., Send], tmp_path: Path
) -> None:
    """A Root alone, as a load balancer sends it: the SDK begins a trace of its own."""
    send = serve(OPENTELEMETRY, "X-Amzn-Trace-Id")
    root = "1-5759e988-bd862e3fe1be46a994272793"
    send("/own")
    send("/asked", X_Amzn_Trace_Id=f"Root={root}")
    traces = traces_of(house, api, {"/own", "/asked"}, tmp_path)
    for path, trace in traces.items():
        assert [depth for depth, _ in shape(trace)] == [0, 1, 2]
        assert shape(trace)[0] == (0, f"load balancer GET {path}")
        assert len(trace.other_ids) == 1 and trace.trace_id not in trace.other_ids
    assert traces["/asked"].trace_id == root


def test_the_xray_sdk_takes_up_the_balancers_own_id(
    house: House, api: Api, serve: Callable[[str], Send], tmp_path: Path
) -> None:
    send = serve(XRAY)
    send("/plain")
    send("/again", X_Amzn_Trace_Id="Root=1-5759e988-bd862e3fe1be46a994272793")
    traces = traces_of(house, api, {"/plain", "/again"}, tmp_path)
    assert shape(traces["/plain"]) == [
        (0, "load balancer GET /plain"),
        (1, "genba GET"),
        (2, "work"),
    ]
    assert traces["/again"].trace_id == "1-5759e988-bd862e3fe1be46a994272793"
    assert shape(traces["/again"])[0] == (0, "load balancer GET /again")
