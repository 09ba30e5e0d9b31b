"""One end of a data channel, without input or output: order, acknowledgements, sending again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hikkoshi.session.message import (
    ACKNOWLEDGE,
    CHANNEL_CLOSED,
    INPUT,
    OUTPUT,
    PAUSE_PUBLICATION,
    START_PUBLICATION,
    MalformedMessage,
    Message,
    acknowledgement,
    decode,
    encode,
)

RESEND_AFTER_S = 0.3
MAX_RESENDS = 100
MAX_AHEAD = 10_000
"""Messages kept that came before their turn, as session-manager-plugin keeps them."""


@dataclass(slots=True)
class _Sent:
    data: bytes
    at: float
    times: int = 1


@dataclass(frozen=True, slots=True)
class Received:
    """What came of one frame: to be sent back at once, and to be worked on, in order."""

    replies: tuple[bytes, ...] = ()
    messages: tuple[Message, ...] = ()


class Channel:
    """kind: what this end sends (INPUT for the client, OUTPUT for the agent)."""

    def __init__(self, kind: str, monotonic: Callable[[], float]) -> None:
        self._kind = kind
        self._other = OUTPUT if kind == INPUT else INPUT
        self._monotonic = monotonic
        self._next = 0
        self._expected = 0
        self._ahead: dict[int, Message] = {}
        self._sent: dict[int, _Sent] = {}
        self.is_paused = False

    @property
    def unacknowledged(self) -> int:
        return len(self._sent)

    def send(self, payload_type: int, payload: bytes) -> bytes:
        """The frame to send now; it is kept until the other end has acknowledged it."""
        message = Message(self._kind, payload, payload_type, self._next)
        if self._next == 0:
            message = replace(message, flags=1)
        data = encode(message)
        self._sent[self._next] = _Sent(data, self._monotonic())
        self._next += 1
        return data

    def receive(self, data: bytes) -> Received:
        """Raises MalformedMessage. A message that was worked on already is acknowledged again,
        since the acknowledgement may have been lost."""
        message = decode(data)
        if message.type == ACKNOWLEDGE:
            self._acknowledged(message)
            return Received()
        if message.type in (PAUSE_PUBLICATION, START_PUBLICATION):
            self.is_paused = message.type == PAUSE_PUBLICATION
            return Received()
        if message.type == CHANNEL_CLOSED:
            return Received(messages=(message,))
        if message.type != self._other:
            return Received()
        if message.sequence > self._expected + MAX_AHEAD:
            return Received()
        replies = (encode(acknowledgement(message)),)
        if message.sequence < self._expected:
            return Received(replies)
        self._ahead[message.sequence] = message
        ready = []
        while self._expected in self._ahead:
            ready.append(self._ahead.pop(self._expected))
            self._expected += 1
        return Received(replies, tuple(ready))

    def _acknowledged(self, message: Message) -> None:
        sequence = message.document().get("AcknowledgedMessageSequenceNumber")
        if not isinstance(sequence, int):
            raise MalformedMessage("an acknowledgement without a sequence number")
        self._sent.pop(sequence, None)

    def due(self) -> list[bytes]:
        """Frames to send again. ConnectionError when the other end never acknowledges."""
        now = self._monotonic()
        again = []
        for sent in self._sent.values():
            if now - sent.at < RESEND_AFTER_S:
                continue
            if sent.times > MAX_RESENDS:
                raise ConnectionError("the other end of the session does not answer")
            sent.at, sent.times = now, sent.times + 1
            again.append(sent.data)
        return again
