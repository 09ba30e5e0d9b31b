"""multiline: join the pieces of a line that Docker split, or the lines of one message.

https://docs.fluentbit.io/manual/pipeline/filters/multiline-stacktrace
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hikkoshi.base.errors import BadInput
from hikkoshi.router.accessor import as_text
from hikkoshi.router.event import Event
from hikkoshi.router.filters.stack_traces import NAMES, built_in
from hikkoshi.router.port import Filter, FilterContext, MultilineRules
from hikkoshi.router.section import Settings

PARTIAL_KEYS = ("partial_message", "partial_id", "partial_ordinal", "partial_last")
BUFFER_LIMIT = 2_000_000
"""Bytes that one joined message may reach; Fluent Bit calls it Buffer_Limit (default 2MB)."""


def make_multiline(settings: Settings, context: FilterContext) -> Filter:
    mode = (settings.text("mode") or "parser").lower()
    settings.ignore(["buffer", "debug_flush", "emitter_name", "emitter_storage.type",
                     "emitter_mem_buf_limit"])  # fmt: skip
    key = settings.text("multiline.key_content") or "log"
    flush_s = settings.number("flush_ms", 2000) / 1000
    if mode == "partial_message":
        return PartialMessages(key, flush_s, context)
    if mode != "parser":
        raise BadInput(
            f"multiline: unknown Mode {mode!r}",
            where=settings.section.where,
            fix="write `Mode parser` or `Mode partial_message`",
        )
    entries = settings.many("multiline.parser")
    if not entries:
        settings.required("multiline.parser")
    names = [name.strip() for entry in entries for name in entry.value.split(",")]
    return JoinedLines(key, [_rules(name, settings, context) for name in names], context)


def _rules(name: str, settings: Settings, context: FilterContext) -> MultilineRules:
    found = context.multiline.get(name) or built_in(name)
    if found is None:
        raise BadInput(
            f"multiline: parser '{name}' is not defined (of the built-in ones, the stand-in has "
            f"{', '.join(NAMES)})",
            where=settings.section.where,
            fix="define a [MULTILINE_PARSER] in a file that Parsers_File names",
        )
    return found


class PartialMessages:
    """Joins records that carry Docker's partial_* keys, by tag and partial_id.

    The joined record keeps the first piece's time and fields, without the partial_* keys."""

    name = "multiline"

    def __init__(self, key: str, flush_s: float, context: FilterContext) -> None:
        self._key = key
        self._flush_s = flush_s
        self._context = context
        self._held: dict[tuple[str, str], tuple[float, Event, list[str], int]] = {}

    def apply(self, tag: str, events: list[Event]) -> list[Event]:
        passed: list[Event] = []
        for event in events:
            record = event[1]
            if str(record.get("partial_message", "")).lower() != "true":
                passed.append(event)
                continue
            held = (tag, str(record.get("partial_id")))
            entry = self._held.get(held)
            if entry is None:
                entry = (self._context.clock(), event, [], 0)
            since, first, texts, size = entry
            texts.append(as_text(record.get(self._key)))
            size += len(texts[-1])
            is_last = str(record.get("partial_last")).lower() == "true"
            if is_last or size >= BUFFER_LIMIT:
                self._held.pop(held, None)
                passed.append(self._joined(first, texts))
            else:
                self._held[held] = (since, first, texts, size)
        return passed

    def _joined(self, first: Event, texts: list[str]) -> Event:
        record = {k: v for k, v in first[1].items() if k not in PARTIAL_KEYS}
        record[self._key] = "".join(texts)
        return (first[0], record)

    def tick(self, now: float) -> None:
        for held in [key for key, e in self._held.items() if now - e[0] >= self._flush_s]:
            _, first, texts, _ = self._held.pop(held)
            self._context.resume(held[0], [self._joined(first, texts)])

    def close(self) -> None:
        self.tick(float("inf"))


class _Message(NamedTuple):
    """What has come of a message: since when it is held, its first record, the texts of its lines,
    whose rules took the first, and the state they left."""

    since: float
    first: Event
    texts: list[str]
    rules: MultilineRules
    state: str


class JoinedLines:
    """Joins lines by the rules of multiline parsers; one group for each tag and stream. The first
    parser that takes a line as the start of a message has the lines that follow."""

    name = "multiline"

    def __init__(self, key: str, parsers: Sequence[MultilineRules], context: FilterContext) -> None:
        self._key = key
        self._parsers = tuple(parsers)
        self._context = context
        self._held: dict[tuple[str, str], _Message] = {}

    def apply(self, tag: str, events: list[Event]) -> list[Event]:
        passed: list[Event] = []
        for event in events:
            record = event[1]
            text = record.get(self._key)
            if not isinstance(text, str):
                passed.append(event)
                continue
            group = (tag, as_text(record.get("source") or record.get("stream")))
            passed.extend(self._line(group, event, text))
        return passed

    def _line(self, group: tuple[str, str], event: Event, text: str) -> list[Event]:
        held = self._held.pop(group, None)
        if held is not None:
            following = _next(held.rules, held.state, text)
            if following is not None:
                held.texts.append(text)
                return self._keep(group, held._replace(state=following))
        done = [self._joined(held)] if held is not None else []
        for rules in self._parsers:
            following = _next(rules, "start_state", text)
            if following is not None:
                since = self._context.clock()
                return done + self._keep(group, _Message(since, event, [text], rules, following))
        return [*done, event]

    def _keep(self, group: tuple[str, str], message: _Message) -> list[Event]:
        """[] while lines may follow; else the message, which is whole."""
        is_whole = message.state == "start_state" and len(message.texts) > 1
        if is_whole or sum(map(len, message.texts)) >= BUFFER_LIMIT:
            return [self._joined(message)]
        self._held[group] = message
        return []

    def _joined(self, message: _Message) -> Event:
        record = dict(message.first[1])
        record[self._key] = "\n".join(text.removesuffix("\n") for text in message.texts)
        return (message.first[0], record)

    def tick(self, now: float) -> None:
        for group in [g for g, m in self._held.items() if now - m.since >= m.rules.flush_s]:
            self._context.resume(group[0], [self._joined(self._held.pop(group))])

    def close(self) -> None:
        self.tick(float("inf"))


def _next(rules: MultilineRules, state: str, text: str) -> str | None:
    for rule in rules.rules:
        pattern: Any = rule.pattern
        if state in rule.states and pattern.search(text):
            return rule.next_state
    return None
