"""Where a cutover stands, as a pure function of its journal's lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hikkoshi.cutover.actions import Actions, are_same
from hikkoshi.cutover.place import Place
from hikkoshi.cutover.values import ClockHome, Limits, Plan, Side, TooFew


class Phase(StrEnum):
    NONE = "none"
    MOVING = "moving"
    """A process holds a step, or should."""
    RESTING = "resting"
    """Between two steps of a cutover that is advanced by hand; nobody need be there."""
    RETURNING = "going back"
    BACK = "back"
    CUT_OVER = "cut over"
    FINISHED = "finished"


OVER = frozenset({Phase.NONE, Phase.BACK, Phase.FINISHED})


@dataclass(frozen=True, slots=True)
class State:
    """percent: what was last known to be set; asked_percent: what was about to be, if that is not
    known to have happened. t_: epoch seconds."""

    phase: Phase = Phase.NONE
    place: Place | None = None
    plan: Plan | None = None
    is_stepwise: bool = False
    step: int = -1
    percent: int = 0
    asked_percent: int | None = None
    original: Actions = dataclasses.field(default_factory=list)
    live: Actions = dataclasses.field(default_factory=list)
    unsure: tuple[Actions, ...] = ()
    """All that was about to be set since `live` was. A process that is killed leaves one, and one
    that is killed while it undoes that leaves another: each of them may be what is there."""
    why: str = ""
    t_begun: float = 0.0
    t_set: float = 0.0
    t_cut_over: float | None = None
    t_breach: float | None = None
    t_back: float | None = None
    reference: Side = Side()
    clock: ClockHome | None = None
    """Where the account's own clock of this cutover is, if it has one."""
    service: tuple[str, str] | None = None
    """Cluster and name of the new side's service, where they are known."""
    is_marked: bool = False
    """Whether both target groups have its mark."""
    warnings: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.phase in OVER

    @property
    def needs_somebody(self) -> bool:
        """Whether traffic moves and a process should be watching; if none does, it was killed."""
        return self.phase in (Phase.MOVING, Phase.RETURNING)

    @property
    def expected(self) -> Actions:
        return self.unsure[-1] if self.unsure else self.live

    def expects(self, actions: Actions) -> bool:
        """Whether these actions are of our making: the last ones, or those that were under way."""
        return any(are_same(actions, each) for each in (self.live, *self.unsure))


def state_of(events: Iterable[Mapping[str, Any]]) -> State:
    state = State()
    for event in events:
        state = _after(state, event)
    return state


def _after(state: State, event: Mapping[str, Any]) -> State:
    change = dataclasses.replace
    kind, t = event["event"], float(event.get("t", 0.0))
    if kind == "begun":
        return State(
            phase=Phase.MOVING,
            place=Place(**event["place"]),
            plan=plan_from(event["plan"]),
            is_stepwise=bool(event["stepwise"]),
            original=event["actions"],
            live=event["actions"],
            t_begun=t,
            t_set=t,
            clock=ClockHome(**event["clock"]) if event.get("clock") else None,
            service=tuple(event["service"]) if event.get("service") else None,
            is_marked=bool(event.get("marked")),
        )
    if kind == "setting":
        unsure = (*state.unsure, event["actions"])
        return change(state, asked_percent=event["percent"], unsure=unsure)
    if kind == "set":
        return change(
            state,
            percent=event["percent"],
            step=event.get("step", state.step),
            live=state.expected,
            unsure=(),
            asked_percent=None,
            t_set=t,
        )
    if kind == "reference":
        return change(state, reference=Side(**event["side"]))
    if kind == "resting":
        return change(state, phase=Phase.RESTING, why=event["why"])
    if kind == "watching":
        return change(state, phase=Phase.MOVING)
    if kind == "going back":
        return change(state, phase=Phase.RETURNING, why=event["why"], t_breach=t)
    if kind == "back":
        return change(state, phase=Phase.BACK, t_back=t)
    if kind == "cut over":
        return change(state, phase=Phase.CUT_OVER, why=event["why"], t_cut_over=t)
    if kind == "finished":
        return change(state, phase=Phase.FINISHED)
    return state


def plan_to(plan: Plan) -> dict[str, Any]:
    return dataclasses.asdict(plan)


def plan_from(document: Mapping[str, Any]) -> Plan:
    return Plan(
        **{
            **document,
            "steps": tuple(document["steps"]),
            "limits": Limits(**document["limits"]),
            "too_few": TooFew(document["too_few"]),
        }
    )
