"""Go's gob encoding, as far as vegeta's results need it.

Source: https://pkg.go.dev/encoding/gob, "Encoding Details". A stream is of messages: a length, a
type id, and either the definition of a type (id below nought) or a value. Reading takes the
definitions from the stream and so does not depend on vegeta's order of fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from hikkoshi.base.errors import BadInput
from hikkoshi.load.vegeta.hit import Hit

# Seconds from the year 1, where Go's time begins, to 1970.
_TO_1970 = 62_135_596_800
_BOOL, _INT, _UINT, _FLOAT, _BYTES, _STRING = 1, 2, 3, 4, 5, 6
_LARGEST_MESSAGE = 1 << 30
_FIX = "give results as `vegeta attack` writes them"


@dataclass(frozen=True, slots=True)
class _Struct:
    fields: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class _Slice:
    element: int


@dataclass(frozen=True, slots=True)
class _Map:
    key: int
    element: int


@dataclass(frozen=True, slots=True)
class _Marshalled:
    """A type that writes itself as bytes, as time.Time does."""


_Type = _Struct | _Slice | _Map | _Marshalled
# The types that definitions themselves are written in (the ids are our own).
_WIRE, _COMMON, _FIELDS, _FIELD, _ONE, _TWO, _STRUCT_T = range(1000, 1007)
_BOOTSTRAP: dict[int, _Type] = {
    _COMMON: _Struct((("Name", _STRING), ("Id", _INT))),
    _FIELD: _Struct((("Name", _STRING), ("Id", _INT))),
    _FIELDS: _Slice(_FIELD),
    _STRUCT_T: _Struct((("Common", _COMMON), ("Field", _FIELDS))),
    _ONE: _Struct((("Common", _COMMON), ("Elem", _INT), ("Len", _INT))),
    _TWO: _Struct((("Common", _COMMON), ("Key", _INT), ("Elem", _INT))),
    _WIRE: _Struct(
        (("Array", _ONE), ("Slice", _ONE), ("Struct", _STRUCT_T), ("Map", _TWO),
         ("Gob", _ONE), ("Binary", _ONE), ("Text", _ONE))
    ),
}  # fmt: skip


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def unsigned(self) -> int:
        first = self.data[self.at]
        self.at += 1
        if first < 128:
            return first
        size = 256 - first
        if size > 8:
            raise ValueError("a number of more than 8 bytes")
        return int.from_bytes(self.take(size), "big")

    def signed(self) -> int:
        number = self.unsigned()
        return ~(number >> 1) if number & 1 else number >> 1

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise ValueError("a message that ends too soon")
        taken = self.data[self.at : self.at + size]
        self.at += size
        return taken


class _Reader:
    def __init__(self) -> None:
        self._types = dict(_BOOTSTRAP)

    def define(self, number: int, cursor: _Cursor) -> None:
        wire = self.value(_WIRE, cursor)
        if "Struct" in wire:
            fields = wire["Struct"].get("Field", [])
            self._types[number] = _Struct(
                tuple((field.get("Name", ""), field.get("Id", 0)) for field in fields)
            )
        elif "Map" in wire:
            self._types[number] = _Map(wire["Map"].get("Key", 0), wire["Map"].get("Elem", 0))
        elif "Slice" in wire:
            self._types[number] = _Slice(wire["Slice"].get("Elem", 0))
        elif wire.keys() & {"Gob", "Binary", "Text"}:
            self._types[number] = _Marshalled()
        else:
            raise ValueError("a type that vegeta does not use")

    def value(self, number: int, cursor: _Cursor) -> Any:
        if number == _INT:
            return cursor.signed()
        if number == _UINT:
            return cursor.unsigned()
        if number == _STRING:
            return cursor.take(cursor.unsigned()).decode("utf-8", "replace")
        if number == _BYTES:
            return cursor.take(cursor.unsigned())
        if number == _BOOL:
            return bool(cursor.unsigned())
        kind = self._types.get(number)
        if isinstance(kind, _Struct):
            return self._struct(kind, cursor)
        if isinstance(kind, _Slice):
            return [self.value(kind.element, cursor) for _ in range(cursor.unsigned())]
        if isinstance(kind, _Map):
            return {
                self.value(kind.key, cursor): self.value(kind.element, cursor)
                for _ in range(cursor.unsigned())
            }
        if isinstance(kind, _Marshalled):
            return cursor.take(cursor.unsigned())
        raise ValueError(f"type {number} is not defined")

    def _struct(self, kind: _Struct, cursor: _Cursor) -> dict[str, Any]:
        found = {}
        at = -1
        while delta := cursor.unsigned():
            at += delta
            if at >= len(kind.fields):
                raise ValueError("a field that is not defined")
            name, number = kind.fields[at]
            found[name] = self.value(number, cursor)
        return found


def read_gob(file: IO[bytes], where: str) -> Iterator[Hit]:
    """A torn last message is ignored, as of an attack that was killed. BadInput tells which
    message cannot be read."""
    reader = _Reader()
    count = 0
    while (message := _message(file, where)) is not None:
        count += 1
        cursor = _Cursor(message)
        try:
            number = cursor.signed()
            if number < 0:
                reader.define(-number, cursor)
                continue
            yield _hit(reader.value(number, cursor))
        except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(
                f"not a result of vegeta: {error}", where=f"{where}: message {count}", fix=_FIX
            ) from error


def _message(file: IO[bytes], where: str) -> bytes | None:
    head = file.read(1)
    if not head:
        return None
    if head[0] >= 128:
        head += file.read(256 - head[0])
    try:
        size = _Cursor(head).unsigned()
    except (ValueError, IndexError) as error:
        raise BadInput("not gob", where=where, fix=_FIX) from error
    if size > _LARGEST_MESSAGE:
        raise BadInput(f"a message of {size} bytes: not vegeta's", where=where, fix=_FIX)
    message = file.read(size)
    return message if len(message) == size else None


def _hit(found: dict[str, Any]) -> Hit:
    return Hit(
        attack=found.get("Attack", ""),
        seq=found.get("Seq", 0),
        code=found.get("Code", 0),
        timestamp_ns=_nanoseconds(found["Timestamp"]),
        latency_ns=found.get("Latency", 0),
        bytes_out=found.get("BytesOut", 0),
        bytes_in=found.get("BytesIn", 0),
        error=found.get("Error", ""),
        method=found.get("Method", ""),
        url=found.get("URL", ""),
        body=found.get("Body", b""),
        headers=found.get("Headers"),
    )


def _nanoseconds(packed: bytes) -> int:
    """time.Time's own form: a version, seconds since the year 1, nanoseconds, offset."""
    if len(packed) < 15 or packed[0] not in (1, 2):
        raise ValueError("a time in another form")
    seconds = int.from_bytes(packed[1:9], "big") - _TO_1970
    return seconds * 1_000_000_000 + int.from_bytes(packed[9:13], "big")


