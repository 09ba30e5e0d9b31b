"""Datadog's documents become tests: a list, {"tests": […]}, one test, or datadog-ci's file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.synthetic.datadog.step import DatadogStep
from hikkoshi.synthetic.datadog.variables import read_variables
from hikkoshi.synthetic.definition import Captured, Flow, SyntheticTest

_UNTRIED_KINDS = {
    "grpc": "gRPC is not spoken here",
    "mcp": "MCP is not spoken here",
    "playSubTest": "a test of another file is not played here",
}
_KINDS = ("http", "ssl", "tcp", "dns", "icmp", "udp", "websocket", "wait")
_LOGINS = {
    "digest": "digest authentication",
    "ntlm": "NTLM authentication",
    "sigv4": "AWS's signature",
    "oauth-client": "OAuth (client credentials)",
    "oauth-rop": "OAuth (resource owner's password)",
}


def looks_like_tests(text: str) -> bool:
    try:
        document = json.loads(text)
    except ValueError:
        return False
    first = document
    if isinstance(first, dict) and isinstance(first.get("tests"), list):
        first = first["tests"]
    if isinstance(first, list):
        first = first[0] if first else None
    is_test = isinstance(first, dict) and "config" in first and "type" in first
    return is_test or (isinstance(first, dict) and "localTestDefinition" in first)


def documents_of(text: str, file: str) -> list[tuple[str, dict[str, Any]]]:
    """(where, document) for each test of a file. BadInput."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BadInput(
            f"not JSON: {error}", where=file, fix="export the tests again, whole"
        ) from error
    if isinstance(document, dict) and isinstance(document.get("tests"), list):
        listed, place = document["tests"], "tests"
    elif isinstance(document, list):
        listed, place = document, ""
    else:
        return [(file, _as_document(document, file))]
    if not listed:
        raise BadInput("the list of tests is empty", where=file, fix="export at least one test")
    return [
        (f"{file} ({place}[{index}])", _as_document(each, f"{file} ({place}[{index}])"))
        for index, each in enumerate(listed)
    ]


def _as_document(value: Any, where: str) -> dict[str, Any]:
    # datadog-ci's newer files hold the test itself under this key.
    if isinstance(value, dict) and isinstance(value.get("localTestDefinition"), dict):
        value = value["localTestDefinition"]
    if isinstance(value, dict) and "id" in value and "config" not in value:
        raise BadInput(
            f"this only names the test {value['id']}, which lies at Datadog",
            where=where,
            fix="export the test itself: GET /api/v1/synthetics/tests/api/<id>",
        )
    if not isinstance(value, dict) or not isinstance(value.get("config", {}), dict):
        raise BadInput("not a test of Datadog's", where=where, fix="it has type, subtype, config")
    if "type" not in value and "config" not in value:
        raise BadInput(
            "not a test of Datadog's: neither type nor config", where=where, fix="export it again"
        )
    return value


def parse_document(text: str, file: str) -> tuple[SyntheticTest, ...]:
    return tuple(parse_test(document, where) for where, document in documents_of(text, file))


def parse_test(value: Any, where: str) -> SyntheticTest:
    """One test. BadInput: not in Datadog's shape."""
    document = _as_document(value, where)
    config = document.get("config") or {}
    options = _mapping(document, "options", where)
    name = str(document.get("name") or document.get("public_id") or "unnamed")
    retries, interval_s = _retry(options.get("retry"), where)
    skipped = "its status is paused" if document.get("status") == "paused" else None
    rule = (options.get("ci") or {}).get("executionRule")
    if rule == "skipped":
        skipped = "its executionRule is skipped"
    declared = [each for each in config.get("configVariables") or [] if isinstance(each, dict)]

    def variables(env: Mapping[str, str]) -> tuple[Captured, ...]:
        return read_variables(declared, env, where)

    return SyntheticTest(
        name=name,
        steps=_steps(document, config, options, where, name),
        where=where,
        timeout_s=60.0,
        retries=retries,
        retry_interval_s=interval_s,
        every_s=float(options["tick_every"]) if options.get("tick_every") else None,
        alert_after_s=float(options.get("min_failure_duration") or 0),
        tags=tuple(str(tag) for tag in document.get("tags") or ()),
        variables=variables,
        skipped=skipped,
        foreign=document,
    )


