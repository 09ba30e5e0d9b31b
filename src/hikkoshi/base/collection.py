"""Python's garbage collector, kept away from what is made to stay."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def collection_later() -> Iterator[None]:
    """Work that makes much and throws little of it away in circles: the collector looks at it once,
    afterwards, and not at each turn. A collector that was off already stays off."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """While modules are imported the collector would walk over all of them, again and again, and
    find nothing. What was made until the end is never walked over; so neither is its garbage."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
