"""Outputs: where records go. Those that cannot be run here are captured, and say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from hikkoshi.base.errors import BadInput
from hikkoshi.router.outputs.captured import CAPTURED, Captured
from hikkoshi.router.outputs.cloudwatch_logs import make_cloudwatch_logs
from hikkoshi.router.outputs.datadog import Datadog
from hikkoshi.router.outputs.forward import ForwardOutput
from hikkoshi.router.outputs.http import HttpOutput
from hikkoshi.router.outputs.local import FileOutput, Null, Stdout
from hikkoshi.router.port import Log, Output
from hikkoshi.router.section import Settings


class OutputContext(NamedTuple):
    """write: the router's stdout. environ: for endpoints and credentials of AWS."""

    log: Log
    write: Callable[[bytes], None]
    environ: Mapping[str, str]


def make_output(name: str, settings: Settings, context: OutputContext) -> Output:
    """BadInput for a plugin or key that is not interpreted."""
    kind = name.lower()
    if kind == "datadog":
        return Datadog(settings, context.log)
    if kind == "http":
        return HttpOutput(settings, context.log)
    if kind == "forward":
        return ForwardOutput(settings, context.log)
    if kind == "stdout":
        return Stdout(settings, context.write)
    if kind == "file":
        return FileOutput(settings, context.log)
    if kind == "null":
        return Null(settings)
    if kind in ("cloudwatch_logs", "cloudwatch"):
        return make_cloudwatch_logs(kind, settings, context.log, context.environ)
    if kind in CAPTURED:
        return Captured(kind, settings, context.log)
    raise BadInput(
        f"output plugin '{name}' cannot be loaded: not interpreted by the stand-in",
        where=settings.section.where,
        fix="one of datadog, http, forward, stdout, file, null, cloudwatch_logs; captured only: "
        + ", ".join(sorted(CAPTURED)),
    )
