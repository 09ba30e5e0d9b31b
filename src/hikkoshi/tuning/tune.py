"""All settings at once, with what they cost. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from hikkoshi.fargate.prices import ARM, X86, Price, price_of
from hikkoshi.model.findings import Certainty
from hikkoshi.tuning import resources, scaling, size, timings
from hikkoshi.tuning.choice import Answer, Choice, Edit
from hikkoshi.tuning.measured import Measured
from hikkoshi.tuning.present import Objective, Present


@dataclass(frozen=True, slots=True)
class Cost:
    """Dollars a month of the tasks alone, on demand. None: no price, or no size, is known."""

    region: str
    price: Price | None
    now: float | None
    wanted: float | None
    other: Price | None
    """The other architecture's price."""
    other_wanted: float | None


@dataclass(frozen=True, slots=True)
class Tuning:
    answers: tuple[Answer, ...]
    cost: Cost

    @property
    def edits(self) -> tuple[Edit, ...]:
        return tuple(edit for one in self.answers if isinstance(one, Choice) for edit in one.edits)

    @property
    def is_sized(self) -> bool:
        """Whether a size is known, by more than a hint, that meets the objective."""
        return any(
            isinstance(one, size.SizeChoice) and one.certainty is not Certainty.HINT
            for one in self.answers
        )


def tune(measured: Measured, present: Present, objective: Objective, region: str) -> Tuning:
    price = price_of(region, present.architecture)
    sized = size.decide_size(measured, present, objective, price)
    wanted = _wanted(sized)
    tasks = present.tasks
    if isinstance(sized, size.SizeChoice) and sized.certainty is not Certainty.HINT:
        tasks = sized.size.tasks  # nothing else is built on a hint
    answers: tuple[Answer, ...] = (
        sized,
        scaling.decide_scaling(measured, present, objective, tasks),
        resources.decide_nofile(measured, present),
        resources.decide_pool(measured, present, objective, tasks),
        timings.decide_health(measured, present, objective),
        timings.decide_grace(measured, present),
        timings.decide_drain(measured, present),
        timings.decide_stop(measured, present),
    )
    return Tuning(answers, _cost(region, price, present, wanted))


def _wanted(answer: Answer) -> size.Size | None:
    return answer.size if isinstance(answer, size.SizeChoice) else None


def _cost(region: str, price: Price | None, present: Present, wanted: size.Size | None) -> Cost:
    other = price_of(region, ARM if present.architecture == X86 else X86)

    def month(of: Price | None, one: size.Size | None) -> float | None:
        return of.month(one.cpu, one.memory, one.tasks) if of and one else None

    now = size.Size(present.cpu, present.memory, present.tasks)
    return Cost(region, price, month(price, now), month(price, wanted), other, month(other, wanted))
