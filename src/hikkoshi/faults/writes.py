"""Writes sequence numbers through a fault and reads them back: what was acknowledged must be there.

Each number is tried until it is acknowledged or given up; a number whose acknowledgement was lost
may be there or not, and is neither counted as kept nor as lost.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import psycopg

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.faults.databases import speaks_mysql
from hikkoshi.faults.model import Writes

TABLE = "hikkoshi_fault_sequence"
GIVEN_UP_AFTER_S = 60.0
_SPEC = re.compile(r"^([A-Z]+)\s+(\S+)(?:\s+(.*))?$", re.DOTALL)


class Sink(Protocol):
    """Where numbers are written. `write` raises an exception when it is not acknowledged."""

    def open(self) -> None: ...

    def write(self, number: int) -> None: ...

    def missing(self, numbers: list[int]) -> list[int]:
        """Which of the numbers cannot be read back."""
        ...

    def close(self) -> None: ...


class DatabaseSink:
    """A table of its own, made before and dropped after."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None

    def open(self) -> None:
        if speaks_mysql(self._url):
            raise BadInput(
                "writing a sequence into a MySQL database is not implemented",
                where="DATABASE_URL",
                fix="write by an endpoint of the service: --write 'METHOD URL BODY'",
            )
        try:
            with self._connect() as connection:
                connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (number bigint)")
                connection.execute(f"TRUNCATE {TABLE}")
        except psycopg.Error as error:
            raise CannotRun(
                f"the sequence cannot be written: {type(error).__name__}",
                fix="DATABASE_URL needs a user who may create a table",
            ) from error

    def write(self, number: int) -> None:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        try:
            self._connection.execute(f"INSERT INTO {TABLE} VALUES (%s)", (number,))
        except psycopg.Error:
            self._connection.close()
            raise

    def missing(self, numbers: list[int]) -> list[int]:
        with self._connect() as connection:
            rows = connection.execute(f"SELECT number FROM {TABLE}").fetchall()
        found = {int(row[0]) for row in rows}
        return [number for number in numbers if number not in found]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        with contextlib.suppress(psycopg.Error), self._connect() as connection:
            connection.execute(f"DROP TABLE IF EXISTS {TABLE}")

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self._url, connect_timeout=3, autocommit=True, application_name="hikkoshi writes",
            options="-c statement_timeout=5000",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exchange:
    """`METHOD URL [BODY]`, with {n} for the number."""

    method: str
    url: str
    body: str | None

    @classmethod
    def parse(cls, text: str, option: str) -> Exchange:
        found = _SPEC.match(text.strip())
        if found is None or urlsplit(found[2]).scheme not in ("http", "https"):
            raise BadInput(
                f"{text!r} is not METHOD URL [BODY]",
                where=option,
                fix='as in \'POST http://host/notes {"text": "{n}"}\'',
            )
        if "{n}" not in text:
            raise BadInput("it has no {n}", where=option, fix="put {n} where the number belongs")
        return cls(found[1], found[2], found[3])

    def send(self, number: int, timeout_s: float = 5.0) -> str:
        body = None if self.body is None else self.body.replace("{n}", str(number)).encode()
        is_json = body is not None and body[:1] in b"{["
        request = urllib.request.Request(
            self.url.replace("{n}", str(number)),
            data=body,
            method=self.method,
            headers={"Content-Type": "application/json" if is_json else "text/plain"},
        )
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return str(answer.read(1 << 20).decode("utf-8", "replace"))


class EndpointSink:
    """An endpoint of the service: a number is there when `read` answers 2xx and has it in its
    body."""

    def __init__(self, write: Exchange, read: Exchange) -> None:
        self._write = write
        self._read = read

    def open(self) -> None:
        return None

    def write(self, number: int) -> None:
        self._write.send(number)

    def missing(self, numbers: list[int]) -> list[int]:
        return [number for number in numbers if not self._is_there(number)]

    def _is_there(self, number: int) -> bool:
        pattern = re.compile(rf"(?<!\d){number}(?!\d)")
        for _ in range(3):
            try:
                return pattern.search(self._read.send(number)) is not None
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    return False
            except OSError:
                pass
            time.sleep(0.2)
        return False

    def close(self) -> None:
        return None


class Writing:
    """Numbers, one after another, until the block is left. Then `result`."""

    def __init__(self, sink: Sink, every_s: float = 0.02) -> None:
        self._sink = sink
        self._every_s = every_s
        # A run's numbers are its own, also where an endpoint keeps those of another.
        self._next = int(time.time()) * 1_000_000
        self._acknowledged: list[tuple[int, float]] = []
        self._retried = 0
        self._unsure = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Writing:
        self._sink.open()
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._ending.set()
        self._thread.join(30)

    def close(self) -> None:
        self._sink.close()

    def result(self) -> Writes:
        """Reads back; after the block."""
        numbers = [number for number, _ in self._acknowledged]
        times = [t for _, t in self._acknowledged]
        gaps = [b - a for a, b in itertools.pairwise(times)]
        return Writes(
            len(numbers),
            self._retried,
            self._unsure,
            tuple(self._sink.missing(numbers)),
            max(gaps, default=None),
        )

    def _work(self) -> None:
        while not self._ending.is_set():
            self._one(self._next)
            self._next += 1
            self._ending.wait(self._every_s)

    def _one(self, number: int) -> None:
        deadline = time.monotonic() + GIVEN_UP_AFTER_S
        while True:
            try:
                self._sink.write(number)
            except (psycopg.Error, OSError):
                if self._ending.is_set() or time.monotonic() > deadline:
                    self._unsure += 1
                    return
                self._retried += 1
                self._ending.wait(0.1)
            else:
                self._acknowledged.append((number, time.time()))
                return
