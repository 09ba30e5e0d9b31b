"""What may be asked of ELBv2: the checks of names, actions and conditions."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Any

from hikkoshi.region.elb.model import Document, Holdings
from hikkoshi.region.front.port import AwsError, NotImplementedByRegion

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,40}")
_NAME = re.compile(r"(?!internal-)[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?")
_MATCHER = re.compile(r"[2-5]\d\d(?:-[2-5]\d\d)?(?:,[2-5]\d\d(?:-[2-5]\d\d)?)*")
_FIXED_STATUS = re.compile(r"[245]\d\d")
_CONTENT_TYPES = (
    "text/plain", "text/css", "text/html", "application/javascript", "application/json",
)  # fmt: skip
MAX_TARGETS_OF_RULE = 5


def refuse(message: str, code: str = "ValidationError") -> AwsError:
    return AwsError(code, message)


def check_name(kind: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise refuse(
            f"The {kind} name '{name[:64]}' must have at most 32 characters, only letters, digits "
            "and hyphens, must not begin or end with a hyphen, nor begin with 'internal-'"
        )
    return name


def check_group_name(name: str) -> str:
    """The words are those that moto's suite expects of AWS."""
    if len(name) > 32:
        raise refuse(f"Target group name '{name[:64]}' cannot be longer than '32' characters")
    if not re.fullmatch(r"[A-Za-z0-9-]+", name):
        raise refuse(
            f"Target group name '{name}' can only contain characters that are alphanumeric "
            "characters or hyphens(-)"
        )
    pattern = r"(?!.*--)(?!^-)(?!.*-$)^[A-Za-z0-9-]+$"
    if not re.fullmatch(pattern, name):
        raise refuse(
            f"1 validation error detected: Value '{name}' at "
            "'targetGroup.targetGroupArn.targetGroupName' failed to satisfy constraint: Member "
            f"must satisfy regular expression pattern: {pattern}"
        )
    return name


def check_matcher(text: str, most: int = 499) -> str:
    codes = [int(code) for code in re.split("[-,]", text)] if _MATCHER.fullmatch(text) else []
    if not codes or max(codes) > most:
        raise refuse(f"Health check matcher HTTP code '{text[:40]}' must be within '200-{most}'")
    return text


def check_health_path(path: str) -> str:
    if not path.startswith("/") or not 1 <= len(path) <= 1024 or not _is_printable(path):
        raise refuse(f"Health check path '{path[:80]}' must begin with a '/' character")
    if not path.isascii() or " " in path:
        raise refuse(f"Health check path '{path[:80]}' must be percent-encoded")
    return path


def check_actions(actions: Sequence[Document], holdings: Holdings) -> tuple[Document, ...]:
    """Actions in the shape in which they are described again (Order filled in)."""
    if len(actions) != 1:
        finals = [action for action in actions if not action["Type"].startswith("authenticate")]
        if len(finals) != len(actions):
            raise NotImplementedByRegion("elbv2: authentication by a load balancer")
        raise refuse("You must specify exactly one routing action", "InvalidLoadBalancerAction")
    action = dict(actions[0])
    kind = action["Type"]
    if kind == "forward":
        return ({**_forward(action, holdings), "Order": 1},)
    if kind == "redirect":
        return ({"Type": kind, "Order": 1, "RedirectConfig": _redirect(action)},)
    if kind == "fixed-response":
        return ({"Type": kind, "Order": 1, "FixedResponseConfig": _fixed(action)},)
    raise NotImplementedByRegion(f"elbv2: the action {kind}")


def _forward(action: Document, holdings: Holdings) -> dict[str, Any]:
    config = dict(action.get("ForwardConfig") or {})
    groups = [dict(group) for group in config.get("TargetGroups") or []]
    if not groups:
        if not action.get("TargetGroupArn"):
            raise refuse("A target group ARN must be specified", "InvalidLoadBalancerAction")
        groups = [{"TargetGroupArn": action["TargetGroupArn"]}]
    if len(groups) > MAX_TARGETS_OF_RULE:
        what = f"A forward action has at most {MAX_TARGETS_OF_RULE} target groups"
        raise refuse(what, "TooManyUniqueTargetGroupsPerLoadBalancer")
    for group in groups:
        if group.get("TargetGroupArn") not in holdings.target_groups:
            raise AwsError("TargetGroupNotFound", "One or more target groups not found")
        group.setdefault("Weight", 1)
        if not 0 <= group["Weight"] <= 999:
            raise refuse("Weight must be between 0 and 999")
    sticky = config.get("TargetGroupStickinessConfig") or {"Enabled": False}
    if sticky.get("Enabled") and not 1 <= sticky.get("DurationSeconds", 0) <= 604800:
        raise refuse("Target group stickiness duration must be between 1 and 604800 seconds")
    answer: dict[str, Any] = {
        "Type": "forward",
        "ForwardConfig": {"TargetGroups": groups, "TargetGroupStickinessConfig": sticky},
    }
    if len(groups) == 1:
        answer["TargetGroupArn"] = groups[0]["TargetGroupArn"]
    return answer


