"""Capacity, soak, spike and comparison: the rules in tables, the commands against a server."""

from __future__ import annotations

import json
import math
import os
import random
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from server import Server

from hikkoshi.base.errors import BadInput
from hikkoshi.cli.load import load
from hikkoshi.load import compare as comparing
from hikkoshi.load.capacity import Capacity, Ending, Probe, Search, next_step, objectives_of, say
from hikkoshi.load.compare import compare, read_run, save_baseline
from hikkoshi.load.conditions import parse_conditions
from hikkoshi.load.drift import drift_of
from hikkoshi.load.knee import Objectives, Step
from hikkoshi.load.noise import student, worth_of
from hikkoshi.load.process_usage import usage_of
from hikkoshi.load.recovery import recovery_of
from hikkoshi.load.timeline import Slice, Timeline

LIMITS = Objectives(max_p99_s=0.3, max_failed_share=0.01)


def step(rate: float, true_knee: float, is_valid: bool = True) -> Step:
    return Step(rate, rate, 0.01 if rate <= true_knee else 1.0, 0.0, is_valid)


def search(true_knee: float, most: float = 1e6, first: float = 10) -> tuple[Capacity, list[Step]]:
    steps: list[Step] = []
    while isinstance(answer := next_step(Search(first, most), steps, LIMITS), Probe):
        assert 0 < answer.rate <= most
        steps.append(step(answer.rate, true_knee))
    return answer, steps


@pytest.mark.parametrize("knee", [3, 10, 137, 640, 20_000, 777_777])
def test_the_knee_is_bracketed_from_both_sides(knee: float) -> None:
    found, steps = search(knee)
    assert found.ending is Ending.FOUND
    assert found.holds is not None and found.breaks is not None
    assert found.holds <= knee < found.breaks
    assert found.breaks - found.holds <= max(1.0, 0.05 * found.breaks)
    assert found.holds_probes >= 2 and found.breaks_probes >= 2
    assert len(steps) <= 24
    assert "the knee lies between" in say(found)


def test_the_search_ends_where_it_may_not_go_on() -> None:
    found, _ = search(1e9, most=500)
    assert (found.ending, found.holds, found.breaks) == (Ending.NOT_REACHED, 500, None)
    found, _ = search(0.1)
    assert (found.ending, found.holds) == (Ending.NOTHING_HELD, None)
    late = [step(10, 1e9), step(20, 1e9, is_valid=False)]
    assert next_step(Search(10, 1e6), late, LIMITS) == Probe(
        20, "the generator was late; the same again"
    )
    found_ = next_step(Search(10, 1e6), [*late, late[-1]], LIMITS)
    assert isinstance(found_, Capacity)
    assert (found_.ending, found_.holds, found_.breaks) == (Ending.GENERATOR, 10, None)


def test_one_stumble_is_outvoted_and_two_are_not() -> None:
    good, bad = step(100, 200), step(100, 50)
    broke = step(104, 50)
    answer = next_step(Search(100, 1e6), [good, broke, bad], LIMITS)
    assert isinstance(answer, Probe) and answer.rate < 100, "a tie is no hold"
    answer = next_step(Search(100, 1e6), [good, broke, bad, good, good, broke], LIMITS)
    assert isinstance(answer, Capacity) and answer.holds == 100


def test_objectives_are_read() -> None:
    found = objectives_of(parse_conditions("p99<250ms, success>=99%, status<400"))
    assert (found.max_p99_s, found.max_failed_share) == (0.25, pytest.approx(0.01))
    for text in ("p50<1s", "status<400", "throughput>3", "errors>1%"):
        with pytest.raises(BadInput):
            objectives_of(parse_conditions(text))


def timeline(name: str, latency_s: float, noise: float, seed: int, slices: int = 60) -> Timeline:
    chance = random.Random(seed)
    made = []
    for _ in range(slices):
        # What disturbs a slice disturbs all its requests: the noise that a comparison must see.
        level = latency_s * (1 + chance.uniform(-noise, noise))
        each = Slice(requests=200)
        each.latency.extend([level * chance.uniform(0.8, 1.2) for _ in range(200)])
        made.append(each)
    return Timeline(name, 0.0, 1.0, tuple(made))


