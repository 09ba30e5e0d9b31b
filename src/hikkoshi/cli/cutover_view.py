"""How a cutover looks to its user: the checklist, the steps as they pass, where it stands."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from hikkoshi.base.units import format_duration
from hikkoshi.cutover.actions import name_of, say
from hikkoshi.cutover.checklist import Checked, Item
from hikkoshi.cutover.journal import Journal
from hikkoshi.cutover.reading import say_limits
from hikkoshi.cutover.retiring import Leftover
from hikkoshi.cutover.state import Phase, State
from hikkoshi.cutover.values import Decision, Move, Side, Snapshot

_COLOURS = {Checked.OK: "green", Checked.WRONG: "red", Checked.NOT_CHECKED: "yellow"}


class View:
    """is_quiet: nothing but errors, for --json."""

    def __init__(self, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._is_live = not is_quiet and sys.stderr.isatty()

    def say(self, text: str = "") -> None:
        if not self._is_quiet:
            self._clear()
            click.echo(text)

    def _clear(self) -> None:
        if self._is_live:
            click.echo("\r\x1b[K", nl=False, err=True)

    def begins(self, service: str, state: State) -> None:
        assert state.place is not None and state.plan is not None
        plan = state.plan
        steps = " → ".join(f"{step} %" for step in plan.steps)
        self.say(f"{click.style('Cutover', bold=True)} of {service}: {state.place.words}")
        self.say(f"  from   {name_of(state.place.old)}")
        self.say(f"  to     {name_of(state.place.new)}")
        self.say(f"  steps  {steps}, each held for {format_duration(plan.hold_s)}")
        self.say(f"  back   on {say_limits(plan.limits)}")
        if state.clock is not None:
            self.say(
                f"  clock  {state.clock.group}: the account goes back by itself 2 to 4 minutes "
                "after this tool's last sign of life"
            )

    def checklist(self, items: Sequence[Item]) -> None:
        self.say(click.style("Checklist", bold=True))
        for item in items:
            mark = click.style(f"{item.state.value:<11}", fg=_COLOURS[item.state])
            self.say(f"  {mark} {item.name}: {item.words}")

    def tick(self, state: State, seen: Snapshot, decision: Decision) -> None:
        """Called at each look; on a terminal the last line is always now."""
        line = (
            f"  {state.percent:>3} %  {format_duration(max(0.0, seen.held_s)):>8}  "
            f"new {say_side(seen.whole.new)} | old {say_side(seen.whole.old)}"
        )
        if seen.whole.nobodys:
            line += f" | the load balancer itself: {seen.whole.nobodys} failed"
        if decision.move is Move.STAY:
            if self._is_live:
                width = shutil.get_terminal_size().columns
                text = f"{line} | {decision.why}"[: max(40, width - 1)]
                click.echo(f"\r\x1b[K{text}", nl=False, err=True)
            return
        colour = "red" if decision.move is Move.BACK else "green"
        what = {Move.BACK: "back to 0 %", Move.ADVANCE: f"on to {decision.percent} %"}
        self.say(line)
        words = what.get(decision.move, "cut over")
        self.say(f"         {click.style(words, fg=colour)}: {decision.why}")

    def ended(self, state: State) -> None:
        if state.phase is Phase.BACK:
            took = ""
            if state.t_breach is not None and state.t_back is not None:
                took = f" within {format_duration(state.t_back - state.t_breach)}"
            text = click.style("Went back", fg="red", bold=True)
            self.say(f"{text}{took}: {state.why}")
        elif state.phase is Phase.CUT_OVER:
            text = click.style("Cut over", fg="green", bold=True)
            self.say(
                f"{text}: all traffic is on the new side. The old side stays warm; `hikkoshi "
                "cutover back` still goes back, `hikkoshi cutover finish` ends it."
            )
        elif state.phase is Phase.RESTING:
            self.say(
                f"At {state.percent} %: {state.why}. Nobody watches until `hikkoshi cutover "
                "advance`; `hikkoshi cutover back` goes back."
            )

    def leftovers(self, found: Sequence[Leftover]) -> None:
        self.say(click.style("What can be retired now (nothing was deleted)", bold=True))
        for each in found:
            self.say(f"  {each.what}")
            if each.command:
                self.say(click.style(f"      {each.command}", dim=True))

    def status(self, journal: Journal, state: State, is_alive: bool) -> None:
        if state.phase is Phase.NONE:
            self.say("No cutover has been begun here.")
            return
        assert state.place is not None and state.plan is not None
        who = " (a process is at it)" if is_alive else ""
        self.say(f"{click.style(state.phase.value, bold=True)}{who}: {state.percent} % new")
        self.say(f"  where    {state.place.words}")
        self.say(f"  from/to  {name_of(state.place.old)} → {name_of(state.place.new)}")
        self.say(f"  rule     {say(state.live)}")
        if state.why:
            self.say(f"  why      {state.why}")
        if state.clock is not None and state.needs_somebody:
            self.say(f"  clock    {journal.id} of {state.clock.group}, in the account")
        self.say(f"  journal  {journal.file}")


def say_side(side: Side) -> str:
    p99 = "–" if side.p99_s is None else format_duration(side.p99_s)
    return f"{side.requests} requests, {side.errors} failed, p99 {p99}"


def document(
    journal: Journal, state: State, checklist: Sequence[Item] = (), found: Sequence[Leftover] = ()
) -> dict[str, Any]:
    """What --json prints."""
    return {
        "id": journal.id,
        "phase": state.phase.value,
        "percent": state.percent,
        "why": state.why,
        "dead_man": None if state.clock is None else state.clock.group,
        "place": None if state.place is None else dataclasses.asdict(state.place),
        "plan": None if state.plan is None else dataclasses.asdict(state.plan),
        "began": stamp(state.t_begun),
        "breach_seen": stamp(state.t_breach),
        "went_back": stamp(state.t_back),
        "cut_over": stamp(state.t_cut_over),
        "checklist": [dataclasses.asdict(item) for item in checklist],
        "can_be_retired": [dataclasses.asdict(each) for each in found],
        "journal": None if journal.file is None else str(journal.file),
    }


def stamp(t: float | None) -> str | None:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t)) if t else None


def print_json(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
