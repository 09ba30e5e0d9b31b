"""modify: rules on keys, done in the order of the file when all conditions hold.

https://docs.fluentbit.io/manual/pipeline/filters/modify
"""

from __future__ import annotations

import re
from collections.abc import Callable

from hikkoshi.base.errors import BadInput
from hikkoshi.router.accessor import MISSING, Record, as_text, getter
from hikkoshi.router.event import Event
from hikkoshi.router.filters.base import Passing, split_words
from hikkoshi.router.match import compile_regex, wildcard
from hikkoshi.router.port import FilterContext
from hikkoshi.router.section import Property, Settings

Step = Callable[[Record], None]
Condition = Callable[[Record], bool]

_TWO = ("set", "add", "rename", "hard_rename", "copy", "hard_copy")
_ONE = ("remove", "remove_wildcard", "remove_regex", "move_to_start", "move_to_end")


class Modify(Passing):
    name = "modify"

    def __init__(self, settings: Settings, context: FilterContext) -> None:
        entries = [entry for key in (*_TWO, *_ONE) for entry in settings.many(key)]
        self._steps = [_step(entry) for entry in sorted(entries, key=lambda entry: entry.line)]
        self._conditions = [_condition(entry) for entry in settings.many("condition")]

    def apply(self, tag: str, events: list[Event]) -> list[Event]:
        steps, conditions = self._steps, self._conditions
        for _, record in events:
            if not conditions or all(holds(record) for holds in conditions):
                for step in steps:
                    step(record)
        return events


def _refuse(entry: Property, what: str, fix: str) -> BadInput:
    return BadInput(f"modify: {what}", where=f"{entry.file}:{entry.line}", fix=fix)


def _step(entry: Property) -> Step:
    rule = entry.key.lower()
    words = split_words(entry.value, 2)
    if rule in _TWO:
        if len(words) != 2:
            raise _refuse(entry, f"{entry.key} needs two words", f"write `{entry.key} KEY VALUE`")
        return _two(rule, words[0], words[1])
    return _one(rule, " ".join(words), f"{entry.file}:{entry.line}")


def _two(rule: str, first: str, second: str) -> Step:
    def set_(record: Record) -> None:
        record[first] = second

    def add(record: Record) -> None:
        record.setdefault(first, second)

    def move(record: Record) -> None:
        if first in record and (rule.startswith("hard") or second not in record):
            record[second] = record.pop(first)

    def copy(record: Record) -> None:
        if first in record and (rule.startswith("hard") or second not in record):
            record[second] = record[first]

    return {"set": set_, "add": add, "rename": move, "hard_rename": move}.get(rule, copy)


def _one(rule: str, text: str, where: str) -> Step:
    if rule == "remove":
        return lambda record: record.pop(text, None) and None
    if rule == "remove_regex":
        return _remove(compile_regex(text, where).search)
    pattern = wildcard(text if rule != "remove_wildcard" or "*" in text else text + "*")
    if rule == "remove_wildcard":
        return _remove(pattern.fullmatch)

    def reorder(record: Record) -> None:
        chosen = {key: value for key, value in record.items() if pattern.fullmatch(key)}
        others = {key: value for key, value in record.items() if key not in chosen}
        record.clear()
        order = (chosen, others) if rule == "move_to_start" else (others, chosen)
        for part in order:
            record.update(part)

    return reorder


def _remove(matches: Callable[[str], re.Match[str] | None]) -> Step:
    def step(record: Record) -> None:
        for key in [key for key in record if matches(key)]:
            del record[key]

    return step


def _condition(entry: Property) -> Condition:
    words = split_words(entry.value, 3)
    where = f"{entry.file}:{entry.line}"
    kind = words[0].lower() if words else ""
    if kind in ("key_exists", "key_does_not_exist") and len(words) == 2:
        value = getter(words[1])
        return lambda record: (value(record) is not MISSING) == (kind == "key_exists")
    if kind in ("a_key_matches", "no_key_matches") and len(words) == 2:
        search = compile_regex(words[1], where).search
        return lambda record: any(map(search, record)) == (kind == "a_key_matches")
    if len(words) != 3:
        raise _refuse(
            entry,
            f"condition {entry.value!r} is not interpreted by the stand-in",
            "Key_exists, Key_does_not_exist, A_key_matches, No_key_matches, Key_value_equals, "
            "Key_value_does_not_equal, Key_value_matches, Key_value_does_not_match, "
            "Matching_keys_have_matching_values or Matching_keys_do_not_have_matching_values",
        )
    return _value_condition(entry, kind, words[1], words[2], where)


def _value_condition(entry: Property, kind: str, key: str, wanted: str, where: str) -> Condition:
    value = getter(key)
    if kind in ("key_value_equals", "key_value_does_not_equal"):
        is_equal = kind == "key_value_equals"
        return lambda record: (
            value(record) is not MISSING and (as_text(value(record)) == wanted) == is_equal
        )
    search = compile_regex(wanted, where).search
    if kind in ("key_value_matches", "key_value_does_not_match"):
        is_match = kind == "key_value_matches"
        return lambda record: (
            value(record) is not MISSING
            and (search(as_text(value(record))) is not None) == is_match
        )
    keys = compile_regex(key, where).search
    wants = kind == "matching_keys_have_matching_values"
    if not wants and kind != "matching_keys_do_not_have_matching_values":
        raise _refuse(entry, f"unknown condition {kind!r}", "see Fluent Bit's page on modify")
    return lambda record: all(
        (search(as_text(found)) is not None) == wants
        for name, found in record.items()
        if keys(name)
    )
