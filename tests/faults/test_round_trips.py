"""Whether a network fault is felt, from what a task's connections took."""

from __future__ import annotations

import subprocess

import pytest

from hikkoshi.faults.round_trips import _MEASURE, Trips, felt, read_trips

FAST = Trips((0.0004, 0.0005, 0.0006))


@pytest.mark.parametrize(
    ("kind", "during", "words"),
    [
        ("network-latency", (0.2005, 0.2006, 0.21), "took 500 µs and takes 201 ms"),
        ("network-latency", (0.0004, 0.0005, 0.2), None),
        ("network-latency", (None, None, None), "takes for ever"),
        ("network-blackhole-port", (None, None, None), "none of 3 connections gets through"),
        ("network-blackhole-port", (None, None, 0.1), None),
        ("network-packet-loss", (0.001, 1.02, None), "2 of 3 connections lost packets"),
        ("network-packet-loss", (0.001, 0.2, 0.3), None),
    ],
)
def test_what_is_felt(kind: str, during: tuple[float | None, ...], words: str | None) -> None:
    found = felt(kind, FAST, Trips(during), delay_s=0.2)
    assert found is None if words is None else words in str(found)


def test_what_the_container_says_is_read() -> None:
    assert read_trips("noise\nhikkoshi-trips: 0.5 - 0.000000\n$") == Trips((0.5, None, None))
    assert read_trips("sh: curl: not found") is None


def test_the_script_counts_a_port_where_nobody_is_as_failed() -> None:
    said = subprocess.run(
        ["/bin/sh", "-c", _MEASURE, "sh", "127.0.0.1", "1", "3"],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert read_trips(said.stdout) == Trips((None, None, None))
