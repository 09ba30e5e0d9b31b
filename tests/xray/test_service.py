"""The X-Ray API, through boto3 and the real front."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from xray_house import Api


def client(api: Api) -> Any:
    return boto3.client(
        "xray",
        endpoint_url=api.endpoint,
        region_name="ap-northeast-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def segment(number: int, **more: Any) -> dict[str, Any]:
    now = time.time()
    return {
        "name": "genba",
        "id": f"{number:016x}",
        "trace_id": f"1-{int(now):08x}-{number:024x}",
        "start_time": now - 1,
        "end_time": now - 0.5,
    } | more


def put(xray: Any, *documents: Any) -> list[dict[str, Any]]:
    texts = [one if isinstance(one, str) else json.dumps(one) for one in documents]
    answer = xray.put_trace_segments(TraceSegmentDocuments=texts)
    return list(answer["UnprocessedTraceSegments"])


def test_good_documents_become_rows_and_bad_ones_are_told(api: Api) -> None:
    xray = client(api)
    unprocessed = put(xray, segment(1), "{", segment(2, name=""))
    assert [one.get("Id") for one in unprocessed] == [None, f"{2:016x}"]
    assert [one["Message"] for one in unprocessed] == ["not JSON", "no name"]
    assert [row["span_id"] for row in api.rows.of("spans")] == [f"{1:016x}"]
    assert [row["reason"] for row in api.rows.of("dropped")] == ["not JSON", "no name"]


def test_a_segment_in_progress_is_written_once_when_it_ends(api: Api) -> None:
    xray = client(api)
    begun = segment(1, in_progress=True)
    del begun["end_time"]
    assert put(xray, begun) == [] and api.rows.of("spans") == []
    ended = segment(1, trace_id=begun["trace_id"])
    put(xray, ended)
    put(xray, ended)
    put(xray, begun)
    rows = api.rows.of("spans")
    assert len(rows) == 1 and rows[0]["t_end"] == pytest.approx(ended["end_time"])
    other = segment(2, in_progress=True, end_time=None)
    put(xray, other)
    api.service.close()
    assert [row["t_end"] for row in api.rows.of("spans")[1:]] == [None]


def test_traces_are_found_again(api: Api) -> None:
    xray = client(api)
    root = segment(1, http={"request": {"method": "GET", "url": "http://g/"}}, fault=True)
    child = segment(2, trace_id=root["trace_id"], parent_id=root["id"], type="subsegment")
    put(xray, child)
    put(xray, root)
    now = datetime.now(UTC)
    found = xray.get_trace_summaries(StartTime=now - timedelta(minutes=1), EndTime=now)
    (summary,) = found["TraceSummaries"]
    assert summary["Id"] == root["trace_id"] and summary["HasFault"]
    assert summary["Http"] == {"HttpURL": "http://g/", "HttpMethod": "GET"}
    traces = xray.batch_get_traces(TraceIds=[root["trace_id"], "1-00000000-" + "0" * 24])
    assert {one["Id"] for one in traces["Traces"][0]["Segments"]} == {root["id"], child["id"]}
    assert traces["UnprocessedTraceIds"] == ["1-00000000-" + "0" * 24]
    earlier = xray.get_trace_summaries(
        StartTime=now - timedelta(minutes=9), EndTime=now - timedelta(minutes=5)
    )
    assert earlier["TraceSummaries"] == []


def test_summaries_come_in_pages(api: Api) -> None:
    xray = client(api)
    put(xray, *[segment(number) for number in range(1, 151)])
    now = datetime.now(UTC)
    pages = xray.get_paginator("get_trace_summaries").paginate(
        StartTime=now - timedelta(minutes=1), EndTime=now
    )
    ids = [one["Id"] for page in pages for one in page["TraceSummaries"]]
    assert len(ids) == len(set(ids)) == 150


def test_sampling_keeps_everything(api: Api) -> None:
    xray = client(api)
    (record,) = xray.get_sampling_rules()["SamplingRuleRecords"]
    assert record["SamplingRule"]["FixedRate"] == 1.0
    assert record["SamplingRule"]["Attributes"] == {}
    statistics = {
        "ClientID": "a" * 24,
        "Timestamp": datetime.now(UTC),
        "RequestCount": 1,
        "SampledCount": 1,
    }
    answer = xray.get_sampling_targets(
        SamplingStatisticsDocuments=[
            {"RuleName": "Default", **statistics},
            {"RuleName": "mine", **statistics},
        ]
    )
    assert [one["RuleName"] for one in answer["SamplingTargetDocuments"]] == ["Default"]
    assert [one["RuleName"] for one in answer["UnprocessedStatistics"]] == ["mine"]


def test_a_daemons_losses_are_evidence(api: Api) -> None:
    client(api).put_telemetry_records(
        TelemetryRecords=[
            {"Timestamp": datetime.now(UTC), "SegmentsSpilloverCount": 7, "SegmentsSentCount": 9}
        ]
    )
    (row,) = api.rows.of("dropped")
    assert row["count"] == 7 and row["intake"] == "xray"


def test_what_is_missing_says_so(api: Api) -> None:
    xray = client(api)
    now = datetime.now(UTC)
    with pytest.raises(ClientError, match="not implemented by the local region"):
        xray.get_service_graph(StartTime=now, EndTime=now)
    with pytest.raises(ClientError, match="FilterExpression"):
        xray.get_trace_summaries(StartTime=now, EndTime=now, FilterExpression="fault")
    with pytest.raises(ClientError, match="InvalidRequestException"):
        xray.batch_get_traces(TraceIds=["x"])
