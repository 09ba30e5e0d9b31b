"""`status<400, p99<300ms, errors<0.1%, $.ok==true, header.content-type contains json` → conditions.

A *check* is about one answer: `status`, `body`, `time`, `size`, `header.NAME`, a JSONPath. A
*threshold* is about the run: a percentile (`p50` … `p99.9`), `mean`, `min`, `max` of the latency,
`errors` and `success` (shares), `throughput` (successes a second), `requests`; with `[endpoint]`
behind it, about one endpoint.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.base.units import format_duration, format_share, parse_duration, parse_share
from hikkoshi.load.histogram import Histogram
from hikkoshi.load.json_path import parse_json_path

CONDITIONS_FORM = (
    "write conditions with commas between them: status<400, time<1s, size<10000, "
    'body contains "x", header.content-type contains json, $.ok==true for each answer; '
    "p99<300ms, mean, max, errors<0.1%, success>=99.9%, throughput>=95, p99[endpoint]<1s for the "
    "whole run"
)
_CONDITION = re.compile(
    r"""^\s*(?P<subject>\$.*?|header[.\ ][\w-]+|[a-z][a-z0-9.]*(?:\[[^\]]+\])?)\s*
        (?:(?P<symbol><=|>=|==|!=|=|<|>|~)|\s(?P<word>contains|exists|matches)\b)
        \s*(?P<value>.*?)\s*$""",
    re.VERBOSE | re.DOTALL,
)
_PERCENTILE = re.compile(r"^p(\d{1,2}(?:\.\d+)?)$")
_STATUSES = re.compile(r"^[1-5x][0-9x]{2}(\|[1-5x][0-9x]{2})*$")
_ON_RUN = ("mean", "min", "max", "errors", "success", "throughput", "requests")
_ON_ANSWER = ("status", "body", "time", "size")
COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One condition on one answer. name: of the header, or the JSONPath."""

    text: str
    kind: str
    name: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Threshold:
    """One condition on the run. limit: seconds, a share, a rate or a count, by the metric."""

    text: str
    metric: str
    endpoint: str | None
    operator: str
    limit: float


