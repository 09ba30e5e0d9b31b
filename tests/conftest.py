"""For all tests: Ctrl-C as a terminal gives it, the machine to itself for what measures, and what
they start over and over compiled once."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# A shell that starts the suite in the background lets it ignore Ctrl-C, and every program that a
# test starts would inherit that; one that has a handler starts its children with the default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Hundreds of tests start a region or the command line; where the shell forbids Python to keep what
# it compiles, each would compile a thousand modules. It is kept in the environment's own directory.
if sys.dont_write_bytecode:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ.setdefault(
        "PYTHONPYCACHEPREFIX", str(Path(sys.prefix) / "bytecode")
    )


class Turnstile:
    """Tests of several processes pass together, or one of them alone.

    Who wants to be alone holds the gate until the room is empty, so nobody overtakes."""

    def __init__(self, place: Path) -> None:
        self._gate = place.with_suffix(".gate").open("w")
        self._room = place.with_suffix(".room").open("w")

    @contextmanager
    def passed(self, *, is_alone: bool) -> Iterator[None]:
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        fcntl.flock(self._room, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        fcntl.flock(self._gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._room, fcntl.LOCK_UN)


def pytest_configure(config: pytest.Config) -> None:
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is not None:
        config.stash[TURNSTILE] = Turnstile(Path(tempfile.gettempdir()) / f"hikkoshi-tests-{run}")


def pytest_unconfigure(config: pytest.Config) -> None:
    if getattr(config.option, "numprocesses", None) and (run := _run_of(config)):
        for name in ("gate", "room"):
            Path(tempfile.gettempdir(), f"hikkoshi-tests-{run}.{name}").unlink(missing_ok=True)


TURNSTILE = pytest.StashKey[Turnstile]()


def _run_of(config: pytest.Config) -> str | None:
    session = config.pluginmanager.get_plugin("dsession")
    return getattr(getattr(session, "nodemanager", None), "testrunuid", None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Outside of every timeout: to wait for one's turn is no fault of the test's."""
    turnstile = item.config.stash.get(TURNSTILE, None)
    if turnstile is None:
        return (yield)
    with turnstile.passed(is_alone=item.get_closest_marker("alone") is not None):
        return (yield)