def _redirect(action: Document) -> dict[str, Any]:
    config = {
        "Protocol": "#{protocol}",
        "Port": "#{port}",
        "Host": "#{host}",
        "Path": "/#{path}",
        "Query": "#{query}",
        **(action.get("RedirectConfig") or {}),
    }
    if config.get("StatusCode") not in ("HTTP_301", "HTTP_302"):
        raise refuse("The redirect status code must be HTTP_301 or HTTP_302")
    if config["Protocol"] not in ("HTTP", "HTTPS", "#{protocol}"):
        raise refuse("The redirect protocol must be HTTP, HTTPS or #{protocol}")
    if not config["Path"].startswith("/"):
        raise refuse("The redirect path must begin with '/'")
    for key in ("Port", "Host", "Path", "Query"):
        if not _is_printable(config[key]) or " " in config[key]:
            raise refuse(f"The redirect {key.lower()} has characters that a URL cannot have")
    unchanged = ("#{protocol}", "#{port}", "#{host}", "/#{path}", "#{query}")
    if tuple(config[key] for key in ("Protocol", "Port", "Host", "Path", "Query")) == unchanged:
        raise refuse("The redirect would loop: change the protocol, port, host, path or query",
                     "InvalidLoadBalancerAction")  # fmt: skip
    return config


def _fixed(action: Document) -> dict[str, Any]:
    config = dict(action.get("FixedResponseConfig") or {})
    if not _FIXED_STATUS.fullmatch(config.get("StatusCode", "")):
        raise refuse("The fixed response's status code must match ^(2|4|5)\\d\\d$")
    if len(config.get("MessageBody", "")) > 1024:
        raise refuse("The fixed response's body has at most 1024 characters")
    if "\0" in config.get("MessageBody", ""):
        raise refuse("The fixed response's body has a NUL character")
    if config.get("ContentType") and config["ContentType"] not in _CONTENT_TYPES:
        raise refuse(f"The content type must be one of [{', '.join(_CONTENT_TYPES)}]")
    return config


def check_conditions(conditions: Sequence[Document]) -> tuple[Document, ...]:
    """Conditions in the shape in which they are described again."""
    if not conditions:
        raise refuse("A condition must be specified")
    answer = []
    for condition in conditions:
        field = condition.get("Field", "")
        if field not in _CONDITIONS:
            raise refuse(
                f"Condition field '{field[:40]}' must be one of [{', '.join(_CONDITIONS)}]"
            )
        config_name, check = _CONDITIONS[field]
        config = dict(condition.get(config_name) or {})
        if "RegexValues" in config or condition.get("RegexValues"):
            raise NotImplementedByRegion("elbv2: conditions by regular expression")
        values = _values_of(field, condition, config_name)
        for value in values:
            check(value)
        header = config.get("HttpHeaderName") or ""
        if field == "http-header" and len(header) > 40:
            raise refuse("The 'HttpHeaderName' value is too long; the limit is '40'")
        if field == "http-header" and not _TOKEN.fullmatch(header):
            raise refuse("The header name of a condition has at most 40 letters, digits or signs")
        described: dict[str, Any] = {"Field": field, config_name: {**config, "Values": values}}
        if field in _WITH_VALUES:
            described["Values"] = values
        answer.append(described)
    return tuple(answer)


def _values_of(field: str, condition: Document, config_name: str) -> list[Any]:
    """What the field is compared with. The words of the refusals are those that moto's suite
    expects of AWS."""
    config = condition.get(config_name)
    if field in _WITH_VALUES:
        values = list((config or {}).get("Values") or condition.get("Values") or [])
        if not values:
            raise refuse("A condition value must be specified")
        return values
    if config is None:
        article = "An" if config_name[0] in "AEIOU" else "A"
        raise refuse(f"{article} '{config_name}' must be specified with '{field}'")
    values = list(config.get("Values") or [])
    if not values:
        article = "An" if field[0] in "aeiou" else "A"
        raise refuse(f"{article} '{field}' value must be specified")
    return values


def _matching(field: str, pattern: str, limit: int, allowed: str) -> Callable[[Any], None]:
    compiled = re.compile(pattern)

    def check(value: Any) -> None:
        if len(str(value)) > limit:
            raise refuse(f"The '{field}' value is too long; the limit is '{limit}'")
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise refuse(f"The '{field}' value is invalid; the allowed characters are {allowed}")

    return check


def _network(value: Any) -> None:
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        raise refuse(f"The condition value '{str(value)[:80]}' is not a CIDR block") from error


def _pair(value: Any) -> None:
    for name in ("Key", "Value"):
        text = value.get(name) or ""
        if len(text) > 128:
            raise refuse(f"The '{name}' value is too long; the limit is '128'")
        if not _is_printable(text):
            raise refuse(f"The '{name}' value of a query string has unprintable characters")
    if not value.get("Value"):
        raise refuse("A 'Value' must be specified in 'QueryStringKeyValuePair'")


def _is_printable(text: str) -> bool:
    return all(letter.isprintable() for letter in text)


_WITH_VALUES = ("host-header", "path-pattern")
"""Conditions that may be written with `Values` alone, as before the others came."""

_CONDITIONS: dict[str, tuple[str, Callable[[Any], None]]] = {
    "host-header": (
        "HostHeaderConfig",
        _matching("host-header", r"[A-Za-z0-9.*?_-]+", 128, "A-Z, a-z, 0-9 and -_.*?"),
    ),
    "path-pattern": (
        "PathPatternConfig",
        _matching(
            "path-pattern",
            r"[A-Za-z0-9_\-.$/~\"'@:+&*?]+",
            128,
            "A-Z, a-z, 0-9 and _-.$/~\"'@:+&*?",
        ),
    ),
    "http-header": (
        "HttpHeaderConfig",
        _matching("http-header", r"[\x20-\x7e]+", 128, "printable ones"),
    ),
    "http-request-method": (
        "HttpRequestMethodConfig",
        _matching("http-request-method", r"[A-Z_-]+", 40, "A-Z, hyphen and underscore"),
    ),
    "query-string": ("QueryStringConfig", _pair),
    "source-ip": ("SourceIpConfig", _network),
}
