"""Closing goes on past a step that fails or hangs, and names it."""

from __future__ import annotations

import asyncio

from hikkoshi.region.closing import Closing


def closed(tmp_path, *steps):
    """Close these (name, function) steps; what was written to the log."""
    with (tmp_path / "log").open("w+") as log:

        async def run():
            closing = Closing(log, step_deadline_s=0.2)
            for name, step in steps:
                closing.add(name, step)
            await closing.close()
            await closing.close()

        asyncio.run(run())
        log.seek(0)
        return log.read()


def test_steps_are_taken_once_in_reverse(tmp_path):
    done = []

    async def second():
        done.append("second")

    assert closed(tmp_path, ("first", lambda: done.append("first")), ("second", second)) == ""
    assert done == ["second", "first"]


def test_a_step_that_hangs_is_named_with_where_it_hangs(tmp_path):
    done = []

    async def waits_for_nobody():
        await asyncio.Event().wait()

    said = closed(tmp_path, ("last", lambda: done.append("last")), ("stuck", waits_for_nobody))
    assert done == ["last"]
    assert "closing stuck was not done within 0.2 s" in said
    assert "test_closing.py" in said


def test_a_step_that_raises_is_told(tmp_path):
    done = []
    said = closed(tmp_path, ("last", lambda: done.append("last")), ("bad", lambda: 1 / 0))
    assert done == ["last"]
    assert "closing bad failed" in said
    assert "ZeroDivisionError" in said
