"""Filters: what happens to a record between an input and the outputs."""

from __future__ import annotations

from collections.abc import Callable

from hikkoshi.base.errors import BadInput
from hikkoshi.router.filters.grep import Grep
from hikkoshi.router.filters.modify import Modify
from hikkoshi.router.filters.multiline import make_multiline
from hikkoshi.router.filters.nest import make_nest
from hikkoshi.router.filters.parse import Parse
from hikkoshi.router.filters.record_modifier import RecordModifier
from hikkoshi.router.filters.rewrite_tag import RewriteTag
from hikkoshi.router.filters.throttle import Throttle
from hikkoshi.router.port import Filter, FilterContext
from hikkoshi.router.section import Settings

FILTERS: dict[str, Callable[[Settings, FilterContext], Filter]] = {
    "grep": Grep,
    "modify": Modify,
    "multiline": make_multiline,
    "nest": make_nest,
    "parser": Parse,
    "record_modifier": RecordModifier,
    "rewrite_tag": RewriteTag,
    "throttle": Throttle,
}


def make_filter(name: str, settings: Settings, context: FilterContext) -> Filter:
    """BadInput for a plugin or key that is not interpreted."""
    factory = FILTERS.get(name.lower())
    if factory is None:
        raise BadInput(
            f"filter plugin '{name}' cannot be loaded: not interpreted by the stand-in",
            where=settings.section.where,
            fix=f"one of {', '.join(FILTERS)}; or run the real Fluent Bit (--engine docker)",
        )
    return factory(settings, context)
