"""rewrite_tag: send records back in under a new tag."""

from __future__ import annotations

from hikkoshi.base.errors import BadInput
from hikkoshi.router.accessor import MISSING, as_text, getter, template
from hikkoshi.router.event import Event
from hikkoshi.router.filters.base import Passing, split_words
from hikkoshi.router.match import compile_regex
from hikkoshi.router.port import FilterContext
from hikkoshi.router.section import Settings, parse_boolean


class RewriteTag(Passing):
    """The first rule that matches decides. What it emits passes all filters but this one again."""

    name = "rewrite_tag"

    def __init__(self, settings: Settings, context: FilterContext) -> None:
        self._emit = context.emit
        settings.ignore(["emitter_name", "emitter_storage.type", "emitter_mem_buf_limit"])
        self._rules = []
        for entry in settings.many("rule"):
            words = split_words(entry.value, 4)
            where = f"{entry.file}:{entry.line}"
            try:
                key, pattern, new_tag, keep = words
                is_kept = parse_boolean(keep)
            except ValueError as error:
                raise BadInput(
                    f"rewrite_tag: Rule {entry.value!r} is not of the form",
                    where=where,
                    fix="write `Rule $KEY REGEX NEW_TAG KEEP`, KEEP being true or false",
                ) from error
            search = compile_regex(pattern, where).search
            self._rules.append((getter(key), search, template(new_tag), is_kept))
        if not self._rules:
            settings.required("rule")

    def apply(self, tag: str, events: list[Event]) -> list[Event]:
        kept: list[Event] = []
        emitted: dict[str, list[Event]] = {}
        for event in events:
            record = event[1]
            for value, search, new_tag, is_kept in self._rules:
                found = value(record)
                match = None if found is MISSING else search(as_text(found))
                if match is None:
                    continue
                captures = [match.group(0), *(group or "" for group in match.groups())]
                emitted.setdefault(new_tag(tag, record, captures), []).append(
                    (event[0], dict(record))
                )
                if is_kept:
                    kept.append(event)
                break
            else:
                kept.append(event)
        for new, moved in emitted.items():
            self._emit(new, moved)
        return kept
