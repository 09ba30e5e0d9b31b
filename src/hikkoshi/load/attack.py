"""A load as a value, and the processes that carry it out."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from hikkoshi.base.errors import BadInput, CannotRun, DeadlinePassed
from hikkoshi.load.conditions import parse_conditions
from hikkoshi.load.histogram import Histogram
from hikkoshi.load.pacer import Pacer
from hikkoshi.load.report import LoadSummary, summarize
from hikkoshi.load.request import whole_url
from hikkoshi.load.targets import Target
from hikkoshi.load.totals import EndpointTotals, Totals

READY_WITHIN_S = 20.0
# The workers start this long after the last of them was ready, so that all do at once.
_LEAD_S = 0.02
_MARGIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files: the client's certificate (and key), the authorities that are trusted.
    server_name: asked for (SNI) and verified instead of the address's own."""

    cert: Path | None = None
    key: Path | None = None
    root_certs: Path | None = None
    server_name: str | None = None

    def as_json(self, is_verified: bool) -> dict[str, Any]:
        paths = {name: getattr(self, name) for name in ("cert", "key", "root_certs")}
        return {
            "is_verified": is_verified,
            "server_name": self.server_name,
            **{name: str(path) if path is not None else None for name, path in paths.items()},
        }


@dataclass(frozen=True, slots=True)
class Attack:
    """What is sent, when, and by which means.

    pacer None: the closed model, `connections` at work for `duration_s`. base_url completes
    targets that are paths. connect_to: `host:port` or `unix:/path` for all connections. queue:
    how many requests may wait for a free connection; the rest fail as Overflow. timeout_s counts
    from the moment a request was due. target_group_header: an answer's header whose value goes to
    the column `target_group`. expect: conditions (see `conditions`); its checks are made by the
    generator, its thresholds by who has the summary. feed: a CSV file of values for variables.
    name: of the run, in results.
    """

    targets: tuple[Target, ...]
    pacer: Pacer | None
    duration_s: float
    trial: str = "load"
    base_url: str | None = None
    connect_to: str | None = None
    connections: int = 1000
    queue: int = 100_000
    timeout_s: float = 30.0
    is_kept_alive: bool = True
    target_group_header: str | None = None
    is_tls_verified: bool = True
    tls: Tls = Tls()
    redirects: int = 0
    is_chunked: bool = False
    is_http2: bool = False
    expect: str | None = None
    feed: Path | None = None
    name: str = ""
    processes: int = 1
    report_every_s: float = 0.25

    def __post_init__(self) -> None:
        if not self.targets:
            raise BadInput("a load needs a target", fix="give at least one")
        for name in ("connections", "processes"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}", fix="give 1 or more")
        if self.processes > self.connections:
            raise BadInput("more processes than connections", fix="raise connections")
        for name in ("duration_s", "timeout_s", "report_every_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise BadInput(f"{name} is {getattr(self, name)}", fix="give more than nought")
        for name in ("queue", "redirects"):
            if getattr(self, name) < 0:
                raise BadInput(f"{name} is {getattr(self, name)}", fix="give 0 or more")
        if self.expect is not None:
            parse_conditions(self.expect)
        if self.is_http2 and (self.is_chunked or not self.is_kept_alive):
            raise BadInput(
                "HTTP/2 has neither chunked bodies nor connections of one request",
                fix="leave out --chunked and --no-keepalive, or --http2",
            )

    @classmethod
    def paced(cls, targets: tuple[Target, ...], pacer: Pacer, **rest: Any) -> Attack:
        """An open model that lasts as long as its pacer."""
        return cls(targets=targets, pacer=pacer, duration_s=pacer.duration_s, **rest)

    def document(self, share: tuple[int, int], results: Path) -> dict[str, Any]:
        """What worker share[0] of share[1] is told, as JSON."""
        first, count = share
        return {
            "targets": [
                {
                    "method": target.method,
                    "url": whole_url(target, self.base_url),
                    "headers": [list(header) for header in target.headers],
                    "body": base64.b64encode(target.body).decode(),
                    "name": target.endpoint,
                    "weight": target.weight,
                    "where": target.where,
                }
                for target in self.targets
            ],
            "pacer": self.pacer.as_json() if self.pacer is not None else None,
            "duration_s": self.duration_s,
            "trial": self.trial,
            "connect_to": self.connect_to,
            "connections": self.connections // count + (first < self.connections % count),
            "queue": self.queue // count,
            "timeout_s": self.timeout_s,
            "is_kept_alive": self.is_kept_alive,
            "target_group_header": self.target_group_header,
            "tls": self.tls.as_json(self.is_tls_verified),
            "redirects": self.redirects,
            "is_chunked": self.is_chunked,
            "is_http2": self.is_http2,
            "expect": self.expect,
            "feed": str(self.feed) if self.feed is not None else None,
            "name": self.name,
            "report_every_s": self.report_every_s,
            "share": [first, count],
            "results": str(results),
        }


@dataclass(frozen=True, slots=True)
class Live:
    """The run as it stood at `t`, epoch seconds: the end of the last window that was reported.

    Rates, percentiles, statuses, errors and failed are those of that window (`report_every_s`);
    planned, issued, done, retries and failed_so_far count from the start.
    """

    t: float
    elapsed_s: float = 0.0
    planned: int = 0
    issued: int = 0
    done: int = 0
    retries: int = 0
    failed_so_far: int = 0
    rate: float = 0.0
    ok_rate: float = 0.0
    p50_s: float | None = None
    p99_s: float | None = None
    lateness_p99_s: float | None = None
    statuses: Mapping[int, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    connections: int = 0
    busy: int = 0
    queued: int = 0
    failed: int = 0


_COUNTS = (
    "planned", "issued", "done", "retries", "failed_so_far", "connections", "busy", "queued",
)  # fmt: skip


def live_of(windows: list[dict[str, Any]], t_start: float) -> Live:
    """The latest windows of all workers as one snapshot."""
    if not windows:
        return Live(t=t_start)
    latency, lateness = Histogram(), Histogram()
    statuses: Counter[int] = Counter()
    errors: Counter[str] = Counter()
    rate = ok_rate = 0.0
    ended = ok = 0
    for window in windows:
        latency.add(Histogram.from_json(window["latency"]))
        lateness.add(Histogram.from_json(window["lateness"]))
        statuses.update({int(status): count for status, count in window["statuses"].items()})
        errors.update(window["errors"])
        seconds = max(window["window_s"], 1e-9)
        rate += window["ended"] / seconds
        ended += window["ended"]
        ok += window["ok"]
        ok_rate += window["ok"] / seconds
    counts = {name: sum(window[name] for window in windows) for name in _COUNTS}
    p50, p99 = latency.percentiles((0.5, 0.99))
    elapsed_s = max(window["elapsed_s"] for window in windows)
    return Live(
        t=t_start + elapsed_s,
        elapsed_s=elapsed_s,
        rate=rate,
        ok_rate=ok_rate,
        failed=ended - ok,
        p50_s=p50,
        p99_s=p99,
        lateness_p99_s=lateness.percentile(0.99),
        statuses=statuses,
        errors=errors,
        **counts,
    )


class _Worker:
    """One process and the thread that reads what it says."""

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


class LoadRun:
    """Carries an attack out in processes of its own. Its methods may be called from any thread.

        with LoadRun(attack, directory / "requests.load") as run:
            while not run.is_over(): … run.live() …
            summary = run.wait()

    Leaving the block stops what still runs. With several processes, the files are named
    `requests.load.0`, `requests.load.1`, …
    """

    def __init__(
        self, attack: Attack, results: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self.attack = attack
        count = attack.processes
        self.files: tuple[Path, ...] = (
            (results,)
            if count == 1
            else tuple(results.with_name(f"{results.name}.{i}") for i in range(count))
        )
        self.t_start = 0.0
        self._clock = clock
        self._changed = threading.Condition()
        self._workers: list[_Worker] = []

    def __enter__(self) -> LoadRun:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Returns once the sending has begun. BadInput, CannotRun, DeadlinePassed."""
        if self._workers:
            raise RuntimeError("a LoadRun starts once")
        count = len(self.files)
        documents = [self.attack.document((i, count), path) for i, path in enumerate(self.files)]
        try:
            for document, path in zip(documents, self.files, strict=True):
                self._workers.append(_Worker(document, path, self._changed))
            self._await_ready()
        except BaseException:
            self.close()
            raise
        start = time.monotonic() + _LEAD_S
        self.t_start = self._clock() + _LEAD_S
        for worker in self._workers:
            worker.say({"go": start, "t_start": self.t_start})

    def _await_ready(self) -> None:
        with self._changed:
            is_settled = self._changed.wait_for(
                lambda: all(w.is_ready or w.is_over for w in self._workers), READY_WITHIN_S
            )
        for worker in self._workers:
            worker.raise_if_failed()
        if not is_settled:
            raise DeadlinePassed(f"the load generator was not ready within {READY_WITHIN_S:.0f} s")

    @property
    def pids(self) -> tuple[int, ...]:
        """The generator's processes, for who wants to give them a core or measure them."""
        return tuple(worker.process.pid for worker in self._workers)

    def live(self) -> Live:
        with self._changed:
            windows = [w.window for w in self._workers if w.window is not None]
        return live_of(windows, self.t_start)

    def so_far(self) -> dict[str, EndpointTotals]:
        """Requests, successes and latencies until the last window, by endpoint."""
        names = {target.endpoint for target in self.attack.targets}
        found: dict[str, EndpointTotals] = {}
        with self._changed:
            for worker in self._workers:
                for name, endpoint in worker.so_far.items():
                    name = name or next(iter(names))
                    found.setdefault(name, EndpointTotals()).add(endpoint)
        return found

    def is_over(self) -> bool:
        with self._changed:
            return all(worker.is_over for worker in self._workers)

    def wait_for_change(self, seconds: float) -> None:
        """Until a worker has said something new, at most `seconds`."""
        with self._changed:
            if not all(worker.is_over for worker in self._workers):
                self._changed.wait(seconds)

    def stop(self, grace_s: float = 1.0) -> None:
        """No further request; those at work have grace_s to be answered, else they count as
        Stopped. Returns at once; `wait` gives the summary."""
        for worker in self._workers:
            worker.say({"stop": grace_s})

    def wait(self, timeout_s: float | None = None) -> LoadSummary:
        """Until every request is accounted for. timeout_s None: as long as the plan, the last
        timeout and a margin need. DeadlinePassed leaves the run going; CannotRun when a worker
        died."""
        attack = self.attack
        if timeout_s is None:
            ends = self.t_start + attack.duration_s + attack.timeout_s + _MARGIN_S
            timeout_s = max(0.0, ends - self._clock())
        with self._changed:
            is_done = self._changed.wait_for(
                lambda: all(worker.is_over for worker in self._workers), timeout_s
            )
        if not is_done:
            raise DeadlinePassed("the load run did not end", where=attack.trial)
        totals = Totals()
        for worker in self._workers:
            worker.raise_if_failed()
            assert worker.totals is not None
            totals.add(worker.totals)
        return summarize(
            totals,
            trial=attack.trial,
            t_start=self.t_start,
            pacer=attack.pacer,
            duration_s=attack.duration_s,
            files=self.files,
            expect=attack.expect,
        )

    def close(self) -> None:
        """Ends the processes, whatever they are doing. Their files stay."""
        for worker in self._workers:
            worker.end()
