"""Ctrl-C and SIGTERM while a module is loaded: a library's initialisation may not be cut short."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import signal, sys, time
from hikkoshi.base.signals import again_soon, is_importing

def on_signal(number, frame):
    if is_importing(frame):
        again_soon(number)
        return
    sys.exit(128 + number)

signal.signal(signal.SIGTERM, on_signal)
import slow
print("loaded", flush=True)
time.sleep(30)
"""
SLOW = """
import os, signal, time
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(0.2)
print("the module is whole", flush=True)
"""


def test_a_signal_within_an_import_comes_after_it(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=25,
        check=False,
    )  # fmt: skip
    assert "the module is whole" in done.stdout, done.stderr
    assert done.returncode == 143
