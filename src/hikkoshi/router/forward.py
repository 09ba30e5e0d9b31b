"""The forward protocol on the wire: what an in_forward reads and an out_forward writes.

https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import msgpack

from hikkoshi.router.event import Event

NANOSECOND = 1_000_000_000
_ALL_TEXT = frozenset({str})


class BadMessage(Exception):
    """What arrived is not the forward protocol; the connection is to be closed."""


class Moment(int):
    """An EventTime, in nanoseconds; a plain integer on the wire is whole seconds instead."""


def _read_extension(code: int, data: bytes) -> Any:
    if code == 0 and len(data) == 8:
        seconds, nanoseconds = struct.unpack(">II", data)
        return Moment(seconds * NANOSECOND + nanoseconds)
    return msgpack.ExtType(code, data)


def unpacker(limit_bytes: int) -> Any:
    """A streaming reader. Text that is no UTF-8 is kept by `surrogateescape`."""
    return msgpack.Unpacker(
        raw=False,
        unicode_errors="surrogateescape",
        strict_map_key=False,
        ext_hook=_read_extension,
        max_buffer_size=limit_bytes,
    )


def pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, unicode_errors="surrogateescape")
    return packed


def event_time(nanoseconds: int) -> msgpack.ExtType:
    return msgpack.ExtType(0, struct.pack(">II", *divmod(nanoseconds, NANOSECOND)))


def read_time(value: Any) -> int:
    """Nanoseconds of any time the protocol knows; newer senders wrap it as [time, metadata]."""
    if type(value) is Moment:
        return int(value)
    if isinstance(value, (list, tuple)) and value:
        return read_time(value[0])
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return int(value * NANOSECOND)
    raise BadMessage(f"a time is a number or an EventTime, not {type(value).__name__}")


def _event(entry: Any) -> Event:
    if not isinstance(entry, (list, tuple)) or len(entry) < 2 or not isinstance(entry[1], dict):
        raise BadMessage("an entry is [time, record]")
    return (read_time(entry[0]), _record(entry[1]))


def _record(record: dict[Any, Any]) -> dict[str, Any]:
    for key in record:
        if type(key) is not str:
            return {_key(key): value for key, value in record.items()}
    return record


def _key(key: Any) -> str:
    return key.decode("utf-8", "surrogateescape") if isinstance(key, bytes) else str(key)


def read_plain(message: Any, tag: str) -> Event | None:
    """The event of a message as FireLens' driver sends it, [tag, time, record] under the tag of the
    one before; None for any other, which `read_message` reads."""
    if type(message) is not list or len(message) != 3 or message[0] != tag:
        return None
    _, time, record = message
    if type(record) is not dict or not _ALL_TEXT.issuperset(map(type, record)):
        return None
    if type(time) is int:
        return time * NANOSECOND, record
    return (int(time), record) if type(time) is Moment else None


def read_message(message: Any, limit_bytes: int) -> tuple[str, list[Event], dict[str, Any]] | None:
    """One decoded message → (tag, events, options); None for a heartbeat. Raises BadMessage."""
    if message is None:
        return None
    if not isinstance(message, (list, tuple)) or len(message) < 2:
        raise BadMessage("a message is an array of at least a tag and entries")
    tag, entries = message[0], message[1]
    if isinstance(tag, bytes):
        tag = tag.decode("utf-8", "surrogateescape")
    if not isinstance(tag, str):
        raise BadMessage("a tag is text")
    if isinstance(entries, (list, tuple)):
        options = message[2] if len(message) > 2 else None
        return tag, [_event(entry) for entry in entries], _options(options)
    if isinstance(entries, (str, bytes)):
        options = _options(message[2] if len(message) > 2 else None)
        raw = entries.encode("utf-8", "surrogateescape") if isinstance(entries, str) else entries
        return tag, list(_packed(raw, options, limit_bytes)), options
    if len(message) < 3 or not isinstance(message[2], dict):
        raise BadMessage("a record is a map")
    options = _options(message[3] if len(message) > 3 else None)
    return tag, [(read_time(entries), _record(message[2]))], options


def _options(options: Any) -> dict[str, Any]:
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise BadMessage("options are a map")
    return options


def _packed(raw: bytes, options: dict[str, Any], limit_bytes: int) -> Iterator[Event]:
    compressed = options.get("compressed")
    if compressed == "gzip":
        raw = gunzip(raw, limit_bytes * 10)
    elif compressed not in (None, "text"):
        raise BadMessage(f"compression {compressed!r} is not interpreted by the stand-in")
    reader = unpacker(max(limit_bytes * 10, len(raw)))
    reader.feed(raw)
    for entry in reader:
        yield _event(entry)


def gunzip(raw: bytes, limit_bytes: int) -> bytes:
    """All members of a gzip stream, at most limit_bytes. Raises BadMessage."""
    out: list[bytes] = []
    size = 0
    while raw:
        stream = zlib.decompressobj(31)
        try:
            data = stream.decompress(raw, limit_bytes - size + 1)
        except zlib.error as error:
            raise BadMessage(f"broken gzip: {error}") from error
        size += len(data)
        if size > limit_bytes:
            raise BadMessage("the message is larger than the limit once decompressed")
        if not stream.eof:
            raise BadMessage("the gzip stream is cut off")
        out.append(data)
        raw = stream.unused_data
    return b"".join(out)


def write_message(tag: str, events: list[Event], options: dict[str, Any], *, whole: bool) -> bytes:
    """The Forward mode's message; whole: times as whole seconds (Time_as_Integer)."""
    entries = [
        [time // NANOSECOND if whole else event_time(time), record] for time, record in events
    ]
    return pack([tag, entries, options])
