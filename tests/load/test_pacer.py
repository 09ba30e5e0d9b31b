"""The pacer is arithmetic: every due moment is the inverse of the rate's integral."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.base.errors import BadInput
from hikkoshi.load.pacer import (
    Pacer,
    Stage,
    Stages,
    constant,
    from_json,
    parse_stages,
    ramp,
    sine,
    spike,
    steps,
)


def test_a_constant_rate_is_evenly_spaced() -> None:
    pacer = constant(1000, 6)
    assert pacer.count == 6000
    assert [pacer.due(k) for k in (0, 1, 2500, 5999)] == pytest.approx([0, 0.001, 2.5, 5.999])


def test_a_ramp_from_nought_follows_the_square_root() -> None:
    pacer = ramp(0, 100, 10)
    assert pacer.count == 500
    assert pacer.due(125) == pytest.approx(5.0)
    assert pacer.rate(5) == pytest.approx(50)


def test_a_ramp_down_to_nought_ends_in_time() -> None:
    pacer = ramp(100, 0, 10)
    assert pacer.count == 500
    assert pacer.due(375) == pytest.approx(5.0)
    assert pacer.due(499) < 10


def test_stages_follow_one_another_and_a_pause_sends_nothing() -> None:
    pacer = Stages([Stage(10, 10, 2), Stage(0, 0, 5), Stage(20, 20, 1)])
    assert pacer.count == 40
    assert pacer.due(19) == pytest.approx(1.9)
    assert pacer.due(20) == pytest.approx(7.0)
    assert pacer.due(39) == pytest.approx(7.95)
    assert [pacer.rate(t) for t in (1, 3, 7.5, 8, -1)] == [10, 0, 20, 0, 0]


def test_spike_and_steps() -> None:
    assert spike(10, 100, 2, 1, 2).count == 140
    assert steps((10, 20), 3).count == 90


@pytest.mark.parametrize("pacer", [sine(50, 50, 4, 10), sine(1000, 300, 7.3, 3), sine(3, 0, 1, 9)])
def test_a_sine_is_inverted(pacer: Stages) -> None:
    for k in range(pacer.count):
        assert pacer.integral(pacer.due(k)) == pytest.approx(k, abs=1e-5)


rates = st.floats(0, 5000, allow_nan=False)


@given(st.lists(st.tuples(rates, rates, st.floats(0.1, 20)), min_size=1, max_size=5))
def test_due_is_the_inverse_of_the_integral(parts: list[tuple[float, float, float]]) -> None:
    pacer = Stages([Stage(*part) for part in parts])
    ks = sorted({min(pacer.count - 1, int(pacer.count * i / 50)) for i in range(51)})
    moments = [pacer.due(k) for k in ks if k >= 0]
    assert all(a <= b + 1e-9 for a, b in pairwise(moments))
    for k, moment in zip((k for k in ks if k >= 0), moments, strict=True):
        assert 0 <= moment <= pacer.duration_s + 1e-9
        assert pacer.integral(moment) == pytest.approx(k, rel=1e-6, abs=1e-4)


@pytest.mark.parametrize("pacer", [parse_stages("0..5/2s,5/1m"), sine(5, 2, 3, 4)])
def test_a_pacer_survives_json(pacer: Pacer) -> None:
    again = from_json(pacer.as_json())
    assert (again.count, again.duration_s) == (pacer.count, pacer.duration_s)
    assert again.due(3) == pacer.due(3)


def test_stages_as_people_write_them() -> None:
    pacer = parse_stages("0..500/30s, 500/1m30s")
    assert pacer.stages == (Stage(0, 500, 30), Stage(500, 500, 90))
    assert pacer.count == math.ceil(7500 + 45000)


@pytest.mark.parametrize("text", ["", "500", "500/", "a..b/3s", "5/0s", "-5/3s", "5/3s,,5/3s"])
def test_bad_stages_name_the_stage_and_the_form(text: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_stages(text)
    assert error.value.where in ("stage 1", "stage 2")
    assert "RATE/DURATION" in str(error.value)


def test_shares_of_several_workers_are_the_whole() -> None:
    pacer = ramp(10, 100, 3)
    whole = [pacer.due(k) for k in range(pacer.count)]
    shares = [pacer.due(k) for first in range(3) for k in range(first, pacer.count, 3)]
    assert sorted(shares) == whole
