"""multiline: join the pieces of a line that Docker split, or the lines of one message.

https://docs.fluentbit.io/manual/pipeline/filters/multiline-stacktrace
"""

from __future__ import annotations

from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.router.accessor import as_text
from hikkoshi.router.event import Event
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
    names = [n.strip() for n in settings.required("multiline.parser").split(",")]
    for name in names:
        if name not in context.multiline:
            raise BadInput(
                f"multiline: parser '{name}' is not defined (the built-in ones are not "
                "interpreted by the stand-in)",
                where=settings.section.where,
                fix="define a [MULTILINE_PARSER] in a file that Parsers_File names",
            )
    if len(names) > 1:
        raise BadInput(
            "multiline: more than one multiline.parser is not interpreted by the stand-in",
            where=settings.section.where,
            fix="use one [MULTILINE_PARSER], or run the real Fluent Bit (--engine docker)",
        )
    return JoinedLines(key, context.multiline[names[0]], context)


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


class JoinedLines:
    """Joins lines by a [MULTILINE_PARSER]'s rules; one group for each tag and stream."""

    name = "multiline"

    def __init__(self, key: str, rules: MultilineRules, context: FilterContext) -> None:
        self._key = key
        self._rules = rules
        self._context = context
        self._held: dict[tuple[str, str], tuple[float, Event, list[str], str]] = {}

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
        entry = self._held.get(group)
        if entry is not None:
            following = self._next(entry[3], text)
            if following is not None:
                entry[2].append(text)
                self._held[group] = (entry[0], entry[1], entry[2], following)
                if sum(map(len, entry[2])) >= BUFFER_LIMIT:
                    return [self._joined(*self._held.pop(group)[1:3])]
                return []
        done = [self._joined(*self._held.pop(group)[1:3])] if entry is not None else []
        following = self._next("start_state", text)
        if following is None:
            return [*done, event]
        self._held[group] = (self._context.clock(), event, [text], following)
        return done

    def _next(self, state: str, text: str) -> str | None:
        for rule in self._rules.rules:
            pattern: Any = rule.pattern
            if state in rule.states and pattern.search(text):
                return rule.next_state
        return None

    def _joined(self, first: Event, texts: list[str]) -> Event:
        record = dict(first[1])
        record[self._key] = "\n".join(text.removesuffix("\n") for text in texts)
        return (first[0], record)

    def tick(self, now: float) -> None:
        for group in [g for g, e in self._held.items() if now - e[0] >= self._rules.flush_s]:
            _, first, texts, _ = self._held.pop(group)
            self._context.resume(group[0], [self._joined(first, texts)])

    def close(self) -> None:
        self.tick(float("inf"))
