"""The error tree. An error says what was wrong, where, and what to write instead."""

from __future__ import annotations


class HikkoshiError(Exception):
    """Anything hikkoshi refuses or fails at, in words for its user.

    what: one sentence. where: file:line or key, if one is to blame. fix: what to do instead.
    """

    exit_code = 3

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        fix = f"\n  fix: {self.fix}" if self.fix else ""
        return f"{place}{self.what}{fix}"


class BadInput(HikkoshiError):
    """A file, key or option is wrong; nothing was started."""

    exit_code = 2


class CannotRun(HikkoshiError):
    """The machine, or something that was started on it, does not allow this."""

    exit_code = 3


class AwsRefused(HikkoshiError):
    """AWS, or the local region, answered a call with an error."""

    exit_code = 3


class DeadlinePassed(HikkoshiError):
    """Something that was waited for did not happen in time; `what` names it."""

    exit_code = 3
