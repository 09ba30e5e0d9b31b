"""The log lines of a service or a task, from where its containers send them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hikkoshi.aws.access import calling
from hikkoshi.base.errors import AwsRefused, BadInput
from hikkoshi.ship.calls import Calls, short
from hikkoshi.ship.lines import clean, stream_of

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """t: seconds since the epoch; 0 where only the text is known."""

    t: float
    task: str
    container: str
    text: str


@dataclass
class Reader:
    """What is new each time it is asked. containers: of the task definition; task: only this one's.

    Reads CloudWatch Logs for awslogs; in a local region, what it keeps of every container."""

    calls: Calls
    containers: Sequence[Document]
    task: str | None = None
    pattern: str | None = None
    since: float = 0.0
    _seen: set[str] = field(default_factory=set)
    _offsets: dict[Path, int] = field(default_factory=dict)

    def refuse_the_unreadable(self) -> None:
        """BadInput where no container's lines can be read from here."""
        if self.calls.kept_logs is not None or any(stream_of(c, "x") for c in self.containers):
            return
        ways = ", ".join(
            f"{c['name']}: {(c.get('logConfiguration') or {}).get('logDriver', 'no log driver')}"
            for c in self.containers
        )
        raise BadInput(
            f"no container's lines can be read from here ({ways})",
            fix="lines that go through FireLens are where its outputs send them",
        )

    def read(self) -> list[Line]:
        if self.calls.kept_logs is not None:
            return list(self._kept(self.calls.kept_logs))
        lines = [line for each in self.containers for line in self._events(each)]
        return sorted(lines, key=lambda line: line.t)

    def _events(self, container: Document) -> Iterator[Line]:
        place = stream_of(container, self.task or "")
        if place is None:
            return
        group, prefix = place
        more: Document = {"filterPattern": self.pattern} if self.pattern else {}
        token: str | None = None
        while True:
            if token:
                more["nextToken"] = token
            logs = self.calls.access.client("logs")
            try:
                answer = calling(
                    "logs:FilterLogEvents", logs.filter_log_events, logGroupName=group,
                    logStreamNamePrefix=prefix, startTime=max(0, round(self.since * 1000)), **more,
                )  # fmt: skip
            except AwsRefused as error:
                if "ResourceNotFoundException" in error.what:
                    return
                raise
            for event in answer["events"]:
                # Asked for by prefix; a local region answers with every stream of the group.
                is_ours = event["logStreamName"].startswith(prefix)
                if event["eventId"] in self._seen or not is_ours:
                    continue
                self._seen.add(event["eventId"])
                task = short(event["logStreamName"])
                # Lines that arrive late are older than some that were read: look back a little.
                self.since = max(self.since, event["timestamp"] / 1000 - 30)
                for text in event["message"].splitlines():
                    yield Line(event["timestamp"] / 1000, task, container["name"], clean(text))
            token = answer.get("nextToken")
            if not token:
                return

    def _kept(self, place: Path) -> Iterator[Line]:
        names = {c["name"] for c in self.containers}
        for file in sorted(place.glob(f"{self.task or '*'}/*.log")):
            if file.stem not in names or file.stat().st_mtime < self.since:
                continue
            offset = self._offsets.get(file, 0)
            with file.open("rb") as opened:
                opened.seek(offset)
                data = opened.read()
            data = data[: data.rfind(b"\n") + 1]
            self._offsets[file] = offset + len(data)
            for text in data.decode("utf-8", "replace").splitlines():
                if self.pattern is None or self.pattern.strip('"') in text:
                    yield Line(0.0, file.parent.name, file.stem, clean(text))


def follow(reader: Reader, every_s: float) -> Iterator[Line]:
    """For ever."""
    while True:
        yield from reader.read()
        time.sleep(every_s)
