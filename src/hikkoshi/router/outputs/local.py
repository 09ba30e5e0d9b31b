"""stdout, file and null: outputs that need nobody at the other end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hikkoshi.base.errors import BadInput
from hikkoshi.router.codec import to_json
from hikkoshi.router.event import Event
from hikkoshi.router.outputs.http import JsonShape
from hikkoshi.router.port import Log, Result
from hikkoshi.router.section import Settings


class Null:
    name = "null"
    tls = False

    def __init__(self, settings: Settings) -> None:
        settings.ignore(["format"])

    def flush(self, tag: str, events: list[Event]) -> Result:
        return Result.OK

    def close(self) -> None:
        return None


class Stdout:
    """Format msgpack (the default) prints `[0] TAG: [[SECONDS, {}], {"key"=>"value"}]`."""

    name = "stdout"
    tls = False

    def __init__(self, settings: Settings, write: Callable[[bytes], None]) -> None:
        self._format = (settings.text("format") or "msgpack").lower()
        if self._format not in ("msgpack", "json", "json_lines", "json_stream"):
            raise BadInput(
                f"stdout: format {self._format!r} is not interpreted by the stand-in",
                where=settings.section.where,
                fix="one of msgpack, json, json_lines, json_stream",
            )
        self._json = JsonShape(settings)
        self._write = write

    def flush(self, tag: str, events: list[Event]) -> Result:
        if self._format != "msgpack":
            data = self._json.encode(self._format, events)
            self._write(data if data.endswith(b"\n") else data + b"\n")
            return Result.OK
        lines = []
        for number, (time, record) in enumerate(events):
            seconds, rest = divmod(time, 1_000_000_000)
            fields = ", ".join(
                f'"{key}"=>'.encode("utf-8", "replace") .decode()
                + to_json(value).decode() for key, value in record.items()
            )  # fmt: skip
            lines.append(f"[{number}] {tag}: [[{seconds}.{rest:09d}, {{}}], {{{fields}}}]\n")
        self._write("".join(lines).encode("utf-8", "replace"))
        return Result.OK

    def close(self) -> None:
        return None


class FileOutput:
    """Appends to Path/File (File: the tag, if it is not given)."""

    name = "file"
    tls = False

    def __init__(self, settings: Settings, log: Log) -> None:
        self._log = log
        self._path = Path(settings.text("path") or ".")
        self._file = settings.text("file")
        self._format = (settings.text("format") or "").lower()
        self._makes_directory = settings.boolean("mkdir")
        if self._format not in ("", "plain"):
            raise BadInput(
                f"file: format {self._format!r} is not interpreted by the stand-in",
                where=settings.section.where,
                fix="leave Format out, or write `Format plain`",
            )

    def flush(self, tag: str, events: list[Event]) -> Result:
        lines = []
        for time, record in events:
            head = f"{tag}: [{time // 10**9}.{time % 10**9:09d}, ".encode("utf-8", "replace")
            body = to_json(record)
            lines.append(body + b"\n" if self._format else head + body + b"]\n")
        try:
            if self._makes_directory:
                self._path.mkdir(parents=True, exist_ok=True)
            with (self._path / (self._file or tag)).open("ab") as file:
                file.write(b"".join(lines))
        except OSError as error:
            self._log("error", "output:file", f"error opening: {error}")
            return Result.ERROR
        return Result.OK

    def close(self) -> None:
        return None
