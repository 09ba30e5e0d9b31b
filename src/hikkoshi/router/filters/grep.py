"""grep: keep (Regex) or leave out (Exclude) records by what a key holds."""

from __future__ import annotations

from collections.abc import Callable

from hikkoshi.base.errors import BadInput
from hikkoshi.router.accessor import MISSING, Record, as_text, getter
from hikkoshi.router.event import Event
from hikkoshi.router.filters.base import Passing, split_words
from hikkoshi.router.match import compile_regex
from hikkoshi.router.port import FilterContext
from hikkoshi.router.section import Settings

Test = Callable[[Record], bool]


class Grep(Passing):
    name = "grep"

    def __init__(self, settings: Settings, context: FilterContext) -> None:
        self._operator = (settings.text("logical_op") or "legacy").lower()
        entries = sorted(settings.many("regex") + settings.many("exclude"), key=lambda e: e.line)
        self._rules: list[tuple[bool, Test]] = []
        for entry in entries:
            where = f"{entry.file}:{entry.line}"
            words = split_words(entry.value, 2)
            if len(words) != 2:
                raise BadInput(
                    f"grep: {entry.key} needs a key and a regular expression",
                    where=where,
                    fix=f"write `{entry.key} log PATTERN`",
                )
            test = _test(words[0], words[1], where)
            self._rules.append((entry.key.lower() == "regex", test))
        if self._operator not in ("legacy", "and", "or"):
            raise BadInput(
                f"grep: unknown Logical_Op {self._operator!r}",
                where=settings.section.where,
                fix="legacy, AND or OR",
            )
        if self._operator != "legacy" and len({keeps for keeps, _ in self._rules}) > 1:
            raise BadInput(
                "grep: Regex and Exclude cannot be mixed with Logical_Op AND or OR",
                where=settings.section.where,
                fix="use one kind, or two grep filters",
            )

    def apply(self, tag: str, events: list[Event]) -> list[Event]:
        return [event for event in events if self._is_kept(event[1])]

    def _is_kept(self, record: Record) -> bool:
        if self._operator == "legacy":
            return all(test(record) == keeps for keeps, test in self._rules)
        join = all if self._operator == "and" else any
        matches = join(test(record) for _, test in self._rules)
        return matches == self._rules[0][0] if self._rules else True


def _test(key: str, pattern: str, where: str) -> Test:
    value = getter(key)
    search = compile_regex(pattern, where).search

    def test(record: Record) -> bool:
        found = value(record)
        return found is not MISSING and search(as_text(found)) is not None

    return test
