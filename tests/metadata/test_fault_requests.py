"""The agent's requests, by its own words (types_test.go of amazon-ecs-agent)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hikkoshi.region.engine.port import Impairment
from hikkoshi.region.metadata.fault_requests import (
    BLACKHOLE,
    LATENCY,
    LOSS,
    BadFaultRequest,
    read_request,
)

TMDS = "169.254.170.2"
HOLE: dict[str, Any] = {"Port": 5432, "Protocol": "tcp", "TrafficType": "egress"}
SLOW: dict[str, Any] = {
    "DelayMilliseconds": 200, "JitterMilliseconds": 50, "Sources": ["10.0.0.0/16", "10.1.2.3"],
}  # fmt: skip
LOSSY: dict[str, Any] = {"LossPercent": 6, "Sources": ["::/0"], "SourcesToFilter": ["10.0.0.2"]}


@pytest.mark.parametrize(
    ("kind", "body", "key", "impairment"),
    [
        (
            BLACKHOLE, HOLE, "egress-tcp-5432",
            Impairment("egress", ("0.0.0.0/0",), (TMDS,), "tcp", 5432, loss=1.0),
        ),
        (
            BLACKHOLE, {"port": 53, "PROTOCOL": "udp", "trafficType": "ingress"}, "ingress-udp-53",
            Impairment("ingress", ("0.0.0.0/0",), (TMDS,), "udp", 53, loss=1.0),
        ),
        (
            LATENCY, SLOW, LATENCY,
            Impairment("egress", ("10.0.0.0/16", "10.1.2.3"), (TMDS,), delay_s=0.2, jitter_s=0.05),
        ),
        (LATENCY, {**SLOW, "More": 1, "JitterMilliseconds": 0}, LATENCY,
         Impairment("egress", ("10.0.0.0/16", "10.1.2.3"), (TMDS,), delay_s=0.2)),
        (LOSS, LOSSY, LOSS, Impairment("egress", ("::/0",), ("10.0.0.2", TMDS), loss=0.06)),
    ],
)  # fmt: skip
def test_a_request_is_read(
    kind: str, body: dict[str, Any], key: str, impairment: Impairment
) -> None:
    found = read_request(kind, json.dumps(body).encode(), TMDS)
    assert (found.key, found.impairment) == (key, impairment)


FIELD = "json: cannot unmarshal {} into Go struct field NetworkBlackholePortRequest.{}"
PORT = "Port of type uint16"


@pytest.mark.parametrize(
    ("kind", "body", "error"),
    [
        (BLACKHOLE, b" ", "required request body is missing"),
        (BLACKHOLE, b"{", "invalid JSON: "),
        (BLACKHOLE, b"null", "required parameter Port is missing"),
        (BLACKHOLE, b"[]", "json: cannot unmarshal array into Go value of type types."),
        (BLACKHOLE, {**HOLE, "Port": None}, "required parameter Port is missing"),
        (BLACKHOLE, {**HOLE, "Port": 65536}, FIELD.format("number 65536", PORT)),
        (BLACKHOLE, {**HOLE, "Port": -1}, FIELD.format("number -1", PORT)),
        (BLACKHOLE, {**HOLE, "Port": "80"}, FIELD.format("string", PORT)),
        (BLACKHOLE, {**HOLE, "Port": True}, FIELD.format("bool", PORT)),
        (BLACKHOLE, {**HOLE, "Protocol": 6}, FIELD.format("number", "Protocol of type string")),
        (BLACKHOLE, {**HOLE, "Protocol": "icmp"}, "invalid value icmp for parameter Protocol"),
        (BLACKHOLE, {**HOLE, "TrafficType": "in"}, "invalid value in for parameter TrafficType"),
        (BLACKHOLE, {**HOLE, "SourcesToFilter": ["db"]}, "invalid value db for parameter Sources"),
        (LATENCY, {**SLOW, "Sources": []}, "required parameter Sources is missing"),
        (LATENCY, {**SLOW, "Sources": ["db.local"]}, "invalid value db.local for parameter"),
        (LATENCY, {**SLOW, "Sources": [None]}, "invalid value  for parameter Sources"),
        (LATENCY, {**SLOW, "Sources": [1]}, "json: cannot unmarshal number into Go struct field"),
        (LATENCY, {"DelayMilliseconds": 1, "Sources": ["::1"]}, "required parameter JitterMilli"),
        (LOSS, {**LOSSY, "LossPercent": 0}, "invalid value 0 for parameter LossPercent"),
        (LOSS, {**LOSSY, "LossPercent": 101}, "invalid value 101 for parameter LossPercent"),
        (LOSS, {**LOSSY, "LossPercent": 1.5}, "json: cannot unmarshal number 1.5 into Go struct"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_answered_in_the_agents_words(
    kind: str, body: bytes | dict[str, Any], error: str
) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(BadFaultRequest) as raised:
        read_request(kind, raw, TMDS)
    assert str(raised.value).startswith(error)
