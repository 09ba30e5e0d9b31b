"""Which of the host's log pipelines the application's lines passed, and the router that follows."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from hikkoshi.model.survey import Configuration, Unit
from hikkoshi.plan.choice import Notebook
from hikkoshi.plan.fluent_bit import (
    Router,
    translate_filter,
    translate_output,
    translate_parse,
)
from hikkoshi.router import fluentd

_INCLUDED = ("tail", "forward", "syslog", "systemd", "http", "tcp", "unix")
_DEFAULT_FILES = re.compile(
    r"/var/log/(?:syslog|auth\.log|kern\.log|mail\.\w+|messages|secure|"
    r"cron(?:\.log)?|maillog|spooler|boot\.log|user\.log|daemon\.log|debug|lpr\.log)\b|:omusrmsg"
)
_RSYSLOG_REMOTE = re.compile(r"^\s*\S+\s+(@@?)\[?([\w.:-]+?)\]?(?::(\d+))?(?:;(\S+))?\s*$")


def translate(
    container: str,
    unit: Unit,
    configurations: Sequence[Configuration],
    region: str,
    notebook: Notebook,
) -> Router:
    """The router's sections for the application's container; `lost` and `changed` say the rest."""
    router = Router()
    match = f"{container}-firelens*"
    outputs = _from_fluentd(router, match, unit, configurations)
    outputs += _from_rsyslog(router, match, unit, configurations)
    outputs += _from_cloudwatch(router, match, unit, configurations, region)
    agents = sorted({c.kind for c in configurations if c.kind in
                     ("fluentd", "rsyslog", "cloudwatch", "fluentbit")})  # fmt: skip
    for c in configurations:
        if c.kind == "fluentbit":
            router.lost.append(f"{c.path}: it is Fluent Bit's already; carry its filters and "
                               "outputs over by hand (the inputs become FireLens)")  # fmt: skip
    if outputs:
        names = ", ".join(dict.fromkeys(name for name, _ in outputs))
        notebook.note("logs", names, f"{', '.join(agents)} on the host delivers them there",
                      *(where for _, where in outputs))  # fmt: skip
        return router
    group = notebook.question(
        "logs",
        "Where are the application's log lines to go (a CloudWatch log group)?",
        f"/ecs/{container}",
        "no log agent on the host delivers this application's lines anywhere",
        *agents,
    )
    router.add(
        "OUTPUT", ("Name", "cloudwatch_logs"), ("Match", match), ("region", region),
        ("log_group_name", group), ("log_stream_prefix", "task-"), ("auto_create_group", "true"),
        ("log_key", "log"),
    )  # fmt: skip
    return router


def own_log(unit: Unit) -> str:
    return unit.output.partition(":")[2] if ":" in unit.output else ""


def _is_own(path: str, unit: Unit) -> bool:
    """Does the application write it? Its output, or a file in a directory of its name."""
    name = unit.name.removesuffix(".service")
    output = own_log(unit)
    places = [p for p in (unit.working_directory, f"/var/log/{name}") if p]
    return path == output or any(path.startswith(f"{place}/") for place in places)


def _from_fluentd(
    router: Router, match: str, unit: Unit, configurations: Sequence[Configuration]
) -> list[tuple[str, str]]:
    directives: list[fluentd.Directive] = []
    for configuration in configurations:
        if configuration.kind == "fluentd":
            found, complaints = fluentd.parse(configuration.text, configuration.path)
            directives += found
            router.lost += complaints
    outputs: list[tuple[str, str]] = []
    taken = False
    for pipeline in fluentd.pipelines(directives):
        source, kind = pipeline.source, pipeline.source.type
        path = source.values.get("path", "")
        if kind == "forward":
            router.changed.append(f"{source.where}: the forward source is FireLens' own input now "
                                  "(FLUENT_HOST and FLUENT_PORT name it)")  # fmt: skip
            if not pipeline.tag:
                continue
        elif kind != "tail" or not any(_is_own(p, unit) for p in path.split(",")):
            what = f"{kind} {path}".strip()
            router.lost.append(f"{source.where}: the source {what!r} is none of the application's "
                               "output; it does not exist in its container")  # fmt: skip
            continue
        elif own_log(unit) != path:
            router.changed.append(
                f"{source.where}: {path} was followed as a file: let the application write to "
                "stdout (the Dockerfile links the file there)"
            )
        if taken:
            router.lost.append(f"{source.where}: a second file of the application: both come by "
                               "stdout now, under one tag; its pipeline was left out")  # fmt: skip
            continue
        taken = True
        name = "".join(c if c.isalnum() else "_" for c in pipeline.tag or "application")
        parse = source.one("parse")
        if parse is None and "format" in source.values:
            values = {"@type": source.values["format"], **source.values}
            parse = fluentd.Directive("parse", "", source.where, values)
        translate_parse(router, parse, match, name)
        for index, directive in enumerate(pipeline.filters):
            translate_filter(router, directive, match, f"{name}_{index + 1}")
        for output in pipeline.outputs:
            if translate_output(router, output, match):
                outputs.append((output.type, output.where))
            if output.one("buffer") and output.one("buffer").values.get("@type") == "file":  # type: ignore[union-attr]
                router.changed.append(
                    f"{output.where}: its buffer was a file; a task's router buffers in memory, "
                    "and what it holds is lost with the task (Grace 30 lets it end its sending)"
                )
    return outputs


def _from_rsyslog(
    router: Router, match: str, unit: Unit, configurations: Sequence[Configuration]
) -> list[tuple[str, str]]:
    outputs: list[tuple[str, str]] = []
    is_syslog = not own_log(unit)
    for configuration in (c for c in configurations if c.kind == "rsyslog"):
        for number, line in enumerate(configuration.text.splitlines(), 1):
            where = f"{configuration.path}:{number}"
            plain = line.strip()
            if not plain or plain.startswith(("#", "$", "module(", "global(", "include(")):
                continue
            target = _remote(plain)
            if target is not None:
                if not is_syslog:
                    router.lost.append(f"{where}: syslog is sent to {target[0]}:{target[1]}; the "
                                       "application's own lines were not among it")  # fmt: skip
                    continue
                host, port, mode = target
                router.add(
                    "OUTPUT", ("Name", "syslog"), ("Match", match), ("Host", host),
                    ("Port", port), ("Mode", mode), ("Syslog_Format", "rfc5424"),
                    ("Syslog_Message_Key", "log"),
                )  # fmt: skip
                outputs.append(("syslog", where))
            elif "imfile" in plain and "File=" in plain.replace("file=", "File="):
                router.changed.append(f"{where}: rsyslog follows a file; in a task it is stdout")
            elif not _DEFAULT_FILES.search(plain) and re.search(r"\s-?/\S+$|omfile|\|", plain):
                router.lost.append(f"{where}: {plain[:80]!r} writes to the instance's disk")
    return outputs


def _remote(line: str) -> tuple[str, str, str] | None:
    """host, port and mode of `*.* @@host:514` or `action(type="omfwd" …)`."""
    match = _RSYSLOG_REMOTE.match(line)
    if match:
        return match[2], match[3] or "514", "tcp" if match[1] == "@@" else "udp"
    if "omfwd" in line:
        values = {k.lower(): v for k, v in re.findall(r'(\w+)\s*=\s*"([^"]*)"', line)}
        if values.get("target"):
            return values["target"], values.get("port", "514"), values.get("protocol", "udp")
    return None


def _from_cloudwatch(
    router: Router, match: str, unit: Unit, configurations: Sequence[Configuration], region: str
) -> list[tuple[str, str]]:
    outputs: list[tuple[str, str]] = []
    for configuration in (c for c in configurations if c.kind == "cloudwatch"):
        for path, group in _collected(configuration):
            where = f"{configuration.path} ({path})"
            if not _is_own(path, unit):
                router.lost.append(f"{where}: the file is none of the application's output")
                continue
            router.add(
                "OUTPUT", ("Name", "cloudwatch_logs"), ("Match", match), ("region", region),
                ("log_group_name", group), ("log_stream_prefix", "task-"),
                ("auto_create_group", "true"), ("log_key", "log"),
            )  # fmt: skip
            outputs.append(("cloudwatch_logs", where))
    return outputs


def _collected(configuration: Configuration) -> list[tuple[str, str]]:
    """(file, log group) of the CloudWatch agent's JSON, or of awslogs.conf."""
    document: Any = None
    with suppress(ValueError):
        document = json.loads(configuration.text)
    if isinstance(document, dict):
        place: Any = document
        for key in ("logs", "logs_collected", "files", "collect_list"):
            place = place.get(key) if isinstance(place, dict) else None
        return [
            (str(e.get("file_path", "")), str(e.get("log_group_name", "")))
            for e in (place if isinstance(place, list) else [])
            if isinstance(e, dict)
        ]
    files = re.findall(r"^file\s*=\s*(\S+)", configuration.text, re.MULTILINE)
    groups = re.findall(r"^log_group_name\s*=\s*(\S+)", configuration.text, re.MULTILINE)
    return list(zip(files, groups, strict=False))
