"""What the service is asked for, from the tail of its own, nginx's or Apache's access log."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hikkoshi.model.survey import AccessLog, Endpoint

_COMBINED = re.compile(
    r'^\S+ \S+ \S+ \[(?P<time>[^\]]+)\] "(?P<method>[A-Z]+) (?P<path>\S+) HTTP/[\d.]+" '
    r'(?P<status>\d{3}) (?P<size>\d+|-)(?: "(?P<referrer>[^"]*)" "(?P<agent>[^"]*)")?(?P<rest>.*)$'
)
# An ELB's own access log ("type time elb client target times… status … "request" "agent"").
_ALB = re.compile(
    r"^(?:https?|h2|grpcs|wss?) (?P<time>\S+) \S+ \S+ \S+ \S+ (?P<took>[-\d.]+) \S+ "
    r'(?P<status>\d{3}) \S+ \S+ \S+ "(?P<method>[A-Z]+) (?P<path>\S+) \S+" "(?P<agent>[^"]*)"'
)
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
_KEYS: Mapping[str, tuple[str, ...]] = {
    "method": ("method", "request_method", "http_method", "verb"),
    "path": ("path", "uri", "request_uri", "url", "http_path", "request_path"),
    "status": ("status", "status_code", "code", "http_status", "response_status"),
    "time": ("time", "timestamp", "ts", "@timestamp", "time_local", "date"),
}
_MILLISECONDS = ("ms", "duration_ms", "latency_ms", "elapsed_ms", "response_time_ms", "took_ms")
_SECONDS = ("request_time", "duration", "latency", "elapsed", "response_time")
_CHECKER = re.compile(r"ELB-HealthChecker|GoogleHC|kube-probe|Route ?53", re.IGNORECASE)
_VARIES = re.compile(
    r"^(?:\d+|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-fA-F]{12,}|(?=[^/]*\d)[A-Za-z0-9_-]{16,})$"
)
_MOST_EXAMPLES = 3
_LINES_KEPT = 20


@dataclass(frozen=True, slots=True)
class Hit:
    method: str
    path: str
    status: int
    time: float | None = None
    took_ms: float | None = None
    agent: str = ""


def template(path: str) -> str:
    """/reports/7/items?x=1 → /reports/{n}/items"""
    bare = path.partition("?")[0]
    return "/".join("{n}" if _VARIES.match(part) else part for part in bare.split("/"))


def read_access_log(path: str, text: str) -> AccessLog | None:
    """None if its lines are no requests. The first line may be cut; it is then no request."""
    form, hits, lines = "", [], []
    for line in text.splitlines():
        for name, parse in (("json", _json), ("combined", _combined), ("elb", _elb)):
            if form and name != form:
                continue
            hit = parse(line)
            if hit is not None:
                form = name
                hits.append(hit)
                lines.append(line)
                break
    if len(hits) < 5:
        return None
    checks = {h.path: h.status for h in hits if _CHECKER.search(h.agent)}
    people = [hit for hit in hits if not _CHECKER.search(hit.agent)]
    times = sorted(hit.time for hit in people if hit.time is not None)
    seconds = Counter(int(time) for time in times)
    span = times[-1] - times[0] if len(times) > 1 else 0.0
    step = max(1, len(lines) // _LINES_KEPT)
    return AccessLog(
        path,
        form,
        len(hits),
        times[0] if times else None,
        times[-1] if times else None,
        float(max(seconds.values(), default=0)),
        round(len(times) / span, 2) if span > 0 else 0.0,
        tuple(_endpoints(people)),
        checks,
        tuple(line[:2000] for line in lines[::step][:_LINES_KEPT]),
    )


def _endpoints(hits: list[Hit]) -> Iterator[Endpoint]:
    groups: dict[tuple[str, str], list[Hit]] = defaultdict(list)
    for hit in hits:
        groups[hit.method, template(hit.path)].append(hit)
    for (method, shape), members in sorted(groups.items(), key=lambda g: (-len(g[1]), g[0])):
        # Examples are of what went well: a scan for what is not there is no example.
        good = [hit for hit in members if hit.status < 400] or members
        paths = Counter(hit.path for hit in good)
        took = sorted(hit.took_ms for hit in members if hit.took_ms is not None)
        yield Endpoint(
            method,
            shape,
            len(members),
            {str(code): n for code, n in sorted(Counter(h.status for h in members).items())},
            tuple(
                (path, round(count / len(good), 4))
                for path, count in paths.most_common(_MOST_EXAMPLES)
            ),
            took[min(len(took) - 1, int(len(took) * 0.99))] if took else None,
        )


def _json(line: str) -> Hit | None:
    if not line.startswith("{"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    for inner in ("http", "httpRequest", "request"):
        if isinstance(record.get(inner), dict):
            record = {**record, **record[inner]}
    found = {name: _first(record, keys) for name, keys in _KEYS.items()}
    method, path = str(found["method"] or "").upper(), str(found["path"] or "")
    if method not in _METHODS or not path.startswith("/"):
        return None
    try:
        status = int(found["status"])
    except (TypeError, ValueError):
        return None
    took = _number(_first(record, _MILLISECONDS))
    if took is None and (seconds := _number(_first(record, _SECONDS))) is not None:
        took = seconds * 1000
    agent = str(record.get("user_agent") or record.get("http_user_agent") or "")
    return Hit(method, path, status, _moment(found["time"]), took, agent)


def _combined(line: str) -> Hit | None:
    match = _COMBINED.match(line)
    if match is None or not match["path"].startswith("/"):
        return None
    # `$request_time` is often added at the end, in seconds.
    tail = re.search(r"(?:^|\s|=)\"?(\d+\.\d{3})\"?\s*$", match["rest"])
    took = float(tail.group(1)) * 1000 if tail else None
    return Hit(
        match["method"], match["path"], int(match["status"]), _moment(match["time"]), took,
        match["agent"] or "",
    )  # fmt: skip


def _elb(line: str) -> Hit | None:
    match = _ALB.match(line)
    if match is None:
        return None
    path = re.sub(r"^https?://[^/]+", "", match["path"]) or "/"
    took = _number(match["took"])
    return Hit(
        match["method"], path, int(match["status"]), _moment(match["time"]),
        took * 1000 if took is not None and took >= 0 else None, match["agent"],
    )  # fmt: skip


def _first(record: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((record[key] for key in keys if record.get(key) is not None), None)


def _number(value: Any) -> float | None:
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _moment(value: Any) -> float | None:
    number = _number(value)
    if number is not None:
        return number / 1000 if number > 1e11 else number
    text = str(value or "")
    with suppress(ValueError):
        return datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").timestamp()
    with suppress(ValueError):
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    return None
