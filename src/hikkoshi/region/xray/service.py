"""Service "xray": takes segments into the evidence, and answers for the traces that it keeps."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hikkoshi.base.clock import Clock
from hikkoshi.model.evidence import Recorder
from hikkoshi.region.front.port import AwsError, Caller, NotImplementedByRegion, Operation
from hikkoshi.region.xray.documents import parse_document
from hikkoshi.region.xray.spans import Document
from hikkoshi.region.xray.store import Trace, TraceStore
from hikkoshi.region.xray.wire import BadDocumentError, normal_trace_id

INTAKE = "xray"
PAGE = 100
AT_ONCE = 50
TARGET_INTERVAL_S = 10
TARGET_TTL_S = 30
# Everything is kept: a rehearsal looks for the one request that failed.
FIXED_RATE = 1.0


class XrayService:
    """A segment that is in progress is written to the evidence when it has ended, or by `close`
    as it then stands; one that was written already is not written again."""

    name = "xray"

    def __init__(self, recorder: Recorder, clock: Clock, store: TraceStore | None = None) -> None:
        self._recorder = recorder
        self._clock = clock
        self._store = store or TraceStore()
        self._unfinished: dict[tuple[str, str], Document] = {}
        self._made_at = datetime.fromtimestamp(clock.now(), UTC)
        self.dropped: Counter[str] = Counter()

    def operations(self) -> Mapping[str, Operation]:
        return {
            "PutTraceSegments": self.put_segments,
            "PutTelemetryRecords": self.put_telemetry,
            "GetSamplingRules": self.get_rules,
            "GetSamplingTargets": self.get_targets,
            "GetTraceSummaries": self.get_summaries,
            "BatchGetTraces": self.batch_get,
        }

    def close(self) -> None:
        """Write what never ended, without an end."""
        for document in self._unfinished.values():
            self._write(document)
        self._unfinished.clear()

    def take(self, text: str) -> None:
        """One document. Raises BadDocumentError, which has been counted."""
        try:
            document = parse_document(text)
        except BadDocumentError as error:
            self._drop(error.reason)
            raise
        for reason in document.refused:
            self._drop(reason)
        key = (document.trace_id, document.span_id)
        old = self._store.put(document)
        if document.is_in_progress:
            if old is None or old.is_in_progress:
                self._unfinished[key] = document
            return
        self._unfinished.pop(key, None)
        if old is None or old.is_in_progress:
            self._write(document)

    async def put_segments(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        unprocessed = []
        for number, text in enumerate(parameters["TraceSegmentDocuments"]):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)  # the loop is not only ours
            try:
                self.take(text)
            except BadDocumentError as error:
                failed = {"ErrorCode": "ParseError", "Message": error.reason}
                if error.identifier is not None:
                    failed["Id"] = error.identifier
                unprocessed.append(failed)
        return {"UnprocessedTraceSegments": unprocessed}

    async def put_telemetry(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """What a daemon lost on its way here becomes a row of `dropped`."""
        reasons = {
            "SegmentsSpilloverCount": "the daemon's queue was full",
            "SegmentsRejectedCount": "the daemon refused it",
        }
        for record in parameters["TelemetryRecords"]:
            for name, reason in reasons.items():
                if record.get(name):
                    self._drop(reason, record[name])
        return {}

    async def get_rules(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        rule = {
            "RuleName": "Default",
            "RuleARN": f"arn:aws:xray:{caller.region}:{caller.account_id}:sampling-rule/Default",
            "ResourceARN": "*",
            "Priority": 10000,
            "FixedRate": FIXED_RATE,
            "ReservoirSize": 1,
            "ServiceName": "*",
            "ServiceType": "*",
            "Host": "*",
            "HTTPMethod": "*",
            "URLPath": "*",
            "Version": 1,
            "Attributes": {},
        }
        record = {"SamplingRule": rule, "CreatedAt": self._made_at, "ModifiedAt": self._made_at}
        return {"SamplingRuleRecords": [record]}

    async def get_targets(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        targets, unprocessed = [], []
        expires = datetime.fromtimestamp(self._clock.now() + TARGET_TTL_S, UTC)
        for statistics in parameters["SamplingStatisticsDocuments"]:
            name = statistics["RuleName"]
            if name != "Default":
                message = f"No rule is named {name}"
                unprocessed.append({"RuleName": name, "ErrorCode": "404", "Message": message})
                continue
            targets.append({
                "RuleName": name,
                "FixedRate": FIXED_RATE,
                "ReservoirQuota": 1000,
                "ReservoirQuotaTTL": expires,
                "Interval": TARGET_INTERVAL_S,
            })  # fmt: skip
        return {
            "SamplingTargetDocuments": targets,
            "LastRuleModification": self._made_at,
            "UnprocessedStatistics": unprocessed,
        }

    async def get_summaries(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """By the root's start; FilterExpression is not implemented."""
        if parameters.get("FilterExpression"):
            raise NotImplementedByRegion("FilterExpression of GetTraceSummaries")
        start, end = parameters["StartTime"].timestamp(), parameters["EndTime"].timestamp()
        if end < start or end - start > timedelta(hours=24).total_seconds():
            message = "StartTime and EndTime must be in order and at most 24 hours apart"
            raise AwsError("InvalidRequestException", message)
        found = []
        for trace in self._store.all():
            root = trace.root()
            if root is not None and start <= root.t_start <= end:
                found.append(trace)
        skip = _position(parameters.get("NextToken"))
        answer: dict[str, Any] = {
            "TraceSummaries": [_summary(trace) for trace in found[skip : skip + PAGE]],
            "ApproximateTime": datetime.fromtimestamp(self._clock.now(), UTC),
            "TracesProcessedCount": len(found),
        }
        if skip + PAGE < len(found):
            answer["NextToken"] = str(skip + PAGE)
        return answer

    async def batch_get(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        traces, missing = [], []
        for asked in parameters["TraceIds"]:
            try:
                trace = self._store.get(normal_trace_id(asked))
            except BadDocumentError as error:
                raise AwsError("InvalidRequestException", f"{asked}: {error.reason}") from error
            if trace is None:
                missing.append(asked)
                continue
            segments = [
                {"Id": one.span_id, "Document": one.text} for one in trace.documents.values()
            ]
            times = _times(trace)
            traces.append({
                "Id": trace.trace_id,
                "Duration": times[1] - times[0],
                "LimitExceeded": False,
                "Segments": segments,
            })  # fmt: skip
        return {"Traces": traces, "UnprocessedTraceIds": missing}

    def _write(self, document: Document) -> None:
        for span in document.spans:
            self._recorder.record("spans", **span.row())

    def _drop(self, reason: str, count: int = 1) -> None:
        self.dropped[reason] += count
        self._recorder.record(
            "dropped", t=self._clock.now(), intake=INTAKE, reason=reason, count=count
        )


def _times(trace: Trace) -> tuple[float, float]:
    spans = trace.spans()
    return min(one.t_start for one in spans), max(one.t_end or one.t_start for one in spans)


def _summary(trace: Trace) -> dict[str, Any]:
    root = trace.root()
    assert root is not None  # the caller asked
    start, end = _times(trace)
    spans = trace.spans()
    segments = [one.spans[0] for one in trace.documents.values() if not one.is_subsegment]
    summary: dict[str, Any] = {
        "Id": trace.trace_id,
        "StartTime": datetime.fromtimestamp(start, UTC),
        "Duration": end - start,
        "HasFault": any(span.fault for span in spans),
        "HasError": any(span.error for span in spans),
        "HasThrottle": any(span.throttle for span in spans),
        "IsPartial": any(one.is_in_progress for one in trace.documents.values()),
        "ServiceIds": [{"Name": name, "Names": [name]} for name in _names(segments)],
        "EntryPoint": {"Name": root.name, "Names": [root.name]},
        "Revision": len(trace.documents),
    }
    if root.t_end is not None:
        summary["ResponseTime"] = root.t_end - root.t_start
    http = {"HttpURL": root.url, "HttpStatus": root.status, "HttpMethod": root.method}
    summary["Http"] = {name: value for name, value in http.items() if value is not None}
    return summary


def _names(segments: list[Any]) -> list[str]:
    return list(dict.fromkeys(segment.name for segment in segments))


def _position(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isdigit():
        raise AwsError("InvalidRequestException", "Invalid NextToken")
    return int(token)
