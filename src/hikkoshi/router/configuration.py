"""From sections to a service: its settings, parsers, and the sections of the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from hikkoshi.base.errors import BadInput
from hikkoshi.router.classic import ClassicReader
from hikkoshi.router.match import compile_regex
from hikkoshi.router.parsers import Parser, make_parser
from hikkoshi.router.port import MultilineRule, MultilineRules
from hikkoshi.router.section import Section, Settings

LEVELS = ("off", "error", "warn", "info", "debug", "trace")


class Service(NamedTuple):
    """[SERVICE], with Fluent Bit's own defaults. Times in seconds."""

    flush_s: float = 1.0
    grace_s: float = 5.0
    log_level: str = "info"
    retry_base_s: float = 5.0
    retry_cap_s: float = 2000.0


class Configuration(NamedTuple):
    service: Service
    inputs: tuple[Section, ...]
    filters: tuple[Section, ...]
    outputs: tuple[Section, ...]
    parsers: Mapping[str, Parser]
    multiline: Mapping[str, MultilineRules]
    warnings: tuple[str, ...]


def read_configuration(path: Path, environ: Mapping[str, str]) -> Configuration:
    """Reads a classic or YAML file and all it names. BadInput with file:line."""
    warnings: list[str] = []
    if path.suffix in (".yaml", ".yml"):
        from hikkoshi.router.yaml_format import read_yaml

        sections = read_yaml(path, environ, warnings.append)
    else:
        sections = ClassicReader(environ, warnings.append).read(path)
    service, parser_files = _service([s for s in sections if s.kind == "SERVICE"], warnings)
    for file in parser_files:
        sections += _parser_sections(path, file, environ, warnings.append)
    parsers = [make_parser(s) for s in sections if s.kind == "PARSER"]
    multiline = [_multiline(s) for s in sections if s.kind == "MULTILINE_PARSER"]
    return Configuration(
        service,
        tuple(s for s in sections if s.kind == "INPUT"),
        tuple(s for s in sections if s.kind == "FILTER"),
        tuple(s for s in sections if s.kind == "OUTPUT"),
        {parser.name: parser for parser in parsers},
        {rules.name: rules for rules in multiline},
        tuple(warnings),
    )


def plugin_name(section: Section) -> str:
    for entry in section.properties:
        if entry.key.lower() == "name":
            return entry.value
    raise BadInput(
        f"[{section.kind}] without a Name",
        where=section.where,
        fix="add `Name PLUGIN` to the section",
    )


def _service(sections: list[Section], warnings: list[str]) -> tuple[Service, list[str]]:
    if not sections:
        return Service(), []
    # Several [SERVICE] sections are one: FireLens includes the user's after its own.
    merged = Section(
        "SERVICE", tuple(p for s in sections for p in s.properties), sections[-1].file,
        sections[-1].line,
    )  # fmt: skip
    settings = Settings(merged, "service")
    level = (settings.text("log_level") or "info").lower()
    if level not in LEVELS:
        raise BadInput(
            f"service: unknown Log_Level {level!r}",
            where=merged.where,
            fix="one of " + ", ".join(LEVELS),
        )
    files = [e.value for e in settings.many("parsers_file")]
    found = Service(
        flush_s=settings.seconds("flush", 1.0),
        grace_s=settings.seconds("grace", 5.0),
        log_level={"warning": "warn"}.get(level, level),
        retry_base_s=float(settings.number("scheduler.base", 5)),
        retry_cap_s=float(settings.number("scheduler.cap", 2000)),
    )
    settings.ignore(
        ["daemon", "log_file", "coro_stack_size", "dns.resolver", "dns.mode", "dns.prefer_ipv4",
         "hc_errors_count", "hc_retry_failure_count", "hc_period", "http_listen", "http_port",
         "hot_reload", "json.convert_nan_to_null", "multiline_buffer_limit"]
    )  # fmt: skip
    for key in ("http_server", "health_check"):
        if settings.boolean(key):
            warnings.append(f"{key} is not interpreted by the stand-in: nothing listens on 2020")
    for key in ("plugins_file", "streams_file"):
        entry = settings.find(key)
        if entry is not None:
            raise BadInput(
                f"service: {entry.key} is not interpreted by the stand-in",
                where=f"{entry.file}:{entry.line}",
                fix="run the real Fluent Bit (--engine docker)",
            )
    warnings += [f"{key} is accepted and has no effect here" for key in settings.finish()]
    return found, files


def _parser_sections(
    main: Path, file: str, environ: Mapping[str, str], warn: Callable[[str], None]
) -> list[Section]:
    path = Path(file) if file.startswith("/") else main.parent / file
    if path.suffix in (".yaml", ".yml"):
        from hikkoshi.router.yaml_format import read_yaml

        found = read_yaml(path, environ, warn)
    else:
        found = ClassicReader(environ, warn).read(path)
    for section in found:
        if section.kind not in ("PARSER", "MULTILINE_PARSER"):
            raise BadInput(
                f"section [{section.kind}] does not belong into a parsers file",
                where=section.where,
                fix="only [PARSER] and [MULTILINE_PARSER] do",
            )
    return found


def _multiline(section: Section) -> MultilineRules:
    settings = Settings(section, "multiline parser")
    name = settings.required("name")
    if (settings.text("type") or "regex").lower() != "regex":
        raise BadInput(
            "multiline parser: only Type regex is interpreted by the stand-in",
            where=section.where,
            fix="write `Type regex`, or run the real Fluent Bit (--engine docker)",
        )
    flush_s = settings.number("flush_timeout", 4000) / 1000
    settings.ignore(["key_content"])
    rules = []
    for entry in settings.many("rule"):
        words = entry.value.split('"')
        if len(words) != 7:
            raise BadInput(
                f"multiline parser: Rule {entry.value} is not of the form",
                where=f"{entry.file}:{entry.line}",
                fix='write `Rule "start_state" "/REGEX/" "next_state"`',
            )
        states = tuple(state.strip() for state in words[1].split(","))
        pattern = compile_regex(words[3], f"{entry.file}:{entry.line}")
        rules.append(MultilineRule(states, pattern, words[5]))
    settings.finish()
    if not any("start_state" in rule.states for rule in rules):
        raise BadInput(
            "multiline parser: no rule for start_state",
            where=section.where,
            fix='add `Rule "start_state" "/REGEX/" "cont"`',
        )
    return MultilineRules(name, tuple(rules), flush_s)
