"""The data channel's messages and their order, without a network."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.base.clock import FakeClock
from hikkoshi.session.channel import MAX_RESENDS, RESEND_AFTER_S, Channel
from hikkoshi.session.message import (
    ACKNOWLEDGE,
    INPUT,
    OUTPUT,
    MalformedMessage,
    Message,
    Payload,
    decode,
    encode,
)


def test_the_layout_is_the_plugin_s():
    """Offsets as session-manager-plugin's clientmessage.go has them."""
    message = Message(INPUT, b"ls\r", Payload.OUTPUT, sequence=7, created_ms=0x0102030405060708)
    data = encode(message)
    assert data[:4] == b"\0\0\0\x74", "116, where the payload's length stands"
    assert data[4:36] == b"input_stream_data" + b" " * 15
    assert data[36:40] == b"\0\0\0\x01"
    assert data[40:48] == bytes(range(1, 9))
    assert struct.unpack(">q", data[48:56]) == (7,)
    assert data[64:80] == message.id.bytes[8:] + message.id.bytes[:8]
    assert data[112:116] == b"\0\0\0\x01"
    assert data[116:] == b"\0\0\0\x03ls\r"


@given(st.binary(max_size=3000), st.integers(0, 2**62), st.integers(0, 2**32 - 1))
def test_a_message_comes_back_as_it_was(payload, sequence, payload_type):
    message = Message(OUTPUT, payload, payload_type, sequence)
    assert decode(encode(message)) == message


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_malformed(data):
    try:
        decode(data)
    except MalformedMessage as error:
        assert str(error)


@given(st.integers(0, 121), st.integers(1, 255))
def test_a_message_with_a_wrong_byte_never_gives_another_payload(place, change):
    data = bytearray(encode(Message(OUTPUT, b"hello", Payload.OUTPUT, 3)))
    data[place] ^= change
    with contextlib.suppress(MalformedMessage):
        assert decode(bytes(data)).payload == b"hello"


@given(st.permutations(range(8)), st.lists(st.integers(0, 7), max_size=8))
def test_what_comes_in_any_order_and_twice_is_given_once_and_in_order(order, again):
    clock = FakeClock()
    agent, client = Channel(OUTPUT, clock.monotonic), Channel(INPUT, clock.monotonic)
    frames = [agent.send(Payload.OUTPUT, bytes([n])) for n in range(8)]
    seen = []
    for number in [*order, *again]:
        received = client.receive(frames[number])
        seen += [message.payload[0] for message in received.messages]
        (reply,) = received.replies
        assert decode(reply).type == ACKNOWLEDGE
        agent.receive(reply)
    assert seen == list(range(8))
    assert agent.unacknowledged == 0


def test_what_nobody_acknowledges_is_sent_again_and_given_up_in_the_end():
    clock = FakeClock()
    channel = Channel(INPUT, clock.monotonic)
    frame = channel.send(Payload.OUTPUT, b"x")
    assert channel.due() == []
    for _ in range(MAX_RESENDS):
        clock.advance(RESEND_AFTER_S * 1.01)
        assert channel.due() == [frame]
    clock.advance(RESEND_AFTER_S * 1.01)
    with pytest.raises(ConnectionError, match="does not answer"):
        channel.due()
