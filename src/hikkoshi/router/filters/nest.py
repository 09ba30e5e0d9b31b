"""nest: put fields under one key, or lift them out of it."""

from __future__ import annotations

from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.router.event import Event
from hikkoshi.router.filters.base import Passing
from hikkoshi.router.match import wildcard
from hikkoshi.router.port import Filter, FilterContext
from hikkoshi.router.section import Settings


def make_nest(settings: Settings, context: FilterContext) -> Filter:
    operation = settings.required("operation").lower()
    if operation == "nest":
        return Nest(settings)
    if operation == "lift":
        return Lift(settings)
    raise BadInput(
        f"nest: unknown operation {operation!r}",
        where=settings.section.where,
        fix="write `Operation nest` or `Operation lift`",
    )


class _Prefix(Passing):
    name = "nest"

    def __init__(self, settings: Settings) -> None:
        self._add = settings.text("add_prefix") or ""
        self._remove = settings.text("remove_prefix") or ""

    def _renamed(self, key: str) -> str:
        return self._add + (key.removeprefix(self._remove) if self._remove else key)


class Nest(_Prefix):
    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._under = settings.required("nest_under")
        self._patterns = [wildcard(entry.value) for entry in settings.many("wildcard")]

    def apply(self, tag: str, events: list[Event]) -> list[Event]:
        return [(time, self._nested(record)) for time, record in events]

    def _nested(self, record: dict[str, Any]) -> dict[str, Any]:
        inside = {k: v for k, v in record.items() if any(p.fullmatch(k) for p in self._patterns)}
        if not inside:
            return record
        outside = {key: value for key, value in record.items() if key not in inside}
        outside[self._under] = {self._renamed(key): value for key, value in inside.items()}
        return outside


class Lift(_Prefix):
    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._under = settings.required("nested_under")

    def apply(self, tag: str, events: list[Event]) -> list[Event]:
        return [(time, self._lifted(record)) for time, record in events]

    def _lifted(self, record: dict[str, Any]) -> dict[str, Any]:
        inside = record.get(self._under)
        if not isinstance(inside, dict):
            return record
        lifted = {key: value for key, value in record.items() if key != self._under}
        lifted.update({self._renamed(str(key)): value for key, value in inside.items()})
        return lifted
