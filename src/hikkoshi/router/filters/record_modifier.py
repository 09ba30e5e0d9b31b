"""record_modifier: add fields to every record, or take keys away."""

from __future__ import annotations

import os

from hikkoshi.base.errors import BadInput
from hikkoshi.router.event import Event
from hikkoshi.router.filters.base import Passing, split_words
from hikkoshi.router.port import FilterContext
from hikkoshi.router.section import Settings


class RecordModifier(Passing):
    name = "record_modifier"

    def __init__(self, settings: Settings, context: FilterContext) -> None:
        self._added: dict[str, str] = {}
        for entry in settings.many("record"):
            words = split_words(entry.value, 2)
            if len(words) != 2:
                raise BadInput(
                    "record_modifier: Record needs a key and a value",
                    where=f"{entry.file}:{entry.line}",
                    fix="write `Record KEY VALUE`",
                )
            self._added[words[0]] = words[1]
        self._removed = [entry.value for entry in settings.many("remove_key")]
        allowed = settings.many("allowlist_key") + settings.many("whitelist_key")
        self._allowed = {entry.value for entry in allowed}
        self._uuid_key = settings.text("uuid_key")

    def apply(self, tag: str, events: list[Event]) -> list[Event]:
        kept = []
        for time, record in events:
            if self._allowed:
                record = {key: value for key, value in record.items() if key in self._allowed}
            for key in self._removed:
                record.pop(key, None)
            record.update(self._added)
            if self._uuid_key:
                record[self._uuid_key] = _uuid4()
            kept.append((time, record))
        return kept


def _uuid4() -> str:
    # The uuid module costs more to import than a router in every task should pay.
    raw = bytearray(os.urandom(16))
    raw[6], raw[8] = raw[6] & 0x0F | 0x40, raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
