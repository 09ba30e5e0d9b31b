"""A sample of lines through fluentd's configuration: what each destination gets.

An interpreter of the routing rules (https://docs.fluentd.org/configuration/config-file): filters
and matches in their order, labels, copy, relabel, rewrite_tag_filter. What it does not interpret is
named, and the records pass it as they are. Buffers, retries and time-outs are not played.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.parity.delivered import HOST_NAME, Delivered, Outcome
from hikkoshi.parity.fluentd_filters import (
    Filter,
    FluentdEvent,
    expression,
    look_up,
    make_fluentd_filter,
    text_of,
)
from hikkoshi.parity.fluentd_parsers import NotInterpreted, Parse, make_parser
from hikkoshi.router.fluentd import Directive, matches
from hikkoshi.router.match import compile_regex

SOURCES = ("tail", "forward", "http", "syslog", "tcp", "udp", "exec", "unix")
_MOST_HOPS = 10
_SHAPED = ("datadog", "stdout", "file", "forward", "http", "null")
_SAME_NAME: Mapping[str, str] = {
    "elasticsearch": "es", "splunk_hec": "splunk", "newrelic": "nrlogs", "kafka2": "kafka",
    "cloudwatch": "cloudwatch_logs",
}  # fmt: skip


def choose_source(directives: Sequence[Directive], wanted: str | None, where: str) -> Directive:
    """By its path or tag; else the first that tails a file, else the first. Raises BadInput."""
    sources = [d for d in directives if d.kind == "source" and d.type in SOURCES]
    if not sources:
        raise BadInput(
            "there is no source here that takes lines", where=where,
            fix=f"sources that are interpreted: {', '.join(SOURCES)}",
        )  # fmt: skip
    if wanted is None:
        return next((s for s in sources if s.type == "tail"), sources[0])
    for source in sources:
        if wanted in (source.values.get("tag"), *source.values.get("path", "").split(",")):
            return source
    shown = ", ".join(s.values.get("path") or s.values.get("tag") or s.type for s in sources)
    raise BadInput(f"no source has the path or tag {wanted!r}", where=where, fix=f"one of {shown}")


class FluentdPipeline:
    """Made of a configuration; `run` gives it the lines. Raises BadInput for a wrong pattern."""

    def __init__(self, directives: Sequence[Directive], source: Directive) -> None:
        self._directives = list(directives)
        self._source = source
        self.outcome = Outcome()
        self._filters: dict[int, Filter | None] = {}
        self._rounds: dict[int, int] = {}

    def run(self, lines: Sequence[str], arrived_ns: Sequence[int]) -> Outcome:
        parse = self._source_parser()
        label = self._source.values.get("@label", "")
        for index, line in enumerate(lines):
            done = parse(line)
            if done is None:
                self._drop(index, self._source, "the line does not match its parser")
                continue
            record, moment = done
            event = FluentdEvent(
                self._tag(record), arrived_ns[index] if moment is None else moment, record, index
            )
            self._pass(event, self._scope(label), 0)
        return self.outcome

    def _source_parser(self) -> Parse:
        source = self._source
        parse = source.one("parse")
        if parse is None and "format" in source.values:
            values = {**source.values, "@type": source.values["format"]}
            parse = Directive("parse", "", source.where, values)
        if parse is None and source.type == "syslog":
            parse = Directive("parse", "", source.where, {"@type": "syslog"})
        if parse is None and source.type in ("forward", "http", "unix"):
            return _as_record
        try:
            return make_parser(parse)
        except NotInterpreted as error:
            self._tell(source, f"{error} is not interpreted: lines pass it unparsed")
            return make_parser(None)

    def _tag(self, record: dict[str, Any]) -> str:
        tag = self._source.values.get("tag", "")
        if self._source.type in ("forward", "http", "unix") and not tag:
            return str(record.pop("tag", "app"))
        path = self._source.values.get("path", "").split(",")[0]
        if "*" in tag:
            tag = tag.replace("*", path.strip("/").replace("/", "."))
        return f"{tag}.user.info" if self._source.type == "syslog" else tag

    def _scope(self, label: str) -> list[Directive]:
        if not label:
            return self._directives
        for directive in self._directives:
            if directive.kind == "label" and directive.argument == label:
                return directive.inner
        self._tell(self._source, f"there is no <label {label}>")
        return []

    def _pass(self, event: FluentdEvent, scope: list[Directive], hops: int) -> None:
        if hops > _MOST_HOPS:
            self._drop(event.line, self._source, "its tag is rewritten in a circle")
            return
        current: FluentdEvent | None = event
        for directive in scope:
            if current is None:
                return
            if directive.kind not in ("filter", "match"):
                continue
            if not matches(directive.argument, current.tag):
                continue
            if directive.kind == "match":
                self._deliver(current, directive, scope, hops)
                return
            step = self._filter(directive)
            after = step(current) if step is not None else current
            if after is None:
                self._drop(current.line, directive, f"the filter {directive.type} lets go of it")
            current = after
        if current is not None:
            self._drop(current.line, self._source, f"no <match> takes the tag {current.tag!r}")

    def _filter(self, directive: Directive) -> Filter | None:
        key = id(directive)
        if key not in self._filters:
            try:
                self._filters[key] = make_fluentd_filter(directive)
            except NotInterpreted as error:
                self._tell(directive, f"{error} is not interpreted: records pass it unchanged")
                self._filters[key] = None
        return self._filters[key]

    def _deliver(
        self, event: FluentdEvent, match: Directive, scope: list[Directive], hops: int
    ) -> None:
        kind = match.type
        stores = match.all("store")
        if kind == "copy":
            for store in stores:
                copied = FluentdEvent(event.tag, event.time_ns, dict(event.record), event.line)
                self._deliver(copied, store, scope, hops)
        elif kind in ("roundrobin", "round_robin") and stores:
            turn = self._rounds.get(id(match), 0)
            self._rounds[id(match)] = turn + 1
            self._deliver(event, stores[turn % len(stores)], scope, hops)
        elif kind == "relabel":
            self._pass(event, self._scope(match.values.get("@label", "")), hops + 1)
        elif kind in ("rewrite_tag_filter", "rewrite_tag"):
            self._rewrite(event, match, scope, hops)
        elif kind == "null":
            self._drop(event.line, match, "the null output keeps nothing")
        else:
            if kind not in _SHAPED:
                self._tell(match, f"the output {kind!r} is not interpreted: records are compared "
                                  "as they come to it")  # fmt: skip
            record = _datadog(event, match) if kind == "datadog" else event.record
            name = _SAME_NAME.get(kind, kind)
            self.outcome.records.append(
                Delivered(name, record, event.tag, event.time_ns, event.line)
            )

    def _rewrite(
        self, event: FluentdEvent, match: Directive, scope: list[Directive], hops: int
    ) -> None:
        """The first rule that fits gives the tag, with which the event begins anew."""
        for rule in match.all("rule"):
            pattern = compile_regex(rule.values.get("pattern", ""), rule.where)
            value = look_up(event.record, rule.values.get("key", ""))
            found = pattern.search(text_of(value)) if value is not None else None
            if bool(found) == (rule.values.get("invert", "false") == "true"):
                continue
            tag = rule.values.get("tag", "")
            for number, text in enumerate(found.groups() if found else (), 1):
                tag = tag.replace(f"${number}", text or "")
            parts = event.tag.split(".")
            for index, part in enumerate(parts):
                tag = tag.replace(f"${{tag_parts[{index}]}}", part)
            tag = tag.replace("${tag}", event.tag).replace("__TAG__", event.tag)
            label = rule.values.get("label") or match.values.get("@label", "")
            inside = self._scope(label) if label else scope
            self._pass(FluentdEvent(tag, event.time_ns, event.record, event.line), inside, hops + 1)
            return
        self._drop(event.line, match, "no rule of rewrite_tag_filter fits")

    def _drop(self, line: int, directive: Directive, why: str) -> None:
        self.outcome.dropped.setdefault(line, f"{directive.where}: {why}")

    def _tell(self, directive: Directive, words: str) -> None:
        text = f"{directive.where}: {words}"
        if text not in self.outcome.not_interpreted:
            self.outcome.not_interpreted.append(text)


def _as_record(line: str) -> tuple[dict[str, Any], None] | None:
    """What a program sent to in_forward or in_http: a JSON object; else its text."""
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    return (value if isinstance(value, dict) else {"message": line}), None


def _datadog(event: FluentdEvent, match: Directive) -> dict[str, Any]:
    """What fluent-plugin-datadog lays over a record. Source: its README's table of properties."""
    values = match.values
    record = dict(event.record)
    for key, name in (("dd_source", "ddsource"), ("dd_tags", "ddtags"), ("service", "service"),
                      ("dd_hostname", "hostname")):  # fmt: skip
        if key in values:
            try:
                record[name] = expression(values[key])(event)
            except NotInterpreted:
                record[name] = HOST_NAME if key == "dd_hostname" else values[key]
    if values.get("include_tag_key", "false") == "true":
        record[values.get("tag_key", "tag")] = event.tag
    return record