@dataclass(frozen=True, slots=True)
class Conditions:
    checks: tuple[Check, ...] = ()
    thresholds: tuple[Threshold, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a threshold holds. found: in words; is_met None when there is nothing to judge."""

    text: str
    found: str
    is_met: bool | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What thresholds are judged by; seconds is how long the run took."""

    requests: int
    succeeded: int
    latency: Histogram
    seconds: float


def parse_conditions(text: str, where: str = "--expect") -> Conditions:
    """BadInput names the condition that cannot be read."""
    checks: list[Check] = []
    thresholds: list[Threshold] = []
    for part in split_outside(text):
        if not part.strip():
            continue
        try:
            condition = _parse(part.strip())
        except (ValueError, re.error) as error:
            told = str(error) or "is no condition"
            raise BadInput(f"{part.strip()!r}: {told}", where=where, fix=CONDITIONS_FORM) from error
        if isinstance(condition, Check):
            checks.append(condition)
        else:
            thresholds.append(condition)
    if not checks and not thresholds:
        raise BadInput("no condition in it", where=where, fix=CONDITIONS_FORM)
    return Conditions(tuple(checks), tuple(thresholds))


def split_outside(text: str) -> list[str]:
    """At commas, but not at those in quotes or brackets."""
    parts, depth, quote, start = [], 0, "", 0
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[({":
            depth += 1
        elif letter in "])}":
            depth -= 1
        elif letter == "," and depth <= 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _parse(text: str) -> Check | Threshold:
    match = _CONDITION.match(text)
    if match is None:
        raise ValueError("is no condition")
    subject, value = match["subject"].strip(), _unquoted(match["value"])
    sign = match["symbol"] or match["word"]
    sign = {"=": "==", "~": "matches"}.get(sign, sign)
    if not value and sign != "exists":
        raise ValueError(f"nothing stands after {sign}")
    if sign == "matches":
        # A body is bytes, and not all that a pattern of text may have is one of bytes.
        re.compile(value.encode() if subject == "body" else value)
    name, _, rest = subject.partition("[")
    endpoint = rest.removesuffix("]") or None
    if not subject.startswith("$") and (name in _ON_RUN or _PERCENTILE.match(name)):
        return _threshold(text, name, endpoint, sign, value)
    return _check(text, subject, sign, value)


def _unquoted(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted else value


def _threshold(text: str, metric: str, endpoint: str | None, sign: str, value: str) -> Threshold:
    if sign not in COMPARE:
        raise ValueError(f"{metric} is compared with <, <=, >, >=, == or !=")
    if metric in ("errors", "success"):
        limit = parse_share(value)
        if not 0 <= limit <= 1:
            raise ValueError(f"{value} is not a share between 0 and 1 (or 0% and 100%)")
    elif metric == "throughput":
        limit = float(value.removesuffix("/s"))
    elif metric == "requests":
        limit = float(value)
    else:
        limit = parse_duration(value)
    return Threshold(text, metric, endpoint, sign, limit)


def _check(text: str, subject: str, sign: str, value: str) -> Check:
    if subject.startswith("$"):
        parse_json_path(subject)
        return Check(text, "json", subject, sign, value)
    if subject.startswith("header"):
        return Check(text, "header", subject[7:].lower(), sign, value)
    if subject not in _ON_ANSWER:
        known = ", ".join((*_ON_ANSWER, "header.NAME", "$.path", "p99", *_ON_RUN))
        raise ValueError(f"{subject!r} is nothing that is measured; there are {known}")
    if subject == "time":
        parse_duration(value)
    elif subject == "size":
        float(value)
    elif subject == "status":
        if sign in ("==", "!=") and not _STATUSES.match(value):
            raise ValueError("a status is written 200, 2xx or 200|204")
        if sign not in COMPARE:
            raise ValueError("a status is compared with <, <=, >, >=, == or !=")
        if sign not in ("==", "!="):
            int(value)
    if subject in ("time", "size") and sign not in COMPARE:
        raise ValueError(f"{subject} is compared with <, <=, >, >=, == or !=")
    if subject == "body" and sign not in ("contains", "matches", "==", "!="):
        raise ValueError("a body is compared with contains, ~, == or !=")
    return Check(text, subject, "", sign, value)


def judge(threshold: Threshold, evidence: Evidence) -> Verdict:
    """Pure. A run without requests has nothing to judge, but of their number."""
    found = _value(threshold.metric, evidence)
    if found is None:
        return Verdict(threshold.text, "nothing was measured", None)
    # Rounded, since 99.9 % is not 0.999 to the last bit.
    is_met = COMPARE[threshold.operator](round(found, 12), round(threshold.limit, 12))
    return Verdict(threshold.text, _say(threshold.metric, found), is_met)


def _value(metric: str, evidence: Evidence) -> float | None:
    if metric == "requests":
        return evidence.requests
    if not evidence.requests:
        return None
    latency = evidence.latency
    if metric == "errors":
        return 1 - evidence.succeeded / evidence.requests
    if metric == "success":
        return evidence.succeeded / evidence.requests
    if metric == "throughput":
        return evidence.succeeded / max(evidence.seconds, 1e-9)
    if metric in ("mean", "min", "max"):
        return {"mean": latency.mean_s, "min": latency.minimum_s, "max": latency.maximum_s}[metric]
    return latency.percentile(float(metric[1:]) / 100)


def _say(metric: str, value: float) -> str:
    if metric in ("errors", "success"):
        return f"{metric} was {format_share(value)}"
    if metric == "throughput":
        return f"throughput was {value:.1f}/s"
    if metric == "requests":
        return f"{value:.0f} requests"
    return f"{metric} was {format_duration(value)}"
