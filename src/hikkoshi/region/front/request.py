"""One HTTP request as the front sees it, and which service and operation of AWS it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_plus

_SCOPE = re.compile(r"Credential=[^/,\s]*/\d{8}/([a-z0-9-]+)/([a-z0-9._-]+)/aws4_request", re.I)
_SCOPE_IN_QUERY = re.compile(r"^[^/]*/\d{8}/([a-z0-9-]+)/([a-z0-9._-]+)/aws4_request$", re.I)
_HOST = re.compile(r"^([a-z0-9-]+)\.([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com(?::\d+)?$", re.I)

_ELB_V2 = "2015-12-01"
_MAX_PARAMETERS = 20_000

OWN_SERVICES = ("application-autoscaling", "ecs", "elbv2", "rds", "xray")
"""Never answered by moto, whether or not a room gives them."""

_BY_SIGNING_NAME = {
    "application-autoscaling": "application-autoscaling",
    "ecs": "ecs",
    "rds": "rds",
    "xray": "xray",
}
_BY_TARGET = {
    "AmazonEC2ContainerServiceV20141113": "ecs",
    "AnyScaleFrontendService": "application-autoscaling",
}
_BY_VERSION = {_ELB_V2: "elbv2", "2014-10-31": "rds"}
_XRAY_PATHS = frozenset({"/TraceSegments", "/Traces", "/TraceSummaries", "/TelemetryRecords"})


@dataclass(frozen=True, slots=True)
class Request:
    """`headers` are lower-cased; `path` is still percent-encoded; `form` is the body's fields and
    the query's together, None where there are too many of them to be meant."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_form(self) -> bool:
        return self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")

    def form(self) -> dict[str, str] | None:
        text = self.query
        if self.is_form:
            text += ("&" if text else "") + self.body.decode("utf-8", "replace")
        if text.count("&") >= _MAX_PARAMETERS:
            return None
        return dict(parse_qsl(text, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Route:
    """service: botocore's name, None: not one of ours (moto's). operation: the name asked for in
    the X-Amz-Target header, None where it is elsewhere. region None: not said."""

    service: str | None
    signing_name: str | None
    region: str | None
    operation: str | None = None


def find_route(request: Request) -> Route:
    """By the credential scope; without a signature by target header, host name, version, path."""
    region, signing_name = _credential_scope(request)
    target = request.headers.get("x-amz-target", "")
    prefix, _, operation = target.rpartition(".")
    if signing_name is None:
        host = _HOST.match(request.headers.get("host", ""))
        if host:
            signing_name, region = host.group(1).lower(), host.group(2).lower()
    if signing_name is not None:
        service = _BY_SIGNING_NAME.get(signing_name)
        if signing_name == "elasticloadbalancing" and _version(request) in (None, _ELB_V2):
            service = "elbv2"
        own_prefix = prefix in _BY_TARGET and _BY_TARGET[prefix] == service
        return Route(service, signing_name, region, operation if own_prefix else None)
    service = _BY_TARGET.get(prefix)
    if service is None and not target:
        service = _BY_VERSION.get(_version(request) or "")
    if service is None and request.method == "POST" and request.path in _XRAY_PATHS:
        service = "xray"
    return Route(service, None, None, operation if service else None)


def _credential_scope(request: Request) -> tuple[str | None, str | None]:
    found = _SCOPE.search(request.headers.get("authorization", ""))
    if found is None and "X-Amz-Credential=" in request.query:
        for key, value in parse_qsl(request.query):
            if key == "X-Amz-Credential":
                found = _SCOPE_IN_QUERY.match(value)
    return (found.group(1).lower(), found.group(2).lower()) if found else (None, None)


def _version(request: Request) -> str | None:
    for text in (request.query, request.body.decode("latin-1") if request.is_form else ""):
        found = re.search(r"(?:^|&)Version=([^&]*)", text)
        if found:
            return unquote_plus(found.group(1))
    return None
