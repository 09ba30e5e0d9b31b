"""Judges one of Datadog's assertions by what came. Pure, but for the clock of certificates."""

from __future__ import annotations

import hashlib
import itertools
import json
import statistics
from collections.abc import Mapping
from typing import Any

from hikkoshi.synthetic import xpath
from hikkoshi.synthetic.checks import Check, shown
from hikkoshi.synthetic.datadog.operators import ABSENCE, KNOWN, BadTarget, meets, text
from hikkoshi.synthetic.expectations import days_until
from hikkoshi.synthetic.jsonpath import parse_path
from hikkoshi.synthetic.reply import Reply
from hikkoshi.synthetic.schema import complaints

# What each type needs that this program does not have.
UNTRIED_TYPES = {
    "javascript": "a script of JavaScript is not run here",
    "networkHop": "network hops are not traced here",
    "multiNetworkHop": "network hops are not traced here",
    "grpcHealthcheckStatus": "gRPC is not spoken here",
    "grpcMetadata": "gRPC is not spoken here",
    "grpcProto": "gRPC is not spoken here",
    "mcpToolNameLength": "MCP is not spoken here",
    "mcpToolCount": "MCP is not spoken here",
    "mcpServerCapabilities": "MCP is not spoken here",
    "mcpRespectsSpecification": "MCP is not spoken here",
}
_HASHES = ("md5", "sha1", "sha256")


class _NotTried(Exception):
    pass


class _Wrong(Exception):
    """Broken for another reason than the value that came: the text says which."""


def judge(assertion: Mapping[str, Any], reply: Reply) -> Check:
    """`assertion` with its variables filled in."""
    kind, operator = str(assertion.get("type")), str(assertion.get("operator"))
    what = _what(assertion)
    expected = _expected(assertion)
    try:
        if kind in UNTRIED_TYPES:
            raise _NotTried(UNTRIED_TYPES[kind])
        came, is_kept = _judge(kind, operator, assertion, reply)
        return Check(what, expected, came, is_kept)
    except _NotTried as error:
        return Check(what, expected, "", False, not_tried=str(error))
    except (_Wrong, BadTarget) as error:
        return Check(what, expected, str(error), False)


def _what(assertion: Mapping[str, Any]) -> str:
    kind, property_ = str(assertion.get("type")), assertion.get("property")
    target = assertion.get("target")
    if isinstance(target, dict):
        place = target.get("jsonPath") or target.get("xPath")
        return f"{kind} {place}" if place else kind
    return f"{kind} {property_}" if property_ else kind


def _expected(assertion: Mapping[str, Any]) -> str:
    operator, target = str(assertion.get("operator")), assertion.get("target")
    if isinstance(target, dict):
        if operator == "validatesJSONSchema":
            return "fits the schema"
        elements = target.get("elementsOperator")
        prefix = f"{elements}: " if elements else ""
        return f"{prefix}{target.get('operator')} {shown(target.get('targetValue'))}"
    if assertion.get("type") == "javascript":
        return "the script's own assertions"
    return operator if target is None else f"{operator} {shown(target)}"


def _judge(
    kind: str, operator: str, assertion: Mapping[str, Any], reply: Reply
) -> tuple[str, bool]:
    target = assertion.get("target")
    match operator:
        case "validatesJSONPath":
            return _json_path(_fields(target, "jsonPath"), reply)
        case "validatesXPath":
            return _x_path(_fields(target, "xPath"), reply)
        case "validatesJSONSchema":
            return _json_schema(_fields(target, "jsonSchema"), reply)
    if kind == "bodyHash" or operator in _HASHES:
        if operator not in _HASHES:
            raise _NotTried(f"the operator {operator} is not known here")
        came = hashlib.new(operator, reply.body, usedforsecurity=False).hexdigest()
        return came, came == text(target).strip().lower()
    if operator in ("isInMoreThan", "isInLessThan"):
        return _certificate(operator, target, reply)
    if operator not in KNOWN:
        raise _NotTried(f"the operator {operator} is not known here")
    if kind in ("recordEvery", "recordSome"):
        return _records(kind, operator, assertion, reply)
    value = _value(kind, assertion, reply)
    if operator in ABSENCE:
        return ("nothing" if value is None else shown(value)), value is None
    if value is None:
        return "nothing there", operator in ("isNot", "doesNotContain", "doesNotMatch")
    return shown(value), meets(operator, value, target)


def _value(kind: str, assertion: Mapping[str, Any], reply: Reply) -> Any:
    """The value that an assertion of this type is about; None when there is none."""
    property_ = str(assertion.get("property") or "")
    match kind:
        case "statusCode":
            return reply.status
        case "responseTime":
            without = reply.timings.dns_s or 0.0
            scope = assertion.get("timingsScope")
            return round((reply.total_s - (without if scope == "withoutDNS" else 0)) * 1000, 3)
        case "header":
            return reply.headers.get(property_.lower())
        case "body":
            return reply.body.decode("utf-8", "replace")
        case "connection":
            return reply.connection
        case "receivedMessage":
            return reply.message
        case "tlsVersion":
            return reply.tls.version if reply.tls else None
        case "minTlsVersion":
            return reply.tls.lowest if reply.tls else None
        case "property" | "certificate":
            return certificate_property(property_, reply)
        case "latency" | "packetLossPercentage" | "packetsReceived" | "jitter":
            return _of_packets(kind, property_, reply)
    raise _NotTried(f"assertions of type {kind} are not known here")


