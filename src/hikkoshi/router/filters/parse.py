"""parser: turn the text under Key_Name into fields."""

from __future__ import annotations

from hikkoshi.base.errors import BadInput
from hikkoshi.router.event import Event
from hikkoshi.router.filters.base import Passing
from hikkoshi.router.port import FilterContext
from hikkoshi.router.section import Settings


class Parse(Passing):
    """The first parser that takes the text wins. A record that none takes goes on unchanged."""

    name = "parser"

    def __init__(self, settings: Settings, context: FilterContext) -> None:
        self._key = settings.required("key_name").removeprefix("$")
        self._reserve = settings.boolean("reserve_data")
        self._preserve = settings.boolean("preserve_key")
        settings.ignore(["unescape_key"])
        self._parsers = []
        for entry in settings.many("parser"):
            for name in entry.value.split(","):
                parser = context.parsers.get(name.strip())
                if parser is None:
                    raise BadInput(
                        f"parser: requested parser '{name.strip()}' not found",
                        where=f"{entry.file}:{entry.line}",
                        fix="define it in a file that [SERVICE] names as Parsers_File",
                    )
                self._parsers.append(parser)
        if not self._parsers:
            settings.required("parser")

    def apply(self, tag: str, events: list[Event]) -> list[Event]:
        return [self._one(event) for event in events]

    def _one(self, event: Event) -> Event:
        """The record itself is left as it is: filters before may have sent it elsewhere too."""
        time, record = event
        text = record.get(self._key)
        if not isinstance(text, str):
            return event
        for parser in self._parsers:
            parsed = parser.parse(text)
            if parsed is None:
                continue
            fields, moment = parsed
            if self._reserve:
                kept = record
                if not self._preserve:
                    kept = record.copy()
                    del kept[self._key]
                fields.update(kept)
            return (time if moment is None else moment, fields)
        return event
