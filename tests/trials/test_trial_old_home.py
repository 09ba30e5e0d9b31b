"""The old home's deploy: downtime as arithmetic, and the shell that stands in for systemd and ssh,
run for real with a small server."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from hikkoshi.trials.old_home import downtime
from hikkoshi.trials.old_instances import supervise, swap_commands

DEADLINE_S = 15.0


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([], 0.0),
        ([5.0], 0.0),
        ([5.0, 5.25], 0.25),
        ([5.0, 5.4, 5.8], 0.8),
        # Further apart than the gap: two stretches, and what lies between was served.
        ([5.0, 5.25, 7.0, 7.5], 0.75),
        ([5.0, 6.0, 7.0], 0.0),
        ([1.0, 1.5, 2.0, 10.0], 1.0),
    ],
)
def test_downtime_is_the_length_of_the_stretches_of_failures(failures, expected):
    assert downtime(failures) == pytest.approx(expected)


def test_the_gap_that_parts_two_stretches_can_be_set():
    assert downtime([0.0, 1.0, 2.0], gap_s=1.0) == pytest.approx(2.0)


SERVER = """
import http.server, os, sys
VERSION = "one"
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash":
            os._exit(3)
        body = f"{VERSION} {os.getpid()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server(http.server.HTTPServer):
    allow_reuse_address = True
port = int(sys.argv[1])
server = Server(("127.0.0.1", port), Handler)
with open(sys.argv[2], "w") as told:
    told.write(str(server.server_port))
server.serve_forever()
"""


class Instance:
    """The loop in a directory of its own: `/tmp/` of the script is replaced, nothing else."""

    def __init__(self, directory: Path) -> None:
        self._at = directory
        self.binary = directory / "serve it.py"
        self.binary.write_text(SERVER)
        self._told = directory / "port"
        self.port = 0
        self.loop: subprocess.Popen[bytes] | None = None

    def bring_up(self) -> None:
        """Once to be given a free port; then at that port, as a service that has one."""
        self._start(0)
        self._wait("the server listens", lambda: self._told.exists() and self._told.read_text())
        self.port = int(self._told.read_text())
        self.stop()
        self._start(self.port)
        self.wait_answer()

    def _start(self, port: int) -> None:
        script = supervise(("PYTHON", "BINARY", str(port), "TOLD"), 0.05)
        self.loop = subprocess.Popen(["sh", "-c", self._at_home(script)], start_new_session=True)

    def _at_home(self, script: str) -> str:
        assert "/tmp/" in script
        own = script.replace("/tmp/", f"{self._at}/own-")
        own = own.replace("PYTHON", sys.executable)
        return own.replace("BINARY", f"'{self.binary}'").replace("TOLD", f"'{self._told}'")

    def swap(self) -> subprocess.CompletedProcess[bytes]:
        script = self._at_home(swap_commands("BINARY"))
        return subprocess.run(["sh", "-c", script], timeout=DEADLINE_S, capture_output=True)

    def ask(self, path: str = "/") -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, OSError):
            return None

    def wait_answer(self, *, other_than: str | None = None) -> str:
        self._wait("the server answers", lambda: self.ask() not in (None, other_than))
        answer = self.ask()
        assert answer is not None
        return answer

    def _wait(self, what, is_so) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not is_so():
            assert time.monotonic() < deadline, f"{what} did not happen"
            time.sleep(0.01)

    def stop(self) -> int:
        """SIGTERM to the loop alone, as a container's first process gets it."""
        assert self.loop is not None
        self.loop.terminate()
        return self.loop.wait(DEADLINE_S)

    def kill(self) -> None:
        if self.loop is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.loop.pid, signal.SIGKILL)
            self.loop.wait(DEADLINE_S)


@pytest.fixture
def instance(tmp_path):
    made = Instance(tmp_path)
    try:
        made.bring_up()
        yield made
    finally:
        made.kill()


def test_a_service_that_crashes_is_started_again(instance):
    first = instance.wait_answer()
    assert instance.ask("/crash") is None
    assert instance.wait_answer(other_than=first).startswith("one ")


def test_the_swap_replaces_the_process_once_and_leaves_it_running(instance):
    first = instance.wait_answer()
    instance.binary.write_text(SERVER.replace('"one"', '"two"'))
    done = instance.swap()
    assert done.returncode == 0, done.stderr
    assert instance.ask() != first, "the old process was gone when the swap came back"
    second = instance.wait_answer(other_than=first)
    assert second.startswith("two ")
    assert instance.ask() == second, "it was started once, not twice"


def test_the_swap_brings_back_a_service_that_had_crashed(instance):
    first = instance.wait_answer()
    pid = int(first.split()[1])
    ended = os.pidfd_open(pid)
    assert instance.ask("/crash") is None
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    assert poll.poll(DEADLINE_S * 1000)
    os.close(ended)
    instance.swap()
    assert instance.wait_answer(other_than=first)


def test_the_loop_takes_its_service_with_it(instance):
    pid = int(instance.wait_answer().split()[1])
    service = os.pidfd_open(pid)
    assert instance.stop() == 0
    poll = select.poll()
    poll.register(service, select.POLLIN)
    assert poll.poll(DEADLINE_S * 1000), "the service outlived its loop"
    os.close(service)


def test_a_binary_that_cannot_be_replaced_does_not_stop_the_swap(tmp_path, instance):
    first = instance.wait_answer()
    if os.geteuid() == 0:
        pytest.skip("root may replace anything")
    instance.binary.chmod(0o444)
    assert instance.swap().returncode == 0
    assert instance.wait_answer(other_than=first)
