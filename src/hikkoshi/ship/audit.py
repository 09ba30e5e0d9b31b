"""Every change in one place: a line of JSON before it is made, and one with what came of it."""

from __future__ import annotations

import datetime
import getpass
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hikkoshi.aws.access import Access, calling
from hikkoshi.base.errors import AwsRefused

FILE = Path(".hikkoshi") / "audit.jsonl"


class Audit:
    """Writes to `DIRECTORY/.hikkoshi/audit.jsonl` and, if named, to a log group of CloudWatch.

    say: hears what could not be written; a deploy does not fail because of its diary."""

    def __init__(
        self, access: Access, directory: Path, log_group: str | None, say: Callable[[str], None]
    ) -> None:
        self._access = access
        self._file = directory / FILE
        self._group = log_group
        self._say = say
        self._who: str | None = None

    def note(self, action: str, **fields: Any) -> None:
        """action: `deploy begins`, `deploy ended`, …"""
        entry = {
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "action": action,
            "by": self._by(),
            "place": "local region" if self._access.is_local else self._access.region,
            **{name: value for name, value in fields.items() if value is not None},
        }
        line = json.dumps(entry, ensure_ascii=False, default=str)
        try:
            self._file.parent.mkdir(exist_ok=True)
            ignore = self._file.parent / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            with self._file.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            self._say(f"warning: the audit log {self._file} cannot be written: {error.strerror}")
        if self._group is not None:
            self._send(line)

    def _by(self) -> str:
        if self._who is None:
            self._who = whoami()
            try:
                sts = self._access.client("sts")
                identity = calling("sts:GetCallerIdentity", sts.get_caller_identity)
                self._who += f" as {identity['Arn']}"
            except AwsRefused:
                pass
        return self._who

    def _send(self, line: str) -> None:
        logs = self._access.client("logs")
        stream = datetime.datetime.now(datetime.UTC).strftime("hikkoshi/%Y/%m")
        now_ms = round(datetime.datetime.now(datetime.UTC).timestamp() * 1000)
        events = [{"timestamp": now_ms, "message": line}]
        try:
            try:
                calling("logs:CreateLogStream", logs.create_log_stream,
                        logGroupName=self._group, logStreamName=stream)  # fmt: skip
            except AwsRefused as error:
                if "ResourceAlreadyExists" not in error.what:
                    raise
            calling("logs:PutLogEvents", logs.put_log_events, logGroupName=self._group,
                    logStreamName=stream, logEvents=events)  # fmt: skip
        except AwsRefused as error:
            self._say(f"warning: the audit log group {self._group}: {error.what}")


def whoami() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "someone"
    return f"{user}@{socket.gethostname()}"