def certificate_property(name: str, reply: Reply) -> Any:
    """`subject.CN`, `issuer.O`, `subjectaltname`, `serialNumber`, `fingerprint256`, `valid_from`,
    `valid_to`, …"""
    certificate = reply.tls.certificate if reply.tls else None
    if certificate is None:
        return None
    holder, _, part = name.partition(".")
    if holder in ("subject", "issuer"):
        names = certificate.subject if holder == "subject" else certificate.issuer
        return names.get(part) if part else dict(names)
    return {
        "subjectaltname": ", ".join(certificate.names),
        "serialnumber": certificate.serial,
        "fingerprint256": certificate.sha256,
        "valid_from": certificate.not_before.isoformat(),
        "valid_to": certificate.not_after.isoformat(),
        "cipher": reply.tls.cipher if reply.tls else None,
        "protocol": f"TLSv{reply.tls.version:g}" if reply.tls else None,
    }.get(name.lower())


def _of_packets(kind: str, property_: str, reply: Reply) -> Any:
    packets = reply.packets
    if packets is None:
        return None
    trips_ms = [round(each * 1000, 3) for each in packets.round_trips_s]
    if kind == "packetsReceived":
        return len(trips_ms)
    if kind == "packetLossPercentage":
        return 100 * (1 - len(trips_ms) / packets.sent) if packets.sent else 0.0
    if not trips_ms:
        return None
    if kind == "jitter":
        steps = [abs(b - a) for a, b in itertools.pairwise(trips_ms)]
        return statistics.fmean(steps) if steps else 0.0
    match property_:
        case "min":
            return min(trips_ms)
        case "max":
            return max(trips_ms)
        case "stddev":
            return statistics.pstdev(trips_ms)
    return statistics.fmean(trips_ms)


def _certificate(operator: str, target: Any, reply: Reply) -> tuple[str, bool]:
    certificate = reply.tls.certificate if reply.tls else None
    if certificate is None:
        raise _Wrong("there is no certificate")
    days = days_until(certificate.not_after)
    moves = "moreThan" if operator == "isInMoreThan" else "lessThan"
    return f"{days:.1f} days left", meets(moves, days, target)


def _records(
    kind: str, operator: str, assertion: Mapping[str, Any], reply: Reply
) -> tuple[str, bool]:
    type_ = str(assertion.get("property") or "A")
    values = reply.records.get(type_, ())
    came = f"{type_}: {', '.join(values) or 'none'}"
    if operator in ABSENCE:
        return came, not values
    some = [meets(operator, value, assertion.get("target")) for value in values]
    return came, bool(some) and (all(some) if kind == "recordEvery" else any(some))


def _fields(target: Any, needed: str) -> Mapping[str, Any]:
    if not isinstance(target, dict) or needed not in target:
        raise _Wrong(f"the assertion's target has no {needed}")
    return target


def _document(reply: Reply) -> Any:
    # A WebSocket's or UDP peer's message may be JSON, too.
    data = reply.message if reply.message is not None else reply.body
    try:
        return json.loads(data)
    except ValueError:
        raise _Wrong(f"not JSON: {shown(reply.body.decode('utf-8', 'replace'))}") from None


def _json_path(target: Mapping[str, Any], reply: Reply) -> tuple[str, bool]:
    operator = _inner(target)
    try:
        found = parse_path(str(target["jsonPath"])).find(_document(reply))
    except ValueError as error:
        raise _Wrong(str(error)) from error
    if operator in ABSENCE:
        return (shown(found[0]) if found else "nothing there"), not found
    if not found:
        return "nothing there", False
    elements = target.get("elementsOperator") or "firstElementMatches"
    wanted = target.get("targetValue")
    if elements == "serializationMatches":
        return shown(found), meets(operator, text(found), wanted)
    if elements not in ("firstElementMatches", "everyElementMatches", "atLeastOneElementMatches"):
        raise _NotTried(f"elementsOperator {elements} is not known here")
    if elements == "firstElementMatches":
        return shown(found[0]), meets(operator, found[0], wanted)
    kept = [meets(operator, each, wanted) for each in found]
    return shown(found), all(kept) if elements == "everyElementMatches" else any(kept)


def _x_path(target: Mapping[str, Any], reply: Reply) -> tuple[str, bool]:
    operator = _inner(target)
    try:
        found = xpath.find(str(target["xPath"]), reply.body)
    except (ValueError, xpath.NotMarkup) as error:
        raise _Wrong(str(error)) from error
    if operator in ABSENCE:
        return (shown(found[0]) if found else "nothing there"), not found
    if not found:
        return "nothing there", False
    return shown(found[0]), meets(operator, found[0], target.get("targetValue"))


def _inner(target: Mapping[str, Any]) -> str:
    operator = str(target.get("operator"))
    if operator not in KNOWN:
        raise _NotTried(f"the operator {operator} is not known here")
    return operator


def _json_schema(target: Mapping[str, Any], reply: Reply) -> tuple[str, bool]:
    schema = target["jsonSchema"]
    try:
        if isinstance(schema, str):
            schema = json.loads(schema)
        found = complaints(schema, _document(reply), target.get("metaSchema"))
    except ValueError as error:
        raise _Wrong(str(error)) from error
    return (found[0] if found else "fits"), not found
