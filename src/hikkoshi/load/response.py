"""Reading an HTTP/1.1 answer as it arrives. Bodies are counted, not kept."""

from __future__ import annotations

from dataclasses import dataclass

from hikkoshi.load.failures import Failure

MAX_HEAD_BYTES = 64 * 1024
MAX_LINE_BYTES = 8 * 1024


class Unreadable(Exception):
    """The answer cannot be read on; `failure` is the kind it counts as."""

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure
        self.detail = detail


def _bad(detail: str) -> Unreadable:
    return Unreadable(Failure.BAD_RESPONSE, detail)


@dataclass(frozen=True, slots=True)
class Head:
    """length: bytes of body; None when it is chunked, or ends where the connection does. raw: the
    status line and headers as they came."""

    status: int
    length: int | None
    is_chunked: bool
    is_kept_alive: bool
    marked: str = ""
    raw: bytes = b""


def parse_head(head: bytes, mark: bytes = b"") -> Head:
    """The status line and headers, up to and with the blank line.

    mark: a header, in lower case, whose value is handed out as `marked`.
    Raises Unreadable when it is not HTTP/1.x.
    """
    lines = head[:-4].split(b"\r\n")
    version, _, rest = lines[0].partition(b" ")
    status_text = rest[:3]
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or len(status_text) != 3:
        raise _bad(f"not an HTTP/1.1 status line: {lines[0][:60]!r}")
    if not status_text.isdigit() or rest[3:4] not in (b"", b" "):
        raise _bad(f"not an HTTP/1.1 status line: {lines[0][:60]!r}")
    length: int | None = None
    is_chunked = has_coding = False
    is_kept_alive = version == b"HTTP/1.1"
    marked = ""
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon:
            if line[:1] in (b" ", b"\t"):
                continue
            raise _bad(f"not a header: {line[:60]!r}")
        if name[-1:] in (b" ", b"\t"):  # RFC 9112, 5.1: what it means is anybody's guess
            raise _bad(f"a space before a header's colon: {line[:60]!r}")
        name = name.lower()
        if name == b"content-length":
            told = _length(value.strip())
            if length is not None and told != length:
                raise _bad("two Content-Lengths that differ")
            length = told
        elif name == b"transfer-encoding":
            has_coding = True
            is_chunked = value.lower().rpartition(b",")[2].strip() == b"chunked"
        elif name == b"connection":
            options = {option.strip() for option in value.lower().split(b",")}
            if b"close" in options:
                is_kept_alive = False
            elif b"keep-alive" in options:
                is_kept_alive = True
        elif mark and name == mark:
            marked = value.strip().decode("latin-1")
    if has_coding:
        length = None
    status = int(status_text)
    if status < 100:
        raise _bad(f"there is no status {status}")
    return Head(status, length, is_chunked, is_kept_alive, marked, head)


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise _bad(f"Content-Length is {value[:40]!r}")
    return int(value)


class ResponseReader:
    """Takes an answer in pieces of any size.

    `feed` is True when the answer is whole; then `status`, `bytes_in` (body bytes, without
    framing), `head` and `is_reusable` hold. `finish` is for the end of the connection.
    most_body: how much of the body is kept in `body`; 0 keeps none, more than it is TooLarge.
    """

    __slots__ = (
        "_buffer",
        "_is_head",
        "_left",
        "_mark",
        "_most_body",
        "_state",
        "body",
        "bytes_in",
        "head",
        "is_reusable",
    )

    def __init__(self, is_head: bool = False, mark: bytes = b"", most_body: int = 0) -> None:
        self._is_head = is_head
        self._mark = mark
        self._most_body = most_body
        self.body = bytearray()
        self._buffer = b""
        self._state = "head"
        self._left = 0
        self.head: Head | None = None
        self.bytes_in = 0
        self.is_reusable = False

    def feed(self, data: bytes) -> bool:
        """Raises Unreadable (BadResponse, TooLarge)."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        while True:
            if self._state == "head":
                rest = self._take_head(data)
                if rest is None:
                    return False
                data = rest
            elif self._state == "until close":
                self._take_body(data)
                return False
            elif self._state == "length":
                taken = min(self._left, len(data))
                self._take_body(data[:taken])
                self._left -= taken
                if self._left:
                    return False
                return self._whole(data[taken:])
            else:
                rest = self._take_chunk(data)
                if rest is None:
                    return False
                if self._state == "done":
                    return self._whole(rest)
                data = rest

    def finish(self) -> bool:
        """The connection ended. True when that is a proper end of the answer."""
        return self._state == "until close"

    def _take_body(self, data: bytes) -> None:
        self.bytes_in += len(data)
        if self._most_body:
            if self.bytes_in > self._most_body:
                told = f"a body above {self._most_body} bytes, which --expect would have to keep"
                raise Unreadable(Failure.TOO_LARGE, told)
            self.body += data

    def _take_head(self, data: bytes) -> bytes | None:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            start = data[:7]
            if start != b"HTTP/1."[: len(start)]:
                raise _bad(f"not HTTP/1.1: {data[:40]!r}")
            if b"\n\n" in data:
                raise _bad("header lines end in LF alone")
            if len(data) > MAX_HEAD_BYTES:
                raise Unreadable(Failure.TOO_LARGE, f"headers above {MAX_HEAD_BYTES} bytes")
            self._buffer = data
            return None
        if end > MAX_HEAD_BYTES:
            raise Unreadable(Failure.TOO_LARGE, f"headers above {MAX_HEAD_BYTES} bytes")
        head = parse_head(data[: end + 4], self._mark)
        rest = data[end + 4 :]
        if 100 <= head.status < 200 and head.status != 101:
            return rest
        self.head = head
        if self._is_head or head.status in (101, 204, 304):
            self._state, self._left = "length", 0
        elif head.is_chunked:
            self._state = "chunk size"
        elif head.length is not None:
            self._state, self._left = "length", head.length
        else:
            self._state = "until close"
        return rest

    def _take_chunk(self, data: bytes) -> bytes | None:
        if self._state == "chunk":
            taken = min(self._left, len(data))
            self._take_body(data[:taken])
            self._left -= taken
            if self._left:
                return None
            self._state = "chunk end"
            return data[taken:]
        if self._state == "chunk end":
            if len(data) < 2:
                self._buffer = data
                return None
            if data[:2] != b"\r\n":
                raise _bad("a chunk does not end in CRLF")
            self._state = "chunk size"
            return data[2:]
        end = data.find(b"\r\n")
        if end < 0:
            if len(data) > MAX_LINE_BYTES:
                raise Unreadable(Failure.TOO_LARGE, "a chunk's line above 8 KiB")
            self._buffer = data
            return None
        line, rest = data[:end], data[end + 2 :]
        if self._state == "trailer":
            if not line:
                self._state = "done"
            self._left += len(line)
            if self._left > MAX_HEAD_BYTES:
                raise Unreadable(Failure.TOO_LARGE, f"trailers above {MAX_HEAD_BYTES} bytes")
            return rest
        size = line.partition(b";")[0].strip()
        try:
            if not size or len(size) > 15 or not size.isalnum():
                raise ValueError
            count = int(size, 16)
        except ValueError:
            raise _bad(f"not a chunk size: {line[:40]!r}") from None
        if count:
            self._state, self._left = "chunk", count
        else:
            self._state, self._left = "trailer", 0
        return rest

    def _whole(self, rest: bytes) -> bool:
        assert self.head is not None
        self.is_reusable = self.head.is_kept_alive and not rest and self.head.status != 101
        return True