def write_gob(hits: Iterable[Hit], file: IO[bytes]) -> int:
    file.write(_definitions())
    count = 0
    for hit in hits:
        body = _signed(_RESULT) + _struct([
            _text(hit.attack), _number(hit.seq), _number(hit.code), _bytes(_time(hit.timestamp_ns)),
            _signed(hit.latency_ns) if hit.latency_ns else None, _number(hit.bytes_out),
            _number(hit.bytes_in), _text(hit.error), _bytes(hit.body) if hit.body else None,
            _text(hit.method), _text(hit.url), _header(hit.headers),
        ])  # fmt: skip
        file.write(_unsigned(len(body)) + body)
        count += 1
    return count


_RESULT, _TIME, _STRINGS, _HEADER = 64, 65, 66, 67
_FIELDS_OF_RESULT = (
    ("Attack", _STRING), ("Seq", _UINT), ("Code", _UINT), ("Timestamp", _TIME), ("Latency", _INT),
    ("BytesOut", _UINT), ("BytesIn", _UINT), ("Error", _STRING), ("Body", _BYTES),
    ("Method", _STRING), ("URL", _STRING), ("Headers", _HEADER),
)  # fmt: skip


def _definitions() -> bytes:
    fields = b"".join(_struct([_text(name), _signed(number)]) for name, number in _FIELDS_OF_RESULT)
    result = _struct([
        _struct([_text("Result"), _signed(_RESULT)]), _unsigned(len(_FIELDS_OF_RESULT)) + fields
    ])  # fmt: skip
    time = _struct([_struct([_text("Time"), _signed(_TIME)])])
    strings = _struct([_struct([None, _signed(_STRINGS)]), _signed(_STRING)])
    header = _struct([
        _struct([_text("Header"), _signed(_HEADER)]), _signed(_STRING), _signed(_STRINGS)
    ])  # fmt: skip
    return b"".join((
        _definition(_RESULT, 3, result), _definition(_TIME, 5, time),
        _definition(_HEADER, 4, header), _definition(_STRINGS, 2, strings),
    ))  # fmt: skip


def _definition(number: int, kind: int, value: bytes) -> bytes:
    """kind: which field of the definition's struct holds it."""
    body = _signed(-number) + _struct([*[None] * (kind - 1), value])
    return _unsigned(len(body)) + body


def _struct(values: list[bytes | None]) -> bytes:
    """None: a field that is nought or empty, which is not sent."""
    parts = []
    delta = 1
    for value in values:
        if value is None:
            delta += 1
            continue
        parts += [_unsigned(delta), value]
        delta = 1
    return b"".join(parts) + b"\x00"


def _unsigned(number: int) -> bytes:
    if number < 128:
        return bytes((number,))
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes((256 - len(raw),)) + raw


def _signed(number: int) -> bytes:
    return _unsigned((~number << 1) | 1 if number < 0 else number << 1)


def _number(number: int) -> bytes | None:
    return _unsigned(number) if number else None


def _bytes(data: bytes) -> bytes:
    return _unsigned(len(data)) + data


def _text(text: str) -> bytes | None:
    return _bytes(text.encode()) if text else None


def _time(nanoseconds: int) -> bytes:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    # -1: the offset of UTC.
    return b"\x01" + (seconds + _TO_1970).to_bytes(8, "big") + rest.to_bytes(4, "big") + b"\xff\xff"


def _header(headers: Any) -> bytes | None:
    if not headers:
        return None
    parts = [_unsigned(len(headers))]
    for name, values in headers.items():
        parts += [_bytes(name.encode()), _unsigned(len(values))]
        parts += [_bytes(value.encode()) for value in values]
    return b"".join(parts)
