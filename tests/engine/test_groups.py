"""Control groups v1 as they are on this machine; skipped where they cannot be written."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from hikkoshi.region.boot.cgroups import planned_directories
from hikkoshi.region.engine.cgroups import GroupV1, open_groups


@pytest.fixture
def group():
    places = planned_directories(f"test-{os.getpid()}")
    found = open_groups(places)
    if not isinstance(found, GroupV1):
        pytest.skip("this machine lets us write no control groups v1")
    yield found
    found.remove()
    assert not any(path.exists() for path in places)


def test_a_group_that_a_thread_of_ours_is_in_is_removed_without_ending_us(group):
    """v1 lists the whole process in a group when one of its threads is in it."""
    child = group.child("task")
    with subprocess.Popen(["sleep", "60"]) as other:
        child.add(other.pid)
        entered, leave = threading.Event(), threading.Event()

        def spawn() -> None:
            with child.entered():
                entered.set()
                leave.wait(30)

        thread = threading.Thread(target=spawn)
        thread.start()
        assert entered.wait(10)
        assert child.pids() == [other.pid]
        assert not child.remove(), "a thread is still in it"
        assert other.wait(10) == -9
        leave.set()
        thread.join()
    assert child.remove()


def test_its_directories_are_gone_afterwards(group):
    child = group.child("other")
    assert child.remove()
    assert not any(Path(p).exists() for p in vars(child)["_directories"].values())
