"""What a hostile or broken sender does: it is dropped and counted, or kept as plain text; what is
good beside it arrives, and nothing hangs."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from xray_house import Api, StartSidecar, wait_until

from hikkoshi.base.clock import SystemClock
from hikkoshi.evidence.build import build_store
from hikkoshi.evidence.recorder import JsonlRecorder
from hikkoshi.evidence.traces import choose_traces, complete
from hikkoshi.findings.judge import judge
from hikkoshi.region.xray.service import XrayService
from hikkoshi.report.html import json_for_script

HEADER = b'{"format":"json","version":1}\n'
TRACE = "1-5759e988-00000000000000000000000a"
SCRIPT = "</script><script>alert(1)</script>\u2028<!--"
LARGEST = 65_507  # what one UDP datagram over IPv4 can carry


def document(number: int, **more: Any) -> dict[str, Any]:
    return {
        "name": "genba", "id": f"{number:016x}", "trace_id": TRACE, "start_time": 1.0,
        "end_time": 2.0, **more,
    }  # fmt: skip


def send(port: int, *bodies: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for body in bodies:
            s.sendto(body, ("127.0.0.1", port))


def test_the_largest_datagrams_and_garbage_cost_only_themselves(
    api: Api, start_sidecar: StartSidecar
) -> None:
    sidecar = start_sidecar(api.endpoint)
    whole = json.dumps(document(1, metadata={"pad": ""}))
    room = LARGEST - len(HEADER) - len(whole)
    largest = HEADER + json.dumps(document(1, metadata={"pad": "x" * room})).encode()
    assert len(largest) == LARGEST
    send(
        sidecar.xray,
        largest,
        largest[:-10],  # cut off: not JSON
        b"x" * LARGEST,  # no header
        HEADER + b"[" * 60_000,  # deeper than any parser goes
        HEADER + json.dumps(document(2, start_time=float("nan"))).encode(),
        HEADER + b"\xff\xfe" * 1000,
        b"",
        HEADER + json.dumps(document(3)).encode(),
    )
    wait_until(lambda: len(api.rows.of("spans")) >= 2, "both good ones arrived")
    code, log = sidecar.stop()
    assert code == 0
    assert {row["span_id"] for row in api.rows.of("spans")} == {f"{1:016x}", f"{3:016x}"}
    # Refused by the daemon: no header, not UTF-8, empty. By the API: cut off, too deep, NaN.
    assert "8 received" in log and " 3 rejected, 0 dropped" in log
    assert sum(row["count"] for row in api.rows.of("dropped")) == 6


def _client(api: Api) -> Any:
    return boto3.client(
        "xray", endpoint_url=api.endpoint, region_name="ap-northeast-1",
        aws_access_key_id="x", aws_secret_access_key="x",
        config=Config(retries={"max_attempts": 0}),
    )  # fmt: skip


def test_a_loop_of_parents_is_kept_and_asked_for_without_end(api: Api) -> None:
    xray = _client(api)
    loop = [document(1, parent_id=f"{2:016x}"), document(2, parent_id=f"{1:016x}"),
            document(3, parent_id=f"{3:016x}")]  # fmt: skip
    answer = xray.put_trace_segments(TraceSegmentDocuments=[json.dumps(one) for one in loop])
    assert answer["UnprocessedTraceSegments"] == []
    (trace,) = xray.batch_get_traces(TraceIds=[TRACE])["Traces"]
    assert len(trace["Segments"]) == 3
    summaries = xray.get_trace_summaries(StartTime=0, EndTime=10)["TraceSummaries"]
    assert [one["Id"] for one in summaries] == [TRACE]


def test_loops_scripts_and_nul_go_through_evidence_and_rules_as_text(tmp_path: Path) -> None:
    recorder = JsonlRecorder(tmp_path / "records", SystemClock())
    service = XrayService(recorder, SystemClock())
    for one in (
        document(1, parent_id=f"{2:016x}", name=SCRIPT),
        document(2, parent_id=f"{1:016x}", name="nul\x00name"),
        document(4, name=SCRIPT, http={"request": {"method": SCRIPT, "url": f"http://h/{SCRIPT}"}}),
        document(5, parent_id=f"{4:016x}", type="subsegment", namespace="remote",
                 sql={"sanitized_query": f"SELECT '{SCRIPT}'\x00; DROP TABLE spans"}),
    ):  # fmt: skip
        service.take(json.dumps(one))
    line = f"before\x00after {SCRIPT} {TRACE} \ud800"
    recorder.record("logs", t=1.5, task="t", container="c", stream="stdout", line=line)
    recorder.close()
    assert recorder.lost == 0
    with build_store([tmp_path / "records"], [], tmp_path / "evidence.duckdb") as store:
        names = {name for (name,) in store.rows("SELECT name FROM spans")}
        assert SCRIPT in names and len(store.rows("SELECT 1 FROM spans")) == 4
        ((kept,),) = store.rows("SELECT line FROM logs")
        assert SCRIPT in kept and kept.startswith("before") and kept.rstrip().endswith("\ufffd")
        traces = complete(store, choose_traces(store))
        assert [one.spans for one in traces] == [4]
        judge(store)
    shown = json_for_script({"name": SCRIPT})
    assert "<" not in shown and "alert(1)" in json.loads(shown)["name"]
