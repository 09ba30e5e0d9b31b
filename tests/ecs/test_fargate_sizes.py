"""Fargate's sizes (C1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.fargate import sizes

GIB = 1024


@pytest.mark.parametrize(
    ("cpu", "first", "last", "count"),
    [
        (256, 512, 2 * GIB, 3),
        (512, 1 * GIB, 4 * GIB, 4),
        (1024, 2 * GIB, 8 * GIB, 7),
        (2048, 4 * GIB, 16 * GIB, 13),
        (4096, 8 * GIB, 30 * GIB, 23),
        (8192, 16 * GIB, 60 * GIB, 12),
        (16384, 32 * GIB, 120 * GIB, 12),
    ],
)
def test_each_cpu_has_its_memories(cpu: int, first: int, last: int, count: int) -> None:
    found = sizes.valid_memories(cpu)
    assert (found[0], found[-1], len(found)) == (first, last, count)
    assert sizes.check_size(cpu, first) is None
    refusal = "No Fargate configuration exists for given values."
    assert sizes.check_size(cpu, first - 1) == refusal
    assert sizes.check_size(cpu, last + GIB) == refusal


@pytest.mark.parametrize(
    ("text", "units"),
    [("256", 256), (1024, 1024), ("1 vCPU", 1024), (".25 vCPU", 256), ("0.5vcpu", 512),
     ("16 vCPU", 16384)],
)  # fmt: skip
def test_cpu_as_people_write_it(text: str | int, units: int) -> None:
    assert sizes.parse_cpu(text) == units


@pytest.mark.parametrize(
    ("text", "mib"),
    [("512", 512), (2048, 2048), ("2 GB", 2048), ("0.5GB", 512), ("30 gb", 30 * GIB)],
)
def test_memory_as_people_write_it(text: str | int, mib: int) -> None:
    assert sizes.parse_memory(text) == mib


@pytest.mark.parametrize("text", ["", "one", "-1", "0", "1.5", "1 vCPUs?", "1e3", "9" * 400, True])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        sizes.parse_cpu(text)
    with pytest.raises(ValueError, match=r"."):
        sizes.parse_memory(text)


@given(st.integers(1, 20000), st.integers(1, 130 * GIB))
def test_the_nearest_size_exists_and_is_enough(cpu: int, memory: int) -> None:
    found = sizes.nearest_size(cpu, memory)
    assert sizes.check_size(*found) is None
    if cpu <= 16384 and memory <= 120 * GIB:
        assert found[0] >= cpu
        assert found[1] >= memory


def test_the_fix_names_the_sizes() -> None:
    assert sizes.describe_sizes(256) == "512, 1024 or 2048 MiB"
    assert sizes.describe_sizes(8192) == "16384 to 61440 MiB in steps of 4096"
    assert "256, 512" in sizes.describe_sizes(300)
