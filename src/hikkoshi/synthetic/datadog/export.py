"""A test of ours as Datadog has it, and what of it Datadog has no word for. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.synthetic.definition import SyntheticTest
from hikkoshi.synthetic.expectations import Condition, Expectation
from hikkoshi.synthetic.jsonpath import JsonPath
from hikkoshi.synthetic.native_step import NativeStep, split_place

_OPERATORS = {
    "equals": "is", "not": "isNot", "contains": "contains", "matches": "matches",
    "less than": "lessThan", "at most": "lessThanOrEqual", "more than": "moreThan",
    "at least": "moreThanOrEqual",
}  # fmt: skip
_NAME = re.compile(r"\{\{\s*(env\.)?([A-Za-z_]\w*)\s*\}\}")
_NO_SLOW = "`slow` is left out: Datadog knows no degraded state"


def to_datadog(test: SyntheticTest, base_url: str | None) -> tuple[dict[str, Any], list[str]]:
    """BadInput: a path alone, and no base address."""
    notes: list[str] = []
    steps = [_step(step, test, base_url, notes) for step in test.steps]
    variables = _variables(test)
    if len(steps) == 1 and not steps[0].get("extractedValues"):
        subtype = steps[0]["subtype"]
        config = {"request": steps[0]["request"], "assertions": steps[0]["assertions"]}
    else:
        subtype, config = "multi", {"steps": steps}
    options: dict[str, Any] = {
        "tick_every": int(test.every_s or 60),
        "min_failure_duration": int(test.alert_after_s),
        "retry": {"count": test.retries, "interval": int(test.retry_interval_s * 1000)},
    }
    document = {
        "name": test.name,
        "type": "api",
        "subtype": subtype,
        "status": "paused" if test.skipped else "live",
        "message": "",
        "tags": list(test.tags),
        "locations": ["aws:ap-northeast-1"],
        "config": {**config, "configVariables": variables},
        "options": options,
    }
    return document, notes


def _variables(test: SyntheticTest) -> list[dict[str, Any]]:
    """Values of the environment become secure variables, to be filled in at Datadog."""
    used = {name for step in test.steps for name in step.used_names() if name.startswith("env.")}
    names = sorted(name.removeprefix("env.").upper() for name in used)
    return [{"name": n, "type": "text", "pattern": "", "secure": True} for n in names]


def _named(value: Any) -> Any:
    """{{env.token}} and {{report}} in Datadog's capitals."""
    if isinstance(value, str):
        return _NAME.sub(lambda match: f"{{{{ {match[2].upper()} }}}}", value)
    if isinstance(value, dict):
        return {_named(key): _named(each) for key, each in value.items()}
    return [_named(each) for each in value] if isinstance(value, list) else value


def _step(step: Any, test: SyntheticTest, base_url: str | None, notes: list[str]) -> dict[str, Any]:
    assert isinstance(step, NativeStep)
    kind = {"TCP": "tcp", "TLS": "ssl", "DNS": "dns"}.get(step.method, "http")
    if step.expect.slow_s is not None and _NO_SLOW not in notes:
        notes.append(_NO_SLOW)
    exported: dict[str, Any] = {
        "name": _named(step.title),
        "subtype": kind,
        "request": _request(kind, step, test, base_url),
        "assertions": _assertions(kind, step.expect, notes),
        "allowFailure": False,
        "isCritical": True,
    }
    if step.capture_from:
        exported["extractedValues"] = [_extracted(n, s, notes) for n, s in step.capture_from]
    return exported


def _request(
    kind: str, step: NativeStep, test: SyntheticTest, base_url: str | None
) -> dict[str, Any]:
    timeout = max(1, round(test.timeout_s))
    if kind in ("tcp", "ssl"):
        host, port = split_place(step.path, 443)
        return {"host": _named(host), "port": port, "timeout": timeout}
    if kind == "dns":
        return {"host": _named(step.path), "timeout": timeout}
    path = step.path
    if path.startswith("/"):
        if base_url is None:
            raise BadInput(f"{step.title} is a path alone", where=step.where, fix="give --base-url")
        path = base_url.rstrip("/") + path
    asked: dict[str, Any] = {"method": step.method, "url": _named(path), "timeout": timeout}
    headers = {name: _named(value) for name, value in step.headers}
    if step.body is not None:
        is_text = isinstance(step.body, str)
        named = _named(step.body)
        asked["body"] = named if is_text else json.dumps(named, ensure_ascii=False)
        asked["bodyType"] = "text/plain" if is_text else "application/json"
    if headers:
        asked["headers"] = headers
    asked["follow_redirects"] = step.is_following
    if step.is_insecure:
        asked["allow_insecure"] = True
    return asked


