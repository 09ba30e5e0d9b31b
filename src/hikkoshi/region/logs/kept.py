"""What is kept of a container's output whatever its driver does: lines, a file, evidence."""

from __future__ import annotations

import contextlib
import io
from collections import OrderedDict, deque
from pathlib import Path

from hikkoshi.base.clock import Clock
from hikkoshi.model.evidence import Recorder
from hikkoshi.region.logs.lines import Line, shown

KEPT_LINES = 100
KEPT_TEXT = 2_000
KEPT_CONTAINERS = 500
ROW_TEXT = 16_384
ROWS_A_SECOND = 500
FILE_BYTES = 8 * 1024 * 1024


class LastLines:
    """The newest lines of the newest containers, for stopped reasons and `hikkoshi status`."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], deque[str]] = OrderedDict()

    def add(self, key: tuple[str, str], lines: list[Line]) -> None:
        """key: (task id, container)."""
        kept = self._kept.setdefault(key, deque(maxlen=KEPT_LINES))
        kept.extend(shown(line.data, KEPT_TEXT) for line in lines[-KEPT_LINES:])
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT_CONTAINERS:
            self._kept.popitem(last=False)

    def get(self, task_id: str, container: str, count: int) -> list[str]:
        lines = self._kept.get((task_id, container), deque())
        return list(lines)[-count:] if count > 0 else []


class BoundedFile:
    """Raw output, appended; at `limit` bytes it becomes `NAME.1` and starts anew, so that at most
    twice the limit is on the disk. A disk that refuses ends the file, not the container."""

    def __init__(self, path: Path, limit: int = FILE_BYTES) -> None:
        self._path = path
        self._limit = limit
        self._size = 0
        self._file: io.FileIO | None = None
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = io.FileIO(path, "ab")
            self._size = self._file.tell()

    def write(self, data: bytes) -> None:
        if self._file is None:
            return
        try:
            if self._size + len(data) > self._limit and self._size:
                self._file.close()
                self._path.replace(self._path.with_name(self._path.name + ".1"))
                self._file = io.FileIO(self._path, "wb")
                self._size = 0
            self._file.write(data[-self._limit :])
            self._size += len(data)
        except OSError:
            self.close()

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


class Evidence:
    """Rows of `logs`, at most ROWS_A_SECOND for a container; what was left out is counted in a
    row of its own (stream `left_out`)."""

    def __init__(self, recorder: Recorder, clock: Clock, task: str, container: str) -> None:
        self._recorder = recorder
        self._clock = clock
        self._task = task
        self._container = container
        self._second = 0
        self._rows = 0
        self._left_out = 0

    def add(self, stream: str, lines: list[Line]) -> None:
        now = self._clock.now()
        if int(now) != self._second:
            self._begin_second(now)
        for line in lines:
            if self._rows >= ROWS_A_SECOND:
                self._left_out += 1
                continue
            self._rows += 1
            self._row(now, stream, shown(line.data, ROW_TEXT))

    def close(self) -> None:
        self._begin_second(self._clock.now())

    def _begin_second(self, now: float) -> None:
        if self._left_out:
            text = f"{self._left_out} more lines were not recorded (limit {ROWS_A_SECOND}/s)"
            self._row(self._second + 1.0, "left_out", text)
        self._second, self._rows, self._left_out = int(now), 0, 0

    def _row(self, t: float, stream: str, line: str) -> None:
        self._recorder.record(
            "logs", t=t, task=self._task, container=self._container, stream=stream, line=line
        )
