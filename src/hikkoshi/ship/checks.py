"""What a verification finds: a tree of OK, WRONG and NOT CHECKED."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hikkoshi.base.errors import AwsRefused


class Mark(enum.Enum):
    OK = "OK"
    WRONG = "WRONG"
    NOT_CHECKED = "NOT CHECKED"


@dataclass(frozen=True)
class Check:
    """A leaf has a mark and says why; a branch has children, and the worst of their marks."""

    name: str
    mark: Mark = Mark.OK
    why: str = ""
    fix: str | None = None
    children: tuple[Check, ...] = ()

    def walk(self) -> Iterator[Check]:
        yield self
        for child in self.children:
            yield from child.walk()


def branch(name: str, *children: Check) -> Check:
    marks = {child.mark for child in children}
    worst = next((m for m in (Mark.WRONG, Mark.NOT_CHECKED) if m in marks), Mark.OK)
    return Check(name, worst, children=tuple(children))


def ok(name: str, why: str = "") -> Check:
    return Check(name, Mark.OK, why)


def wrong(name: str, why: str, fix: str | None = None) -> Check:
    return Check(name, Mark.WRONG, why, fix)


def not_checked(name: str, why: str, fix: str | None = None) -> Check:
    return Check(name, Mark.NOT_CHECKED, why, fix)


def asking(name: str, ask: Callable[[], Check], missing: tuple[str, ...] = ()) -> Check:
    """ask's answer; what AWS refuses is NOT CHECKED, with the refusal, except where its code says
    that the thing does not exist (`missing`): that is WRONG."""
    try:
        return ask()
    except AwsRefused as error:
        if any(code in error.what for code in missing):
            return wrong(name, "there is none", error.fix)
        return not_checked(name, error.what, error.fix)
