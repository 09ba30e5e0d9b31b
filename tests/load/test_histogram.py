from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.load.histogram import Histogram, cell_of, top_of

durations = st.lists(st.floats(0, 4000, allow_nan=False), min_size=1, max_size=200)


def filled(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(st.integers(0, 2**40))
def test_every_duration_is_at_or_below_the_top_of_its_cell(value: int) -> None:
    cell = cell_of(value)
    assert value <= top_of(cell)
    assert top_of(cell) - value <= value / 1024
    assert cell_of(top_of(cell)) == cell
    assert cell_of(top_of(cell) + 1) == cell + 1


@given(durations, st.floats(0, 1))
def test_percentiles_are_those_of_the_sorted_values(values: list[float], q: float) -> None:
    exact = sorted(values)[max(1, math.ceil(q * len(values) - 1e-9)) - 1]
    found = filled(values).percentile(q)
    assert found is not None
    assert exact - 1e-6 <= found <= exact * (1 + 1 / 1000) + 2e-6


@given(durations, durations)
def test_merging_is_adding(first: list[float], second: list[float]) -> None:
    merged, whole = filled(first), filled(first + second)
    merged.add(filled(second))
    assert merged.cells == whole.cells
    assert (merged.count, merged.maximum_s, merged.minimum_s) == (
        whole.count, whole.maximum_s, whole.minimum_s,
    )  # fmt: skip
    assert merged.total_ns == whole.total_ns


def test_it_survives_json() -> None:
    for histogram in (Histogram(), filled([0.1, 2.5, 0.1])):
        again = Histogram.from_json(json.loads(json.dumps(histogram.as_json())))
        assert again.cells == histogram.cells
        assert again.percentile(0.5) == histogram.percentile(0.5)
        assert again.minimum_s == histogram.minimum_s


def test_an_empty_one_knows_nothing() -> None:
    assert Histogram().percentiles((0.5, 1)) == [None, None]
    assert Histogram().mean_s is None


def test_above_counts_whole_cells() -> None:
    assert filled([0.1, 0.2, 0.5, 3]).above(0.2) == 2


def test_hdr_text_ends_with_the_maximum_and_the_count() -> None:
    lines = list(filled([0.001 * n for n in range(1, 1001)]).hdr_lines())
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    last = next(line for line in reversed(lines) if not line.startswith("#"))
    value, share, count, inverse = last.split()
    assert (float(value), float(share), count, inverse) == (1000.0, 1.0, "1000", "inf")
    assert "Total count    =         1000" in lines[-1]


def test_both_forms_of_a_document_are_the_same_histogram() -> None:
    histogram = Histogram()
    histogram.extend([0.5, 0.001, 0.5, 3.0])
    for document in (histogram.as_json(), histogram.as_columns(), Histogram().as_columns()):
        again = Histogram.from_json(json.loads(json.dumps(document)))
        assert again.as_json() == (histogram if again.count else Histogram()).as_json()
