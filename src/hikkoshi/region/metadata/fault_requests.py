"""Requests of the agent's fault endpoint, read and checked as the agent does it: pure.

Source: amazon-ecs-agent, ecs-agent/tmds/handlers/fault/v1/types/types.go (fields, limits, words of
the errors); Go's encoding/json (fields in any case; the words of a wrong type).
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import Any

from hikkoshi.region.engine.port import Impairment

BLACKHOLE, LATENCY, LOSS = "network-blackhole-port", "network-latency", "network-packet-loss"
_STRUCTS = {
    BLACKHOLE: "NetworkBlackholePortRequest",
    LATENCY: "NetworkLatencyRequest",
    LOSS: "NetworkPacketLossRequest",
}
_LARGEST = {"uint16": 0xFFFF, "uint64": 0xFFFF_FFFF_FFFF_FFFF}
_FIELDS = {
    BLACKHOLE: (
        ("Port", "uint16"),
        ("Protocol", "string"),
        ("TrafficType", "string"),
        ("SourcesToFilter", "[]string"),
    ),
    LATENCY: (
        ("DelayMilliseconds", "uint64"),
        ("JitterMilliseconds", "uint64"),
        ("Sources", "[]string"),
        ("SourcesToFilter", "[]string"),
    ),
    LOSS: (("LossPercent", "uint64"), ("Sources", "[]string"), ("SourcesToFilter", "[]string")),
}
_OPTIONAL = "SourcesToFilter"
_EVERYWHERE = "0.0.0.0/0"


class BadFaultRequest(Exception):
    """The text is the answer's Error, its status 400."""


@dataclass(frozen=True, slots=True)
class FaultRequest:
    """key: which fault it is, of those that may be there side by side."""

    kind: str
    key: str
    impairment: Impairment


def read_request(kind: str, body: bytes, metadata_address: str) -> FaultRequest:
    """Raises BadFaultRequest. The metadata endpoint is spared, as on Fargate, where no fault of
    the task's network reaches it: the fault could not be stopped otherwise."""
    found = _decode(kind, body)
    for name, _ in _FIELDS[kind]:
        if name != _OPTIONAL and found.get(name) in (None, "", []):
            raise BadFaultRequest(f"required parameter {name} is missing")
    spared = (*_networks(found, "SourcesToFilter"), metadata_address)
    if kind == BLACKHOLE:
        protocol = _one_of(found, "Protocol", ("tcp", "udp"))
        traffic = _one_of(found, "TrafficType", ("ingress", "egress"))
        port = int(found["Port"])
        return FaultRequest(
            kind,
            f"{traffic}-{protocol}-{port}",
            Impairment(traffic, (_EVERYWHERE,), spared, protocol, port, loss=1.0),
        )
    if kind == LOSS and not 1 <= found["LossPercent"] <= 100:
        raise BadFaultRequest(f"invalid value {found['LossPercent']} for parameter LossPercent")
    sources = _networks(found, "Sources")
    if kind == LOSS:
        loss = found["LossPercent"] / 100
        return FaultRequest(kind, kind, Impairment("egress", sources, spared, loss=loss))
    delay_s, jitter_s = found["DelayMilliseconds"] / 1000, found["JitterMilliseconds"] / 1000
    return FaultRequest(
        kind,
        kind,
        Impairment("egress", sources, spared, delay_s=delay_s, jitter_s=jitter_s),
    )


def _decode(kind: str, body: bytes) -> dict[str, Any]:
    """By Go's names of the fields; what it does not know is let be."""
    if not body.strip():
        raise BadFaultRequest("required request body is missing")
    try:
        given = json.loads(body)
    except ValueError as error:
        raise BadFaultRequest(f"invalid JSON: {error}") from error
    if given is None:
        given = {}
    struct = _STRUCTS[kind]
    if not isinstance(given, dict):
        raise BadFaultRequest(
            f"json: cannot unmarshal {_go_word(given)} into Go value of type types.{struct}"
        )
    in_lower_case = {str(key).lower(): value for key, value in given.items()}
    found = {name: in_lower_case.get(name.lower()) for name, _ in _FIELDS[kind]}
    for name, kind_of_field in _FIELDS[kind]:
        _check(found[name], f"{struct}.{name}", kind_of_field)
    return found


def _check(value: Any, where: str, kind: str) -> None:
    def refuse(what: str, wanted: str) -> None:
        raise BadFaultRequest(
            f"json: cannot unmarshal {what} into Go struct field {where} of type {wanted}"
        )

    if value is None:
        return
    if kind == "[]string":
        if not isinstance(value, list):
            refuse(_go_word(value), "[]*string")
        for each in value:
            _check(each, where, "string")
    elif kind == "string":
        if not isinstance(value, str):
            refuse(_go_word(value), "string")
    elif isinstance(value, bool) or not isinstance(value, int | float):
        refuse(_go_word(value), kind)
    elif not isinstance(value, int) or not 0 <= value <= _LARGEST[kind]:
        refuse(f"number {json.dumps(value)}", kind)


def _go_word(value: Any) -> str:
    words = {bool: "bool", str: "string", list: "array", dict: "object"}
    return words.get(type(value), "number")


def _one_of(found: dict[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    value = str(found[name])
    if value not in allowed:
        raise BadFaultRequest(f"invalid value {value} for parameter {name}")
    return value


def _networks(found: dict[str, Any], name: str) -> tuple[str, ...]:
    for each in found[name] or ():
        try:
            ipaddress.ip_network(each or "", strict=False)
        except ValueError as error:
            raise BadFaultRequest(f"invalid value {each or ''} for parameter {name}") from error
    return tuple(found[name] or ())
