"""The two JSONs of the router, held against each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hikkoshi.router import codec
from hikkoshi.router.forward import NANOSECOND, Moment, read_message, read_plain


@pytest.fixture(autouse=True, scope="module")
def both_loaded() -> Iterator[None]:
    codec.quicken().join()
    loaded.append((codec._quick_decode, codec._quick_encode))
    assert None not in loaded[0]
    yield
    codec._quick_decode = codec._quick_encode = None


loaded: list[tuple[Any, Any]] = []


def both(call: Any, value: Any) -> tuple[Any, Any]:
    """What comes out before and after `quicken`; of an error its kind."""
    found = []
    for codec._quick_decode, codec._quick_encode in [(None, None), loaded[0]]:
        try:
            found.append(call(value))
        except (ValueError, RecursionError, TypeError) as error:
            found.append(type(error))
    return found[0], found[1]


@pytest.mark.parametrize(
    "text",
    ['{"a":1,"b":[1.5,true,null]}', "{", "{not json}", '{"a":NaN}', '{"a":"\\ud800"}',
     '{"a":1e400}', '{"a":\udcff}', '{"a":"\udcff"}', '{"a":1} x', "{" * 5000, '{"a":"\x01"}', "7",
     '{"n":123456789012345678901234567890}', '{"a":1,"a":2}'],
)  # fmt: skip
def test_text_is_read_alike(text: str) -> None:
    slow, quick = both(codec.from_json, text)
    assert repr(slow) == repr(quick) or {slow, quick} <= {ValueError, json.JSONDecodeError}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=3)
    | st.text(max_size=5)
    | st.sampled_from([Moment(5), msgpack.ExtType(1, b"x"), "\udcff\udcfe", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=3), _VALUES, max_size=4), max_size=3))
def test_records_are_written_alike(records: list[dict[str, Any]]) -> None:
    slow, quick = both(codec.to_json, records)
    if isinstance(slow, bytes):
        assert json.loads(quick) == json.loads(slow)
    else:
        assert slow is quick


def test_what_is_no_number_is_null() -> None:
    for written in both(codec.to_json, [{"a": float("nan"), "b": [float("inf")], "c": b"\xff"}]):
        assert json.loads(written) == [{"a": None, "b": [None], "c": "\ufffd"}]


@pytest.mark.parametrize(
    ("message", "is_plain"),
    [
        (["app", 7, {"log": "x"}], True),
        (["app", Moment(7), {"log": "x"}], True),
        (["other", 7, {"log": "x"}], False),
        (["app", 7, {"log": "x"}, {}], False),
        (["app", 7, {b"log": "x"}], False),
        (["app", True, {"log": "x"}], False),
        (["app", 7.5, {"log": "x"}], False),
        (["app", [[7, {}]], {"log": "x"}], False),
        (["app", [7, {}]], False),
        (None, False),
    ],
)
def test_the_short_way_reads_what_the_long_one_reads(message: Any, is_plain: bool) -> None:
    event = read_plain(message, "app")
    assert (event is not None) == is_plain
    if event is not None:
        found = read_message(message, 1000)
        assert found is not None and found[1] == [event]
        assert event[0] in (7, 7 * NANOSECOND)