def _assertions(kind: str, expect: Expectation, notes: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if kind == "http":
        found.append({"type": "statusCode", **_statuses(expect.statuses)})
    if expect.time_s is not None:
        limit = round(expect.time_s * 1000)
        found.append({"type": "responseTime", "operator": "lessThanOrEqual", "target": limit})
    for name, condition in expect.headers:
        plain = _plain(condition, f"header {name}", notes)
        found += [{"type": "header", "property": name, **each} for each in plain]
    for path, condition in expect.json:
        found += _json_path(path, condition, notes)
    for path_text, condition in expect.xpath:
        for each in _plain(condition, path_text, notes):
            target = {"xPath": path_text, **_inner(each)}
            found.append({"type": "body", "operator": "validatesXPath", "target": target})
    if expect.schema is not None:
        schema = {"jsonSchema": json.dumps(expect.schema), "metaSchema": "draft-07"}
        found.append({"type": "body", "operator": "validatesJSONSchema", "target": schema})
    for condition in expect.body:
        found += [{"type": "body", **each} for each in _plain(condition, "body", notes)]
    return found + _of_connections(expect)


def _of_connections(expect: Expectation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if expect.connection is not None:
        found.append({"type": "connection", "operator": "is", "target": expect.connection})
    if expect.days_left is not None:
        found.append(
            {"type": "certificate", "operator": "isInMoreThan", "target": expect.days_left}
        )
    if expect.tls_version is not None:
        found.append(
            {"type": "tlsVersion", "operator": "moreThanOrEqual", "target": expect.tls_version}
        )
    for kind, values in expect.records:
        for operator, target in [("is", value) for value in values] or [("matches", ".")]:
            found.append(
                {"type": "recordSome", "property": kind, "operator": operator, "target": target}
            )
    return found


def _statuses(statuses: tuple[str, ...]) -> dict[str, Any]:
    if not statuses:
        return {"operator": "lessThan", "target": 400}
    if len(statuses) == 1 and statuses[0].isdigit():
        return {"operator": "is", "target": int(statuses[0])}
    choices = "|".join(status.replace("x", r"\d") for status in statuses)
    return {"operator": "matches", "target": f"^(?:{choices})$"}


def _plain(condition: Condition, what: str, notes: list[str]) -> list[dict[str, Any]]:
    """{operator, target}; empty, and a note, where Datadog has no such operator."""
    operator, operand = condition.operator, _named(condition.operand)
    if operator == "exists":
        if operand:
            return [{"operator": "matches", "target": ".*"}]
        return [{"operator": "doesNotExist"}]
    if operator == "one of":
        choices = "|".join(re.escape(str(each)) for each in operand)
        return [{"operator": "matches", "target": f"^(?:{choices})$"}]
    if isinstance(operand, (dict, list)):
        notes.append(f"{what} {condition.told()} is left out: Datadog compares no such values")
        return []
    return [{"operator": _OPERATORS[operator], "target": operand}]


def _inner(plain: dict[str, Any]) -> dict[str, Any]:
    inner = {"operator": plain["operator"]}
    return {**inner, "targetValue": plain["target"]} if "target" in plain else inner


def _json_path(path: JsonPath, condition: Condition, notes: list[str]) -> list[dict[str, Any]]:
    if path.text.endswith(".length()"):
        notes.append(f"{path.text} is left out: Datadog counts nothing by JSONPath")
        return []
    found = []
    for each in _plain(condition, path.text, notes):
        inner = _inner(each)
        if condition.operator == "exists" and not condition.operand:
            inner = {"operator": "isUndefined"}
        elements = {"elementsOperator": "everyElementMatches"} if path.is_many else {}
        target = {"jsonPath": path.text, **elements, **inner}
        found.append({"type": "body", "operator": "validatesJSONPath", "target": target})
    return found


def _extracted(name: str, source: JsonPath | str, notes: list[str]) -> dict[str, Any]:
    if isinstance(source, str):
        return {"name": name.upper(), "type": "http_header", "field": source,
                "parser": {"type": "raw"}, "secure": False}  # fmt: skip
    if source.text.endswith(".length()"):
        notes.append(f"{name} is captured from {source.text}, which Datadog does not know")
    return {"name": name.upper(), "type": "http_body",
            "parser": {"type": "json_path", "value": source.text}, "secure": False}  # fmt: skip
