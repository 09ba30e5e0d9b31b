"""The reader gives the same answer however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.load.failures import Failure
from hikkoshi.load.response import ResponseReader, Unreadable

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 201 Created\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    b"5;a=b\r\nhello\r\n00A\r\n0123456789\r\n0\r\nX: y\r\n\r\n"
)


def read(data: bytes, cuts: list[int], is_head: bool = False) -> tuple[ResponseReader, bool]:
    reader = ResponseReader(is_head, b"x-group")
    edges = [0, *sorted({cut % len(data) for cut in cuts}), len(data)]
    is_whole = False
    for start, end in pairwise(edges):
        if start != end:
            assert not is_whole, "the answer was called whole before its last byte"
            is_whole = reader.feed(data[start:end])
    return reader, is_whole


@pytest.mark.parametrize(
    ("data", "status", "size", "is_reusable"),
    [
        (LENGTH, 200, 5, True),
        (CHUNKED, 201, 15, True),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", 204, 0, True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + LENGTH,
         200, 5, True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 200, 0, False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", 200, 0, True),
        (b"HTTP/1.1 503\r\nCONNECTION: foo, Close\r\ncontent-LENGTH:2\r\n\r\nno", 503, 2, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 200, 2, True),
    ],
)  # fmt: skip
@given(cuts=st.lists(st.integers(0, 500), max_size=12))
def test_answers_in_any_pieces(
    data: bytes, status: int, size: int, is_reusable: bool, cuts: list[int]
) -> None:
    reader, is_whole = read(data, cuts)
    assert is_whole and reader.head is not None
    assert (reader.head.status, reader.bytes_in) == (status, size)
    assert reader.is_reusable is is_reusable


def test_head_has_no_body_whatever_its_length_says() -> None:
    reader, is_whole = read(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", [], is_head=True)
    assert is_whole and reader.is_reusable and reader.bytes_in == 0


def test_bytes_after_the_answer_end_the_reuse_and_not_the_answer() -> None:
    reader, is_whole = read(LENGTH + b"HTTP/1.1 200", [])
    assert is_whole and not reader.is_reusable and reader.bytes_in == 5


def test_without_a_length_the_end_is_the_end_of_the_connection() -> None:
    reader, is_whole = read(b"HTTP/1.1 200 OK\r\n\r\nhello", [25])
    assert not is_whole and reader.finish() and reader.bytes_in == 5


@pytest.mark.parametrize("data", [LENGTH[:-1], CHUNKED[:-1], LENGTH[:20]])
def test_a_connection_that_ends_early_is_no_answer(data: bytes) -> None:
    reader, is_whole = read(data, [])
    assert not is_whole and not reader.finish()


def test_a_marked_header_is_handed_out() -> None:
    reader, _ = read(b"HTTP/1.1 200 OK\r\nX-Group:  blue \r\nContent-Length: 0\r\n\r\n", [])
    assert reader.head is not None and reader.head.marked == "blue"


@pytest.mark.parametrize(
    ("data", "failure"),
    [
        (b"SSH-2.0-x\r\n", Failure.BAD_RESPONSE),
        (b"HTTP/2 200\r\n\r\n", Failure.BAD_RESPONSE),
        (b"HTTP/1.1 2xx OK\r\n\r\n", Failure.BAD_RESPONSE),
        (b"HTTP/1.1 2000 OK\r\n\r\n", Failure.BAD_RESPONSE),
        (b"HTTP/1.1 099 OK\r\n\r\n", Failure.BAD_RESPONSE),
        (b"HTTP/1.1 200 OK\n\nhello", Failure.BAD_RESPONSE),
        (b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", Failure.BAD_RESPONSE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Failure.BAD_RESPONSE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
         Failure.BAD_RESPONSE),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Failure.BAD_RESPONSE),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", Failure.BAD_RESPONSE),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 9000,
         Failure.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", Failure.BAD_RESPONSE),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
         + b"A: 12345678901234567890\r\n" * 4000, Failure.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000, Failure.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\n\r\n", Failure.TOO_LARGE),
    ],
)  # fmt: skip
def test_what_cannot_be_read_has_a_kind(data: bytes, failure: Failure) -> None:
    with pytest.raises(Unreadable) as error:
        read(data, [])
    assert error.value.failure is failure


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_garbage_never_raises_anything_else(data: bytes, cuts: list[int]) -> None:
    for prefix in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"):
        reader = ResponseReader()
        whole = prefix + data
        edges = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
        try:
            for start, end in pairwise(edges):
                if reader.feed(whole[start:end]):
                    break
        except Unreadable:
            pass
