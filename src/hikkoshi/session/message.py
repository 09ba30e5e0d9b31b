"""The binary message of the data channel.

Big-endian: header length (116), type (32 bytes, space-padded), schema version, created (ms since
the epoch), sequence number, flags, id (16 bytes, the least significant half first), SHA-256 of the
payload, payload type, payload length; then the payload. Source: session-manager-plugin's
`src/message` (Apache-2.0), whose own reader is what the tests hold this against.
"""

from __future__ import annotations

import enum
import hashlib
import json
import struct
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

INPUT = "input_stream_data"
OUTPUT = "output_stream_data"
ACKNOWLEDGE = "acknowledge"
CHANNEL_CLOSED = "channel_closed"
START_PUBLICATION = "start_publication"
PAUSE_PUBLICATION = "pause_publication"

_HEADER = struct.Struct(">I32sIQqQ16s32sI")
_LENGTH = struct.Struct(">I")
HEADER_LENGTH = _HEADER.size
MAX_PAYLOAD = 1 << 20
"""Bytes; AWS's agent sends pieces of 1 KiB."""


class Payload(enum.IntEnum):
    NONE = 0
    OUTPUT = 1
    ERROR = 2
    SIZE = 3
    PARAMETER = 4
    HANDSHAKE_REQUEST = 5
    HANDSHAKE_RESPONSE = 6
    HANDSHAKE_COMPLETE = 7
    ENCRYPTION_CHALLENGE_REQUEST = 8
    ENCRYPTION_CHALLENGE_RESPONSE = 9
    FLAG = 10
    STANDARD_ERROR = 11
    EXIT_CODE = 12


TERMINATE_SESSION = 2
"""A FLAG's payload, as four bytes."""


class MalformedMessage(ValueError):
    """Bytes that are no message; the text says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Message:
    """payload_type is a number, since a newer agent may send one that is not in `Payload`."""

    type: str
    payload: bytes = b""
    payload_type: int = Payload.NONE
    sequence: int = 0
    flags: int = 0
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    created_ms: int = field(default_factory=lambda: int(time.time() * 1000))
    schema_version: int = 1

    def document(self) -> dict[str, Any]:
        """The payload as a JSON object. Raises MalformedMessage."""
        try:
            found = json.loads(self.payload)
        except (ValueError, RecursionError) as error:
            raise MalformedMessage(f"the payload of {self.type} is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise MalformedMessage(f"the payload of {self.type} is not a JSON object")
        return found


def encode(message: Message) -> bytes:
    header = _HEADER.pack(
        HEADER_LENGTH,
        message.type.encode("ascii").ljust(32),
        message.schema_version,
        message.created_ms,
        message.sequence,
        message.flags,
        message.id.bytes[8:] + message.id.bytes[:8],
        hashlib.sha256(message.payload).digest(),
        message.payload_type,
    )
    return header + _LENGTH.pack(len(message.payload)) + message.payload


def decode(data: bytes) -> Message:
    """Raises MalformedMessage."""
    if len(data) < HEADER_LENGTH + _LENGTH.size:
        raise MalformedMessage(f"a message of {len(data)} bytes is shorter than its header")
    length, kind, version, created, sequence, flags, raw_id, digest, payload_type = (
        _HEADER.unpack_from(data)
    )
    # A newer header may be longer; the payload's length always stands right behind it.
    if length < HEADER_LENGTH or length + _LENGTH.size > len(data):
        raise MalformedMessage(f"a header of {length} bytes does not fit the message")
    (payload_length,) = _LENGTH.unpack_from(data, length)
    payload = data[length + _LENGTH.size :]
    if payload_length != len(payload) or payload_length > MAX_PAYLOAD:
        raise MalformedMessage(
            f"the payload has {len(payload)} bytes, the header says {payload_length}"
        )
    if payload and hashlib.sha256(payload).digest() != digest:
        raise MalformedMessage("the payload does not have the digest that the header says")
    try:
        name = kind.decode("ascii").strip(" \0")
    except UnicodeDecodeError as error:
        raise MalformedMessage("the message's type is not ASCII") from error
    identity = uuid.UUID(bytes=raw_id[8:] + raw_id[:8])
    return Message(name, payload, payload_type, sequence, flags, identity, created, version)


def acknowledgement(message: Message) -> Message:
    body = {
        "AcknowledgedMessageType": message.type,
        "AcknowledgedMessageId": str(message.id),
        "AcknowledgedMessageSequenceNumber": message.sequence,
        "IsSequentialMessage": True,
    }
    # 3: the flags of a message that stands alone (start and end of its sequence).
    return Message(ACKNOWLEDGE, json.dumps(body).encode(), flags=3)