def test_only_differences_beyond_the_noise_count() -> None:
    calm = timeline("a", 0.1, 0.1, 1)
    same = compare(calm, timeline("b", 0.1, 0.1, 2))
    assert not same.is_worse and not any(each.is_real for each in same.differences)
    slower = compare(calm, timeline("b", 0.12, 0.1, 3))
    assert slower.is_worse
    assert {each.metric for each in slower.differences if each.is_real} >= {"p50", "mean"}
    faster = compare(timeline("b", 0.12, 0.1, 3), calm)
    assert not faster.is_worse and any(each.is_real for each in faster.differences)
    # The same 20 % are nothing when slices differ by a factor of three among themselves.
    wild = compare(timeline("a", 0.1, 0.9, 4, 20), timeline("b", 0.104, 0.9, 5, 20))
    assert not any(each.is_real for each in wild.differences)
    assert compare(calm, timeline("b", 9.0, 0.1, 3, 5)).notes


def drifting(name: str, seed: int, slices: int, noise: float, alike: float) -> Timeline:
    """Slices whose level wanders: each is like the one before it by the share `alike`."""
    chance, level, made = random.Random(seed), 0.0, []
    for _ in range(slices):
        level = alike * level + chance.gauss(0, noise) * math.sqrt(1 - alike * alike)
        each = Slice(requests=60)
        each.latency.extend([math.exp(level - 3 + chance.gauss(0, 0.5)) for _ in range(60)])
        each.failed = sum(chance.random() < 0.02 * math.exp(2 * level) for _ in range(60))
        made.append(each)
    return Timeline(name, 0.0, 1.0, tuple(made))


@pytest.mark.parametrize(("slices", "noise", "alike"), [(8, 0.1, 0.0), (30, 0.2, 0.5)])
def test_two_runs_of_the_same_rarely_cry_wolf(
    monkeypatch: pytest.MonkeyPatch, slices: int, noise: float, alike: float
) -> None:
    """At most 5 % of the pairs differ in any of the six metrics; with seeds of their own, so that
    the answer is the same each time. bench/bench_load_alarms.py looks at many more."""
    monkeypatch.setattr(comparing, "DRAWS", 80)
    pairs = 40
    wrong = 0
    for n in range(pairs):
        one, other = (
            drifting(name, 2 * n + at, slices, noise, alike) for at, name in enumerate("ab")
        )
        wrong += any(each.is_real for each in compare(one, other).differences)
    assert wrong <= 0.05 * pairs


def test_student_and_what_slices_are_worth() -> None:
    for df, tail, known in ((1, 0.025, 12.706), (2, 0.025, 4.303), (10, 0.005, 3.169),
                            (30, 0.025, 2.042), (1000, 0.025, 1.962)):  # fmt: skip
        assert student(df, tail) == pytest.approx(known, abs=0.001)
    chance = random.Random(1)
    free = [chance.gauss(0, 1) for _ in range(200)]
    assert worth_of(free) > 150
    level, bound = 0.0, []
    for each in free:
        level = 0.8 * level + each
        bound.append(level)
    assert 5 < worth_of(bound) < 40
    assert worth_of([1.0] * 9) == 9


def test_a_baseline_is_a_run(tmp_path: Path) -> None:
    kept = timeline("a", 0.1, 0.1, 1)
    save_baseline(kept, tmp_path / "base.json")
    again = read_run(tmp_path / "base.json")
    assert again.as_json() == kept.as_json()
    (tmp_path / "bad.json").write_text('{"format": "hikkoshi-load-baseline", "slices": 3}')
    with pytest.raises(BadInput, match="damaged"):
        read_run(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("slope", "noise", "is_rising"),
    [(0.0, 5.0, False), (0.01, 5.0, False), (0.5, 5.0, True), (-0.5, 5.0, False), (0.5, 0.0, True)],
)
def test_what_creeps_up_is_told_from_noise(slope: float, noise: float, is_rising: bool) -> None:
    chance = random.Random(7)
    points = [(t, 100 + slope * t + chance.uniform(-noise, noise)) for t in range(100)]
    points[50] = (50, 100_000.0)
    found = drift_of("memory", "bytes", points, allowed=0.1)
    assert found.is_rising is is_rising
    assert found.rise == pytest.approx(slope * 99, abs=4)


