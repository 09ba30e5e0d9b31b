"""What tuning decides, in tables: from numbers as a run measures them to a setting."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hikkoshi.fargate.prices import ARM, PRICES, X86, price_of
from hikkoshi.fargate.sizes import check_size
from hikkoshi.model.findings import Certainty
from hikkoshi.model.project import HealthCheck, Seconds
from hikkoshi.tuning import resources, scaling, size, timings
from hikkoshi.tuning.choice import Choice, NotJudged
from hikkoshi.tuning.measured import Held, Measured
from hikkoshi.tuning.present import Objective, Present
from hikkoshi.tuning.tune import tune

TOKYO = price_of("ap-northeast-1")
GOAL = Objective(p99_s=0.5, errors=0.001, recovery_s=15, rate=100)


def held(**changes: Any) -> Held:
    usual = Held("steady", 100, 60, 6000, 0.0, 0.1, 0.4, 2, cpu_s=60.0, cpu_share=0.5)
    return dataclasses.replace(usual, **changes)


def measured(**changes: Any) -> Measured:
    """100/s for a minute at 10 ms of CPU each: one vCPU in all, on two tasks of one vCPU."""
    usual = Measured(
        planned=(held(),),
        cpu_vcpu=1.0,
        memory_peak_bytes=600 << 20,
        open_files_peak=100,
        open_files_limit=65535,
        connections_peak=16,
        busy_peak=6,
        connection_tasks=2,
        connection_limit=100,
        database="aurora-postgresql",
        starts_s=(2.0, 4.0),
        stops_s=(0.5, 1.5),
    )
    return dataclasses.replace(usual, **changes)


def present(**changes: Any) -> Present:
    usual = Present(
        cpu=1024, memory=2048, architecture=X86, tasks=2, maximum_percent=200, container="app",
        container_index=0, nofile=None, nofile_index=None, has_ulimits=False, stop_timeout_s=None,
        grace_s=None, health_check=HealthCheck(), deregistration_delay_s=300, pool_variables=(),
    )  # fmt: skip
    return dataclasses.replace(usual, **changes)


@pytest.mark.parametrize(
    ("was", "now", "wanted", "certainty"),
    [
        # 1 vCPU of 2: 50 %; but with one lost 100 % of one. Three of one vCPU or five of a half.
        ({}, {}, "4 × 0.5 vCPU, 1 GB", Certainty.LIKELY),
        # Half the CPU would take p99 from 300 to 600 ms: the halves are out.
        ({"planned": (held(p99_s=0.3),)}, {}, "3 × 1 vCPU, 2 GB", Certainty.LIKELY),
        # As it was rehearsed, and it held: a fact.
        (
            {"planned": (held(p99_s=0.3, tasks=3),)},
            {"tasks": 3},
            "3 × 1 vCPU, 2 GB",
            Certainty.FACT,
        ),
        # Memory decides: 6 GB × 1.5 is more than one vCPU can have.
        (
            {"planned": (held(p99_s=0.3),), "memory_peak_bytes": 6 << 30},
            {},
            "2 × 2 vCPU, 9 GB",
            Certainty.LIKELY,
        ),
        # The containers' own reservations hold, too.
        ({}, {"least_memory": 3000}, "4 × 0.5 vCPU, 3 GB", Certainty.LIKELY),
        ({}, {"least_cpu": 1024}, "3 × 1 vCPU, 2 GB", Certainty.LIKELY),
        # The limits held only up to 25/s a task: 100 / (25 × 80 %) = 5 tasks of one vCPU.
        (
            {
                "planned": (held(p99_s=0.3, tasks=4),),
                "steps": (held(rate=100, tasks=4), held(rate=200, tasks=4, p99_s=2)),
            },
            {},
            "5 × 1 vCPU, 2 GB",
            Certainty.LIKELY,
        ),
        # CPU was full and the limits broke: reckoned on what was served, and only a hint.
        (
            {"planned": (held(p99_s=2.0, errors=0.5, cpu_share=0.98),)},
            {},
            "4 × 1 vCPU, 2 GB",
            Certainty.HINT,
        ),
        ({"is_cpu_enforced": False}, {}, "4 × 0.5 vCPU, 1 GB", Certainty.HINT),
    ],
)
def test_size(was: dict[str, Any], now: dict[str, Any], wanted: str, certainty: Certainty) -> None:
    answer = size.decide_size(measured(**was), present(**now), GOAL, TOKYO)
    assert isinstance(answer, size.SizeChoice), answer
    assert (answer.wanted, answer.certainty) == (wanted, certainty)
    assert check_size(answer.size.cpu, answer.size.memory) is None
    assert answer.size.tasks >= 2


@pytest.mark.parametrize(
    ("was", "goal", "why"),
    [
        ({"planned": ()}, {}, "no load ran at the planned rate"),
        ({}, {"rate": None}, "plans no load"),
        ({"planned": (held(cpu_s=None, cpu_share=None),)}, {}, "CPU was not sampled"),
        ({"memory_peak_bytes": None}, {}, "memory was not sampled"),
        ({"planned": (held(p99_s=3.0, cpu_share=0.3),)}, {}, "a larger task does not cure that"),
        ({"planned": (held(errors=1.0, cpu_share=1.0),)}, {}, "not one request"),
    ],
)
def test_a_size_without_evidence_is_not_judged(
    was: dict[str, Any], goal: dict[str, Any], why: str
) -> None:
    answer = size.decide_size(measured(**was), present(), dataclasses.replace(GOAL, **goal), TOKYO)
    assert isinstance(answer, NotJudged) and why in answer.why


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        # 70 % CPU held, 95 % broke: CPU shows it; 70 % × 80 % = 56 %, in steps of 5.
        (
            (held(rate=150, cpu_share=0.7), held(rate=300, cpu_share=0.95, p99_s=2)),
            "CPU at 55%, 2 to 4 tasks",
        ),
        # It broke at 30 % CPU: 75/s a task × 60 × 80 % × half of two tasks lost.
        (
            (held(rate=150, cpu_share=0.2), held(rate=300, cpu_share=0.3, p99_s=2)),
            "1800 requests a target a minute, 2 to 4 tasks",
        ),
    ],
)
def test_autoscaling_follows_what_shows_the_load(steps: tuple[Held, ...], wanted: str) -> None:
    answer = scaling.decide_scaling(measured(steps=steps), present(), GOAL, 2)
    assert isinstance(answer, Choice) and answer.wanted == wanted


def test_autoscaling_without_overload_or_without_a_good_rate_is_not_judged() -> None:
    assert isinstance(scaling.decide_scaling(measured(), present(), GOAL, 2), NotJudged)
    bad = held(p99_s=3)
    lost = measured(planned=(bad,), steps=(bad,))
    assert isinstance(scaling.decide_scaling(lost, present(), GOAL, 2), NotJudged)


@pytest.mark.parametrize(
    ("peak", "limit", "nofile", "wanted", "edits"),
    [
        (100, 65535, None, "4096/65535", 1),
        (100, 4096, (4096, 4096), "4096/4096", 0),
        (3000, 4096, (4096, 8192), "16384/16384", 2),
        (1024, 1024, (1024, 4096), "4096/4096", 2),
        (60000, 65535, (65535, 65535), "65535/65535", 2),
    ],
)
def test_nofile(
    peak: int, limit: int, nofile: tuple[int, int] | None, wanted: str, edits: int
) -> None:
    now = present(nofile=nofile, nofile_index=0 if nofile else None, has_ulimits=bool(nofile))
    answer = resources.decide_nofile(measured(open_files_peak=peak, open_files_limit=limit), now)
    assert isinstance(answer, Choice)
    assert (answer.wanted, len(answer.edits)) == (wanted, edits)
    assert (answer.certainty is Certainty.HINT) == (peak >= limit)


@pytest.mark.parametrize(
    ("was", "tasks", "open_", "arithmetic"),
    [
        # Busy 3 a task × 2 = 6; in flight 100 × 0.1 / 2 = 5.
        ({}, 2, 6, "6 × 4 tasks at once in a deploy (2 × 200 %) = 24 of 97"),
        # Ten tasks: 80 % of 97 is 77; / 20 tasks = 3 each, though 6 are wanted.
        ({}, 10, 3, "3 × 20 tasks at once in a deploy (10 × 200 %) = 60 of 97"),
        ({"database": "aurora-mysql"}, 2, 6, "of 100 usable"),
        ({"busy_peak": 0}, 2, 5, "5 × 4 tasks"),
    ],
)
def test_pool(was: dict[str, Any], tasks: int, open_: int, arithmetic: str) -> None:
    answer = resources.decide_pool(measured(**was), present(), GOAL, tasks)
    assert isinstance(answer, Choice)
    assert answer.wanted.startswith(f"open {open_}, idle {open_}, lifetime 900 s")
    assert arithmetic in " ".join(answer.because)


@pytest.mark.parametrize(
    ("was", "why"),
    [
        ({"database": "none"}, "no database"),
        ({"busy_peak": None}, "were not sampled"),
        ({"connection_limit": 6}, "before any pool fits"),
    ],
)
def test_a_pool_that_cannot_be_judged(was: dict[str, Any], why: str) -> None:
    answer = resources.decide_pool(measured(**was), present(), GOAL, 2)
    assert isinstance(answer, NotJudged) and why in answer.why


def test_timings_come_from_what_was_seen() -> None:
    now, run = present(), measured()
    health = timings.decide_health(run, now, GOAL)
    assert isinstance(health, Choice)
    assert health.wanted == "every 5 s, timeout 2 s, 2 up, 2 down"
    grace = timings.decide_grace(run, now)  # 4 s × 2 + 5 checks of 30 s
    assert isinstance(grace, Choice) and grace.wanted == "160 s"
    drain = timings.decide_drain(run, now)  # 0.4 s × 2, at least 5 s
    assert isinstance(drain, Choice) and drain.wanted == "5 s"
    stop = timings.decide_stop(measured(stops_s=(20.0,)), now)
    assert isinstance(stop, Choice) and stop.wanted == "40 s"
    assert stop.edits[0].path == ("containerDefinitions", 0, "stopTimeout")


def test_timings_that_are_right_stay() -> None:
    check = HealthCheck("/", Seconds(5), Seconds(3), 2, 2)
    now = present(health_check=check, grace_s=20, deregistration_delay_s=30.0, stop_timeout_s=30)
    run = measured()
    for answer in (
        timings.decide_health(run, now, GOAL),
        timings.decide_grace(run, now),
        timings.decide_drain(run, now),
        timings.decide_stop(run, now),
    ):
        assert isinstance(answer, Choice) and not answer.is_change and not answer.edits, answer


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (timings.decide_health(measured(planned=()), present(), GOAL), "no load ran"),
        (
            timings.decide_health(measured(planned=(held(p99_s=9),)), present(), GOAL),
            "did not hold",
        ),
        (timings.decide_health(measured(), present(health_check=None), GOAL), "no load balancer"),
        (timings.decide_grace(measured(starts_s=()), present()), "no task was seen"),
        (timings.decide_drain(measured(planned=()), present()), "no load ran"),
        (timings.decide_stop(measured(stops_s=()), present()), "no task was stopped"),
        (timings.decide_stop(measured(killed_stops=2), present()), "SIGKILL"),
    ],
)
def test_timings_without_evidence_are_not_judged(answer: Choice | NotJudged, why: str) -> None:
    assert isinstance(answer, NotJudged) and why in answer.why


def test_a_month_is_reckoned_for_both_architectures() -> None:
    tuning = tune(measured(planned=(held(tasks=3, p99_s=0.3),)), present(tasks=3), GOAL,
                  "ap-northeast-1")  # fmt: skip
    # 3 × (0.05056 + 2 × 0.00553) × 730 h and 3 × (0.04045 + 2 × 0.00442) × 730 h
    assert tuning.cost.now == pytest.approx(134.95, abs=0.01)
    assert tuning.cost.wanted == tuning.cost.now
    assert tuning.cost.other_wanted == pytest.approx(107.95, abs=0.01)
    assert tuning.is_sized
    assert tune(measured(), present(), GOAL, "mars-north-1").cost.now is None


def test_prices_are_dated_once_a_region_and_arm_is_the_cheaper() -> None:
    assert len({(one.region, one.architecture) for one in PRICES}) == len(PRICES)
    for one in PRICES:
        assert one.read and one.note and one.vcpu_hour > 5 * one.gb_hour
        x86 = price_of(one.region, X86)
        assert x86 is not None
        if one.architecture == ARM:
            assert one.vcpu_hour < x86.vcpu_hour and one.gb_hour < x86.gb_hour


def test_nothing_is_built_on_a_hint() -> None:
    broken = measured(planned=(held(p99_s=2.0, errors=0.9, cpu_share=0.98),))
    tuning = tune(broken, present(), GOAL, "ap-northeast-1")
    assert not tuning.is_sized
    (pool,) = [one for one in tuning.answers if one.setting == resources.POOL]
    assert isinstance(pool, Choice) and "(2 × 200 %)" in " ".join(pool.because)
