"""The command line of the stand-in: its exit codes, and what it costs to start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from router_process import SOURCE, STAND_IN, RouterProcess, free_port

Start = Callable[..., RouterProcess]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*STAND_IN, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": SOURCE},
    )


def test_the_version_names_the_stand_in() -> None:
    found = run("--version")
    assert found.returncode == 0
    assert found.stdout.startswith("Fluent Bit v")
    assert "stand-in" in found.stdout


def test_a_dry_run_tells_good_from_bad(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.conf", tmp_path / "bad.conf"
    good.write_text("[OUTPUT]\n    Name null\n    Match *\n")
    bad.write_text("[OUTPUT]\n    Name nil\n    Match *\n")
    assert run("--dry-run", "-c", str(good)).returncode == 0
    found = run("-D", f"--config={bad}")
    assert found.returncode == 1
    assert f"{bad}:1" in found.stderr
    assert "configuration file contains errors" in found.stderr


@pytest.mark.parametrize("arguments", [("--nonsense",), ("-c", "/nonexistent.conf")])
def test_wrong_use_exits_1(arguments: tuple[str, ...]) -> None:
    found = run(*arguments)
    assert found.returncode == 1
    assert arguments[-1] in found.stderr


def test_a_taken_port_exits_1(start_stand_in: Start) -> None:
    port = free_port()
    text = f"[INPUT]\n    Name tcp\n    Listen 127.0.0.1\n    Port {port}\n"
    first = start_stand_in(text)
    first.wait_for_log("listening on")
    second = start_stand_in(text)
    assert second.process.wait(20) == 1
    assert f"could not bind address 127.0.0.1:{port}" in second.log()


def test_its_start_is_light(tmp_path: Path) -> None:
    path = tmp_path / "r.conf"
    path.write_text("[OUTPUT]\n    Name datadog\n    Match *\n    apikey k\n    TLS On\n")
    heavy = ("asyncio", "ssl", "http.client", "urllib.request", "yaml", "email", "logging")
    program = (
        "import sys\nfrom hikkoshi.router.__main__ import main\n"
        f"assert main(['-D', '-c', {str(path)!r}]) == 0\n"
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, env={"PYTHONPATH": SOURCE}, timeout=30,
    )  # fmt: skip
    assert found.stdout.splitlines()[-1] == "[]", found.stderr
    assert int(found.stdout.splitlines()[-2]) < 40_000  # KiB at most; Fluent Bit has about as much