def test_too_few_points_are_not_judged() -> None:
    assert drift_of("x", "", [(0, 1.0)] * 7, allowed=0.1).is_rising is None
    assert drift_of("x", "", [(float(t), 5.0) for t in range(50)], allowed=0.1).is_rising is False


def test_recovery_is_when_all_is_as_before() -> None:
    def slices(levels: list[float]) -> Timeline:
        made = []
        for level in levels:
            each = Slice(requests=10)
            each.latency.extend([level] * 10)
            made.append(each)
        return Timeline("s", 0.0, 1.0, tuple(made))

    found = recovery_of(slices([0.01] * 5 + [0.5] * 3 + [0.4, 0.3] + [0.01] * 5), 5, 8)
    assert (found.recovery_s, found.p99_spike_s) == (2.0, pytest.approx(0.5, rel=0.01))
    assert recovery_of(slices([0.01] * 5 + [0.5] * 9), 5, 8).recovery_s is None
    assert recovery_of(slices([0.01] * 15), 5, 8).recovery_s == 0.0


def test_the_usage_of_a_process_is_what_it_holds() -> None:
    before = usage_of(os.getpid())
    files = [open("/dev/null") for _ in range(10)]  # noqa: SIM115
    after = usage_of(os.getpid())
    for file in files:
        file.close()
    assert before is not None and after is not None
    assert after.descriptors == before.descriptors + 10
    assert after.memory_bytes > 1_000_000
    assert usage_of(2**22 + 1) is None


@pytest.fixture
def narrow(server: Server) -> Server:
    """One at a time, 8 ms each: 125 a second at most."""
    door = threading.Lock()
    answer = server.ways["/"]

    def slow(sock: object, request: bytes) -> bool:
        with door:
            time.sleep(0.008)
        return answer(sock, request)  # type: ignore[arg-type]

    server.ways["/"] = slow
    return server


def test_the_capacity_of_a_server_that_serves_one_at_a_time(narrow: Server) -> None:
    found = CliRunner().invoke(
        load,
        ["capacity", "--base-url", narrow.url, "--objective", "p99<150ms, errors<1%", "--from",
         "40/s", "--step", "600ms", "--rest", "50ms", "--precision", "0.4", "--json"],
        input="GET /\n",
    )  # fmt: skip
    report = json.loads(found.stdout)
    # The server may be slower than its sleep on a busy machine, never quicker; and a machine that
    # is so busy that the generator comes late must say that, and not blame the server.
    assert all(probe["broke"] for probe in report["probes"] if probe["asked_rate"] > 160)
    if report["ending"] == "generator":
        assert [probe["is_valid"] for probe in report["probes"][-2:]] == [False, False]
    else:
        assert report["breaks"] <= 170
    assert found.exit_code == (0 if report["ending"] == "found" else 1)


def test_soak_spike_and_compare_as_commands(server: Server, tmp_path: Path) -> None:
    output = str(tmp_path / "soak.load")
    arguments = ["--base-url", server.url, "--json", "-o", output]
    found = CliRunner().invoke(
        load,
        ["soak", "--rate", "100/s", "--duration", "2s", "--pid", str(os.getpid()), *arguments],
        input="GET /\n",
    )  # fmt: skip
    names = [each["name"] for each in json.loads(found.stdout)["drifts"]]
    assert names == ["p50", "p99", "memory_bytes", "descriptors", "connections"]
    other = str(tmp_path / "spike.load")
    arguments[-1] = other
    found = CliRunner().invoke(
        load, ["spike", "--base", "50/s", "--top", "200/s", "--before", "600ms", "--spike", "300ms",
               "--after", "600ms", *arguments],
        input="GET /\n",
    )  # fmt: skip
    report = json.loads(found.stdout)
    assert report["requests"] == 120 and report["spike"]["p99_spike_s"] > 0
    base = str(tmp_path / "base.json")
    assert CliRunner().invoke(load, ["baseline", output, "-o", base]).exit_code == 0
    found = CliRunner().invoke(load, ["compare", base, output])
    assert found.exit_code == 0 and "no difference beyond the noise" in found.stdout
