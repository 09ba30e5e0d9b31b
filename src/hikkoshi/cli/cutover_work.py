"""One command of `hikkoshi cutover` at work: the lock, the recovery, what is built for it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.cli.cutover_setup import Where, synthetic_run
from hikkoshi.cli.cutover_view import View, document, print_json
from hikkoshi.cli.places import OWN_DIRECTORY
from hikkoshi.cutover.beside import (
    NO_SIGN,
    Beside,
    Sign,
    TagSign,
    look_beside,
    nothing_beside,
)
from hikkoshi.cutover.checklist import Checked, Item, check, gather
from hikkoshi.cutover.dead_man import NO_CLOCK, Clock, DeadMansClock, find_home
from hikkoshi.cutover.journal import Journal
from hikkoshi.cutover.metrics import Metrics, Pace
from hikkoshi.cutover.mover import Mover
from hikkoshi.cutover.place import Place, Rule
from hikkoshi.cutover.rounds import Rounds
from hikkoshi.cutover.state import Phase, State
from hikkoshi.cutover.values import Asked, Plan

ASKED_S = 60.0
"""For so long a wish to another process is waited for."""


class Work:
    """One command at work on the journal of DIRECTORY."""

    def __init__(self, directory: Path, access: Access | None, as_json: bool) -> None:
        self._directory = directory
        self._access = access
        self._as_json = as_json
        self._checklist: tuple[Item, ...] = ()
        self._clock: Clock | None = None
        self.is_marking = True
        """Whether a cutover that begins tells others of itself by a tag."""
        self.view = View(as_json)
        self.journal = Journal(directory / OWN_DIRECTORY / "cutover")

    @property
    def access(self) -> Access:
        assert self._access is not None
        return self._access

    @contextlib.contextmanager
    def moving(
        self, instead: Callable[[], None] | None = None, *, recovers: bool = True
    ) -> Iterator[bool]:
        """Whether this process may move traffic. What a killed one left is undone first, and the
        command ends there with exit code 1."""
        with self.journal.locked() as is_ours:
            if not is_ours and instead is None:
                raise CannotRun(
                    "another process is at this cutover",
                    where=str(self.journal.directory),
                    fix="`hikkoshi cutover hold`, `advance` and `back` tell it what to do",
                )
            if not is_ours and instead is not None:
                instead()
                yield False
                return
            state = self.journal.state()
            if recovers and state.needs_somebody:
                assert state.place is not None
                said = self.plain_mover(state.place).recover()
                self.view.say(click.style(f"Recovered: {said}.", fg="yellow"))
                self.report()
                raise click.exceptions.Exit(1)
            yield True

    def need(self, phase: Phase, otherwise: str) -> State:
        state = self.journal.state()
        if state.phase is Phase.NONE:
            raise BadInput(
                f"{otherwise}; none was ever begun here",
                where=str(self.journal.directory),
                fix="name the directory in which it was begun, or begin one: `hikkoshi cutover "
                "start DIR --from GROUP`",
            )
        if state.phase is not phase:
            raise BadInput(
                f"{otherwise}; the last one here is: {state.phase.value}",
                where=str(self.journal.directory),
                fix="`hikkoshi cutover status` shows it",
            )
        return state

    def ask(self, what: Asked) -> None:
        self.journal.ask(what)
        self.view.say(f"The process that is at this cutover was told: {what.value}.")

    def wait_for_the_other(self) -> None:
        """Until the process that is at this cutover has ended, by itself or by a kill."""
        deadline = time.monotonic() + ASKED_S
        while self.journal.is_held():
            if time.monotonic() > deadline:
                raise CannotRun(
                    f"the other process did not go back within {ASKED_S:g} s",
                    fix="end it and run `hikkoshi cutover back` again",
                )
            time.sleep(0.1)

    def use_clock(self, stack: str | None) -> None:
        """Of a cutover that begins. BadInput if there is no such stack."""
        if stack is None:
            return
        self._clock = DeadMansClock(self.access, find_home(self.access, stack))
        if self.access.is_local:
            self.view.say(
                click.style("NOT PLAYED", fg="yellow")
                + " dead man's clock: it is set as in an account, but in a local region nobody "
                "calls the function"
            )

    def clock(self) -> Clock:
        """Of the cutover that is under way, whichever process began it."""
        state = self.journal.state()
        if self._clock is not None:
            return self._clock
        if state.is_over or state.clock is None:
            return NO_CLOCK
        return DeadMansClock(self.access, state.clock)

    def plain_mover(self, at: Place) -> Mover:
        """For a change that needs no watching."""
        pace = Pace.of(self.access)
        sight = Metrics(self.access, at, pace)
        rule, rounds = Rule(self.access, at), Rounds(None, 1)
        return Mover(
            rule, sight, self.journal, pace, rounds, clock=self.clock(), sign=self._sign(at)
        )

    def _sign(self, at: Place) -> Sign:
        """Of the cutover that is under way; else of the one that is about to begin."""
        state = self.journal.state()
        is_shown = self.is_marking if state.is_over else state.is_marked
        return TagSign(self.access, at) if is_shown else NO_SIGN

    def _beside(self, service: tuple[str, str] | None) -> Beside:
        return nothing_beside if service is None else look_beside(self.access, *service)

    def _service(self, where: Where) -> tuple[str, str] | None:
        """Cluster and name: of the cutover that is under way, else as the project has them."""
        state = self.journal.state()
        if not state.is_over:
            return state.service
        if where.cluster is None or where.service is None:
            return None
        return where.cluster, where.service

    def mover(self, where: Where, synthetic: Path | None, base_url: str | None) -> Mover:
        pace = Pace.of(self.access)
        run = synthetic_run(self.access, where, synthetic, base_url)
        return Mover(
            Rule(self.access, where.place),
            Metrics(self.access, where.place, pace),
            self.journal,
            pace,
            Rounds(run, pace.tests_every_s),
            self.view.tick,
            clock=self.clock(),
            sign=self._sign(where.place),
            beside=self._beside(self._service(where)),
        )

    def with_tests(self, plan: Plan, where: Where, synthetic: Path | None) -> Plan:
        """The plan, with the synthetic limit taken out, and said so, where there are no tests."""
        if not plan.limits.has_synthetic or synthetic or where.synthetic:
            return plan
        self.view.say(
            click.style("NOT CHECKED", fg="yellow")
            + " synthetic tests: hikkoshi.yaml has no `synthetic:` and --synthetic was not given"
        )
        return dataclasses.replace(
            plan, limits=dataclasses.replace(plan.limits, has_synthetic=False)
        )

    def start(
        self,
        where: Where,
        plan: Plan,
        is_stepwise: bool,
        despite_checklist: bool,
        synthetic: Path | None,
        base_url: str | None,
    ) -> int:
        if not self.journal.state().is_over:
            phase = self.journal.state().phase.value
            raise BadInput(
                f"a cutover is under way here ({phase})",
                fix="`hikkoshi cutover advance`, `back` or `finish` it first",
            )
        rule = Rule(self.access, where.place)
        mover, service = self.mover(where, synthetic, base_url), self._service(where)
        mover.need_free()
        facts = gather(
            self.access, where.place, rule.read(), where.cluster, service[1] if service else None
        )
        self._checklist = check(facts)
        self.view.checklist(self._checklist)
        wrong = [item for item in self._checklist if item.state is Checked.WRONG]
        if wrong and not despite_checklist:
            raise CannotRun(
                f"the checklist has {', '.join(item.name for item in wrong)} as WRONG; no traffic "
                "was moved",
                fix="put it right, or give --despite-checklist",
            )
        with self.carried_through(mover):
            mover.begin(plan, is_stepwise=is_stepwise, service=service)
            self._save_checklist()
            self.view.begins(where.service or "a service", self.journal.state())
            mover.show_new_side(deadline_s=300.0)
            mover.next_step()
            mover.run()
        return self.ended()

    def _save_checklist(self) -> None:
        assert self.journal.file is not None
        items = [dataclasses.asdict(item) for item in self._checklist]
        self.journal.append("checklist", items=items)
        text = json.dumps(items, indent=2, ensure_ascii=False)
        self.journal.file.with_suffix(".checklist.json").write_text(text + "\n", "utf-8")

    @contextlib.contextmanager
    def carried_through(self, mover: Mover) -> Iterator[None]:
        """What was done is said also when it ends by an error or a signal."""
        try:
            with mover.watched():
                yield
        except BaseException:
            with contextlib.suppress(OSError):
                self.view.ended(self.journal.state())
            raise

    def ended(self) -> int:
        state = self.journal.state()
        self.view.ended(state)
        self.report()
        return 1 if state.phase is Phase.BACK else 0

    def show_status(self, *, is_alive: bool) -> None:
        self.view.status(self.journal, self.journal.state(), is_alive)
        if self._as_json:
            print_json(document(self.journal, self.journal.state(), self._checklist))

    def report(self, found: Any = ()) -> int:
        """The end of a command that did what was asked; the whole as JSON, if that is wanted."""
        state = self.journal.state()
        if found:
            self.view.leftovers(found)
        if self._as_json:
            print_json(document(self.journal, state, self._checklist, found))
        return 0
