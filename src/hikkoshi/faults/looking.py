"""Looks at the steady state again and again, by AWS's own view and by a request of one's own."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from hikkoshi.base.errors import HikkoshiError


@dataclass(frozen=True, slots=True)
class Look:
    """why: what was not steady; None when all was."""

    t: float
    why: str | None


def probe(url: str, timeout_s: float = 5.0) -> str | None:
    """None when the address answers with a status below 500."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s):
            return None
    except urllib.error.HTTPError as error:
        return None if error.code < 500 else f"{url} answers {error.code}"
    except (OSError, ValueError) as error:
        return f"{url} does not answer: {error}"


class Looking:
    """`look` says why not steady. Looks until it is closed, every_s apart."""

    def __init__(self, look: Callable[[], str | None], every_s: float) -> None:
        self._look = look
        self._every_s = every_s
        self._looks: list[Look] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Looking:
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._ending.set()
        self._thread.join(30)

    def looks(self) -> list[Look]:
        return list(self._looks)

    def _work(self) -> None:
        while not self._ending.is_set():
            self._looks.append(Look(time.time(), once(self._look)))
            self._ending.wait(self._every_s)


def once(look: Callable[[], str | None]) -> str | None:
    try:
        return look()
    except HikkoshiError as error:
        return error.what


def first_trouble(looks: list[Look], since: float) -> Look | None:
    return next((look for look in looks if look.t >= since and look.why is not None), None)


def share_steady(looks: list[Look], begin: float, end: float) -> float | None:
    inside = [look for look in looks if begin <= look.t <= end]
    return sum(look.why is None for look in inside) / len(inside) if inside else None