def _steps(
    document: Mapping[str, Any],
    config: Mapping[str, Any],
    options: Mapping[str, Any],
    where: str,
    name: str,
) -> tuple[DatadogStep, ...]:
    kind = str(document.get("subtype") or ("http" if document.get("type") == "api" else ""))
    if document.get("type", "api") != "api":
        why = f"a test of type {document['type']} needs a browser or a device"
        return (DatadogStep(name, where, str(document["type"]), {}, options, why_not=why),)
    script = "variablesFromScript" if config.get("variablesFromScript") else ""
    if kind != "multi":
        title = _title(kind, config)
        why_not = _why_not(kind, config, options, script)
        own = _url(config)
        return (DatadogStep(title, where, kind, config, options, own, why_not=why_not),)
    listed = config.get("steps")
    if not isinstance(listed, list) or not listed:
        raise BadInput("a multistep test without steps", where=where, fix="export it again")
    urls = [_url(s) for s in listed if isinstance(s, dict) and s.get("subtype") == "http"]
    return tuple(
        _step(each, index, options, f"{where} (config.steps[{index}])", urls, script)
        for index, each in enumerate(listed)
    )


def _step(
    step: Any,
    index: int,
    options: Mapping[str, Any],
    where: str,
    urls: list[str],
    script: str,
) -> DatadogStep:
    if not isinstance(step, dict):
        raise BadInput("a step that is not an object", where=where, fix="export the test again")
    kind = str(step.get("subtype") or "http")
    retries, interval_s = _retry(step.get("retry"), where)
    script = "extractedValuesFromScript" if step.get("extractedValuesFromScript") else script
    is_allowed = bool(step.get("allowFailure"))
    return DatadogStep(
        f"{index + 1}. {step.get('name') or _title(kind, step)}",
        where,
        kind,
        step,
        options,
        urls[0] if urls else "",
        Flow(
            is_allowed_to_fail=is_allowed,
            is_critical=bool(step.get("isCritical", not is_allowed)),
            is_last_if_it_succeeds=bool(step.get("exitIfSucceed")),
            retries=retries,
            retry_interval_s=interval_s,
        ),
        _why_not(kind, step, options, script),
    )


def _why_not(
    kind: str, step: Mapping[str, Any], options: Mapping[str, Any], script: str
) -> str | None:
    """Why a step as a whole cannot be tried; None when it can."""
    if kind in _UNTRIED_KINDS or kind not in _KINDS:
        return _UNTRIED_KINDS.get(kind, f"steps of subtype {kind} are not known here")
    if script:
        return f"{script}: a script of JavaScript is not run here"
    asked = step.get("request") or {}
    login = asked.get("basicAuth")
    if isinstance(login, dict) and login.get("type") in _LOGINS:
        return f"{_LOGINS[login['type']]} is not spoken here"
    if asked.get("proxy"):
        return "a proxy is not used here"
    if asked.get("files"):
        return "its files are kept by Datadog alone"
    if asked.get("httpVersion", options.get("httpVersion")) == "http2" and kind == "http":
        return "HTTP/2 alone is asked for, and only HTTP/1.1 is spoken here"
    return None


def _title(kind: str, step: Mapping[str, Any]) -> str:
    asked = step.get("request") or {}
    if kind == "http":
        return f"{asked.get('method') or 'GET'} {asked.get('url') or ''}"
    port = f":{asked['port']}" if asked.get("port") else ""
    return f"{kind} {asked.get('url') or asked.get('host') or ''}{port}"


def _url(step: Mapping[str, Any]) -> str:
    return str((step.get("request") or {}).get("url") or "")


def _mapping(document: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = document.get(key) or {}
    if not isinstance(value, dict):
        raise BadInput(f"{key} is not an object", where=where, fix="export the test again")
    return value


def _retry(value: Any, where: str) -> tuple[int, float]:
    """Datadog's interval is in milliseconds."""
    if not value:
        return 0, 0.3
    try:
        return int(value.get("count") or 0), float(value.get("interval") or 300) / 1000
    except (AttributeError, TypeError, ValueError):
        raise BadInput(
            f"retry is {value!r}", where=where, fix="write {count: 2, interval: 300}"
        ) from None
