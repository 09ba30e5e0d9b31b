"""The task's size and the number of tasks: the cheapest that carries the planned rate. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from hikkoshi.fargate.prices import Price
from hikkoshi.fargate.sizes import VALID_CPUS, nearest_size
from hikkoshi.model.findings import Certainty
from hikkoshi.tuning.choice import Answer, Choice, Edit, NotJudged
from hikkoshi.tuning.measured import Held, Measured
from hikkoshi.tuning.present import Objective, Present

SETTING = "task size and number of tasks"

# Own cuts. A task at 60 % has room for what comes unevenly; with one task lost, the others may
# come to 90 %. Memory: half as much again as the fullest task had.
USUAL_SHARE = 0.60
ONE_LOST_SHARE = 0.90
MEMORY_ROOM = 1.5
LEAST_TASKS = 2
# Of the rate at which the limits last held, what is planned for.
KNEE_ROOM = 0.80
# A change for less than this is not worth a change.
WORTH_SHARE = 0.10
# Below this share of the CPU, what broke the limits was not the CPU.
CPU_IS_TO_BLAME = 0.70
# One halving of what was rehearsed: beyond that, the numbers say nothing of latency.
SMALLEST_RATIO = 0.5
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Size:
    cpu: int
    memory: int
    tasks: int

    def __str__(self) -> str:
        vcpu, gib = f"{self.cpu / 1024:g} vCPU", f"{self.memory / 1024:g} GB"
        return f"{self.tasks} × {vcpu}, {gib}"


@dataclass(frozen=True, slots=True)
class SizeChoice(Choice):
    size: Size = Size(0, 0, 0)


def decide_size(
    measured: Measured, present: Present, objective: Objective, price: Price | None
) -> Answer:
    """Without a price the cheapest is the one of least vCPU."""
    worst = measured.worst
    why_not = _why_not(measured, worst, objective)
    if why_not or worst is None or worst.cpu_s_a_request is None or not objective.rate:
        return NotJudged(SETTING, why_not or "no load ran at the planned rate")
    now = Size(present.cpu, present.memory, present.tasks)
    memory = max(_memory_needed(measured), present.least_memory)
    demand = worst.cpu_s_a_request * objective.rate
    fitting = [
        size
        for cpu in VALID_CPUS
        if (size := _fewest(cpu, memory, demand, measured, present, objective))
    ]
    if not fitting:
        return NotJudged(
            SETTING, f"no size of Fargate carries {demand:.2f} vCPU with this latency; cure the "
            "findings of `hikkoshi report` first"
        )  # fmt: skip
    best = min(fitting, key=lambda size: (_cost(size, price), -size.tasks))
    if _carries(now, memory, demand, measured, present, objective) and (
        _cost(best, price) > (1 - WORTH_SHARE) * _cost(now, price)
    ):
        best = now
    certainty = _certainty(best, now, worst, measured, objective)
    return SizeChoice(
        SETTING,
        str(now),
        str(best),
        certainty,
        _because(best, demand, worst, measured, objective),
        _edits(best, now),
        _advice(best, now, certainty, worst),
        best,
    )


def _why_not(measured: Measured, worst: Held | None, objective: Objective) -> str:
    if objective.rate is None:
        return "hikkoshi.yaml plans no load (`load:`), so there is no rate to size for"
    if worst is None:
        return "no load ran at the planned rate (trials steady and soak)"
    if worst.cpu_share is None or measured.cpu_vcpu is None:
        return "the tasks' CPU was not sampled during steady or soak"
    if measured.memory_peak_bytes is None:
        return "the tasks' memory was not sampled"
    if not worst.keeps(objective.p99_s, objective.errors) and worst.cpu_share < CPU_IS_TO_BLAME:
        return (
            f"the limits broke at {worst.rate:.0f}/s (p99 {_ms(worst.p99_s)}, "
            f"{worst.errors:.1%} failed) while the busiest task used {worst.cpu_share:.0%} of its "
            "CPU: a larger task does not cure that; cure the findings of `hikkoshi report` first"
        )
    if worst.cpu_s_a_request is None:
        return "not one request of the planned load was served"
    return ""


def _memory_needed(measured: Measured) -> int:
    return int(-(-(measured.memory_peak_bytes or 0) * MEMORY_ROOM // MIB))


def _fewest(
    cpu: int,
    memory: int,
    demand: float,
    measured: Measured,
    present: Present,
    objective: Objective,
) -> Size | None:
    """The fewest tasks of that CPU that carry it; None where the CPU is too small to know."""
    found_cpu, found_memory = nearest_size(cpu, memory)
    if found_cpu != cpu:
        return None
    tasks = LEAST_TASKS
    while tasks <= 200:
        size = Size(cpu, found_memory, tasks)
        if _carries(size, memory, demand, measured, present, objective):
            return size
        tasks += 1
    return None


def _carries(
    size: Size,
    memory: int,
    demand: float,
    measured: Measured,
    present: Present,
    objective: Objective,
) -> bool:
    rehearsed = measured.cpu_vcpu or present.cpu / 1024
    vcpu = size.cpu / 1024
    worst, rate = measured.worst, objective.rate or 0.0
    if size.memory < memory or size.tasks < LEAST_TASKS or worst is None:
        return False
    if vcpu < rehearsed * SMALLEST_RATIO or size.cpu < present.least_cpu:
        return False
    # On less CPU a request takes at most so many times longer.
    if vcpu < rehearsed and worst.p99_s * rehearsed / vcpu > objective.p99_s:
        return False
    if demand > size.tasks * vcpu * USUAL_SHARE:
        return False
    if demand > (size.tasks - 1) * vcpu * ONE_LOST_SHARE:
        return False
    knee = knee_a_task(measured, objective)
    scale = min(1.0, vcpu / rehearsed)
    return knee is None or rate <= size.tasks * knee * scale * KNEE_ROOM


def rate_a_task(measured: Measured, objective: Objective) -> float | None:
    """Requests a second a task at the highest rate at which the limits held."""
    good = [
        one
        for one in (*measured.steps, *measured.planned)
        if one.tasks and one.keeps(objective.p99_s, objective.errors)
    ]
    best = max(good, key=lambda one: one.rate / one.tasks, default=None)
    return best.rate / best.tasks if best else None


def knee_a_task(measured: Measured, objective: Objective) -> float | None:
    """The same, where it is known that they did not hold much further; None where no rate broke
    them, and only the CPU says how far it goes."""
    has_broken = any(not one.keeps(objective.p99_s, objective.errors) for one in measured.steps)
    return rate_a_task(measured, objective) if has_broken else None


def _cost(size: Size, price: Price | None) -> float:
    if price is None:
        return size.tasks * (size.cpu + size.memory / 8)
    return price.month(size.cpu, size.memory, size.tasks)


def _certainty(
    best: Size, now: Size, worst: Held, measured: Measured, objective: Objective
) -> Certainty:
    if not measured.is_cpu_enforced:
        return Certainty.HINT
    has_held = worst.keeps(objective.p99_s, objective.errors)
    if best == now and has_held and worst.tasks == best.tasks:
        return Certainty.FACT
    return Certainty.LIKELY if has_held else Certainty.HINT


def _because(
    best: Size, demand: float, worst: Held, measured: Measured, objective: Objective
) -> tuple[str, ...]:
    vcpu = best.cpu / 1024
    peak = (measured.memory_peak_bytes or 0) / MIB
    lines = [
        f"{worst.trial}: {worst.requests} requests at {worst.rate:.0f}/s cost {worst.cpu_s:.1f} "
        f"CPU seconds, {1000 * (worst.cpu_s_a_request or 0):.1f} ms for each served; the planned "
        f"{objective.rate:.0f}/s need {demand:.2f} vCPU",
        f"{demand:.2f} vCPU / ({best.tasks} × {vcpu:g}) = {demand / (best.tasks * vcpu):.0%} of "
        f"the CPU (at most {USUAL_SHARE:.0%}); with one task lost "
        f"{demand / ((best.tasks - 1) * vcpu):.0%} (at most {ONE_LOST_SHARE:.0%})",
        f"p99 {_ms(worst.p99_s)} of at most {_ms(objective.p99_s)}, {worst.errors:.2%} failed of "
        f"at most {objective.errors:.2%}, with {worst.tasks} tasks of {measured.cpu_vcpu:g} vCPU, "
        f"the busiest at {worst.cpu_share:.0%}",
        f"memory: {peak:.0f} MiB at most in one task, × {MEMORY_ROOM} = "
        f"{_memory_needed(measured)} MiB; {best.memory} MiB is the least that Fargate has for it "
        f"with {vcpu:g} vCPU",
    ]
    knee = knee_a_task(measured, objective)
    if knee is not None:
        lines.append(
            f"the limits held up to {knee:.0f}/s a task; × {best.tasks} tasks × {KNEE_ROOM:.0%} = "
            f"{knee * best.tasks * KNEE_ROOM:.0f}/s on CPUs of that size"
        )
    return tuple(lines)


def _edits(best: Size, now: Size) -> tuple[Edit, ...]:
    edits = []
    if best.cpu != now.cpu:
        edits.append(Edit("task", ("cpu",), str(best.cpu)))
    if best.memory != now.memory:
        edits.append(Edit("task", ("memory",), str(best.memory)))
    if best.tasks != now.tasks:
        edits.append(Edit("service", ("desiredCount",), best.tasks))
    return tuple(edits)


def _advice(best: Size, now: Size, certainty: Certainty, worst: Held) -> tuple[str, ...]:
    if best != now:
        again = "Rehearse again with the new size: this one was reckoned, not tried."
        if certainty is Certainty.HINT:
            return ("Cure the findings of `hikkoshi report` first: they decide the size.", again)
        return (again,)
    if certainty is Certainty.FACT and worst.length_s < 60:
        return (f"{worst.length_s:.0f} s of load were rehearsed; rehearse without --quick.",)
    return ()


def _ms(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
