"""One process of a load run, as its parent sees it (the other end is `worker`)."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.load.histogram import Histogram
from hikkoshi.load.totals import EndpointTotals, Totals


class WorkerProcess:
    """The process and the thread that reads what it says."""

    def __init__(
        self, document: dict[str, Any], results: Path, changed: threading.Condition
    ) -> None:
        self.results = results
        self.window: dict[str, Any] | None = None
        self.so_far: dict[str, EndpointTotals] = {}
        self.totals: Totals | None = None
        self.error: dict[str, Any] | None = None
        self.is_ready = False
        self.is_over = False
        self._changed = changed
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        # A session of its own: Ctrl-C is for the parent, which then stops it in order. It ends by
        # itself when this end of its standard input closes, however the parent died.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hikkoshi.load.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name="load-worker", daemon=True)
        self._reader.start()
        self.say(document)

    def say(self, document: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        # A worker that is already gone tells its own story by its last line or exit code.
        with contextlib.suppress(BrokenPipeError, ValueError):
            self.process.stdin.write(json.dumps(document).encode() + b"\n")
            self.process.stdin.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            with self._changed:
                if "window" in message:
                    self.window = message["window"]
                    self._add(message["window"])
                self.error = message.get("error", self.error)
                self.is_ready = self.is_ready or "ready" in message
                if "end" in message:
                    self.totals = Totals.from_json(message["end"])
                self._changed.notify_all()
        self.process.wait()
        with self._changed:
            self.is_over = True
            self._changed.notify_all()

    def _add(self, window: dict[str, Any]) -> None:
        """The windows so far, by endpoint; a load of one endpoint tells it as the whole."""
        told = window["endpoints"] or {"": [window["ended"], window["ok"], window["latency"]]}
        for name, (requests, succeeded, latency) in told.items():
            endpoint = self.so_far.setdefault(name, EndpointTotals())
            endpoint.requests += requests
            endpoint.succeeded += succeeded
            endpoint.latency.add(Histogram.from_json(latency))

    def raise_if_failed(self) -> None:
        """What the worker died of, as an error for the user."""
        if self.error is not None:
            kind = BadInput if self.error["kind"] == "BadInput" else CannotRun
            raise kind(self.error["what"], where=self.error["where"], fix=self.error["fix"])
        if self.is_over and self.totals is None:
            self._stderr.seek(0)
            words = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
            last = f": {words[-1]}" if words else ""
            raise CannotRun(
                f"the load generator ended with code {self.process.returncode}{last}",
                fix=f"what it had sent until then is in {self.results}",
            )

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
