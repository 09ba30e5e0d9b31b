"""Temporary directories of processes that were killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hikkoshi.base.scratch import own_prefix, start_of

LEAVES = (
    "import tempfile, os, signal\n"
    "from hikkoshi.base.scratch import own_prefix\n"
    "print(tempfile.mkdtemp(prefix=own_prefix('hikkoshi-test-')), flush=True)\n"
    "os.kill(os.getpid(), signal.SIGKILL)\n"
)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_what_a_killed_process_left_is_removed_and_nothing_else(temporary: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", LEAVES], capture_output=True, text=True)
    left = Path(killed.stdout.strip())
    (left / "file").write_text("x")
    mine = Path(tempfile.mkdtemp(prefix=own_prefix("hikkoshi-other-")))
    assert left.is_dir(), "another prefix is another's"
    strange = temporary / "hikkoshi-test-by-hand"
    strange.mkdir()
    world = Path("/proc/self/ns/pid").stat().st_ino
    elsewhere = temporary / f"hikkoshi-test-{world + 1}-1-1-abc"
    elsewhere.mkdir()
    link = temporary / f"hikkoshi-test-{world}-1-1-link"
    link.symlink_to(mine)
    prefix = own_prefix("hikkoshi-test-")
    assert not left.exists()
    assert mine.is_dir() and strange.is_dir() and elsewhere.is_dir() and link.is_symlink()
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        own_prefix("hikkoshi-test-")
        assert Path(name).is_dir(), "a process that runs keeps its own"


def test_a_number_is_used_again_but_not_with_the_same_start() -> None:
    assert start_of(os.getpid()) == start_of(os.getpid()) is not None
    assert start_of(2**22 + 1) is None
