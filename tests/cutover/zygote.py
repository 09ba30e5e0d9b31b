"""hikkoshi's commands as real processes that begin at once: forked from one that has it all loaded.

Starting Python and boto3 anew costs seconds on a busy machine, and blurs at which moment a command
is killed. `python zygote.py` reads a JSON line for each wish and answers with one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Zygote:
    """In the test's process. Ends when it is closed, or when that process does."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="cut-said-")
        self._lock = threading.Lock()
        self._count = 0
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
        )

    def ask(self, **wish: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(wish) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def start(self, words: list[str], environment: Mapping[str, str]) -> Command:
        self._count += 1
        said = Path(self._directory.name) / str(self._count)
        pid = self.ask(words=words, environment=dict(environment), said=str(said))
        return Command(self, pid, said)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._directory.cleanup()


class Command:
    """What subprocess.Popen has, as far as it is needed."""

    def __init__(self, zygote: Zygote, pid: int, said: Path) -> None:
        self._zygote = zygote
        self._said = said
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._zygote.ask(poll=self.pid)
        return self.returncode

    def communicate(self, timeout: float = 60.0) -> tuple[str, str]:
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                self.send_signal(signal.SIGKILL)
                raise AssertionError(f"it did not end within {timeout} s; it said: {self.said()}")
            time.sleep(0.01)
        return self.said()

    def said(self) -> tuple[str, str]:
        return tuple(self._said.with_suffix(f".{end}").read_text() for end in ("out", "err"))

    def send_signal(self, number: int) -> None:
        # It is this zygote's child and not reaped before a poll: the pid is still its own.
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _load() -> None:
    """The models of the services are read once, into the session that all children then have."""
    import hikkoshi.cli.cutover
    from hikkoshi.aws.access import Access

    assert hikkoshi.cli.cutover.cutover
    for service in ("elbv2", "cloudwatch", "ecs", "events", "autoscaling"):
        Access("http://127.0.0.1:9", "ap-northeast-1").client(service)


def _be(words: list[str], environment: Mapping[str, str], said: str) -> None:
    from hikkoshi.cli.main import main

    with contextlib.suppress(FileNotFoundError):
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, end in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{said}.{end}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.environ.update(environment)
    code: Any = 0
    try:
        main(words)
    except SystemExit as end_:
        code = end_.code or 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _serve() -> None:
    _load()
    for line in sys.stdin:
        wish = json.loads(line)
        if "poll" in wish:
            pid, status = os.waitpid(wish["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                _be(**wish)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
