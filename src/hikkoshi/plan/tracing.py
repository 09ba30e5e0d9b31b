"""Who collects traces on the host, and how they come under the load balancer's requests."""

from __future__ import annotations

import re

from hikkoshi.model.survey import Application, Host, Unit

_HEADER = "X-Amzn-Trace-Id"
# Sources: opentelemetry-python-contrib, "Capture HTTP request and response headers";
# OpenTelemetry's Java agent, "Capturing HTTP request and response headers".
_CAPTURE = {
    "python": "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST",
    "java": "OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_REQUEST_HEADERS",
}


def find_traces(host: Host, unit: Unit) -> tuple[str, str]:
    """(`xray`, `otel` or nothing, because)."""
    names = {u.name.removesuffix(".service"): u for u in host.units}
    for name in ("xray", "aws-xray-daemon"):
        if name in names:
            return "xray", f"{name}.service runs on the host"
    for name in ("aws-otel-collector", "otelcol"):
        if name in names:
            return "otel", f"{name}.service runs on the host"
    for variable in unit.environment:
        if variable.startswith("AWS_XRAY"):
            return "xray", f"{variable} is in the application's environment"
        if variable.startswith("OTEL_EXPORTER"):
            return "otel", f"{variable} is in the application's environment"
    for listener in host.listeners:
        if listener.port == 2000 and listener.protocol == "udp":
            return "xray", "something on the host listens on 2000/udp"
    return "", "nothing on the host collects traces"


def capture(
    runtime: str, unit: Unit, command: tuple[str, ...], files: Application
) -> tuple[dict[str, str], str]:
    """(variables for the application, a sentence of why) where it uses OpenTelemetry itself;
    ({}, "") where nothing says so. runtime: as plan.image says it. A load balancer sends a header
    that OpenTelemetry's X-Ray propagator drops (decisions 0141, 0183): captured as an attribute, it
    joins the trace to the request."""
    signs = [name for name in unit.environment if name.startswith("OTEL_")]
    signs += [word for word in command if re.search(r"opentelemetry", word)]
    signs += [name for name in files.imports if name.startswith("opentelemetry")]
    variable = _CAPTURE.get(runtime)
    if not signs or variable is None:
        return {}, ""
    before = unit.environment.get(variable, "")
    if _HEADER.lower() in before.lower():
        return {}, ""
    value = ",".join(part for part in (before, _HEADER) if part)
    return {variable: value}, (
        f"{variable}={value}: it uses OpenTelemetry ({signs[0]}), whose server span then has the "
        "load balancer's header, by which a trace is joined to its request"
    )
