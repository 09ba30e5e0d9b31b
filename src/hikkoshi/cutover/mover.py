"""Carries a cutover out: looks, decides, sets the weights; journals before and after each change.

Whatever stops it, the traffic ends on a side that was chosen: a breach, Ctrl-C, SIGTERM and any
error send it back before the process ends; after SIGKILL the next command does, from the journal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from hikkoshi.base.errors import AwsRefused, CannotRun, HikkoshiError
from hikkoshi.base.signals import signals_wait
from hikkoshi.base.units import format_duration
from hikkoshi.cutover import actions as acts
from hikkoshi.cutover.actions import Actions
from hikkoshi.cutover.beside import (
    NO_SIGN,
    Beside,
    DeploymentInTheWay,
    Sign,
    nothing_beside,
)
from hikkoshi.cutover.dead_man import NO_CLOCK, Clock
from hikkoshi.cutover.deciding import decide
from hikkoshi.cutover.journal import Journal, whoami
from hikkoshi.cutover.judging import LEAST_FOR_P99
from hikkoshi.cutover.metrics import Pace
from hikkoshi.cutover.place import Place
from hikkoshi.cutover.rounds import Rounds
from hikkoshi.cutover.state import Phase, State, plan_to
from hikkoshi.cutover.values import Asked, Decision, Move, Plan, Snapshot, Window

GIVE_UP_S = 120.0
"""For so long the way back is tried again and again; then a person is told what to type."""

Tell = Callable[[State, Snapshot, Decision], None]


class RuleToMove(Protocol):
    place: Place

    def read(self) -> Actions: ...

    def write(self, actions: Actions) -> None: ...

    def command(self, actions: Actions) -> str: ...


class Sight(Protocol):
    def between(self, start: float, end: float) -> Window: ...

    def healthy(self) -> int: ...


class ChangedMeanwhile(HikkoshiError):
    """Someone else has changed the rule; nothing was done to it."""

    exit_code = 3


class CannotGoBack(CannotRun):
    """The traffic is where it was not meant to stay; `fix` is what a person can type."""


class Mover:
    """One cutover, by the process that holds the journal's lock. now: epoch seconds."""

    def __init__(
        self,
        rule: RuleToMove,
        sight: Sight,
        journal: Journal,
        pace: Pace,
        rounds: Rounds,
        tell: Tell = lambda state, snapshot, decision: None,
        clock: Clock = NO_CLOCK,
        sign: Sign = NO_SIGN,
        beside: Beside = nothing_beside,
        now: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rule = rule
        self._sight = sight
        self._journal = journal
        self._pace = pace
        self._rounds = rounds
        self._tell = tell
        self._clock = clock
        self._sign = sign
        self._beside = beside
        self._now = now
        self._pause = pause
        self._asked: Asked | None = None
        self._unwritten: CannotRun | None = None

    def begin(
        self, plan: Plan, *, is_stepwise: bool = False, service: tuple[str, str] | None = None
    ) -> None:
        """Write down what there is, before anything is changed. service: cluster and name of the
        new side's. CannotRun if a deployment of it, or another cutover, is under way."""
        live = self._rule.read()
        place = self._rule.place
        if acts.shared_by(live) - {place.new} != {place.old}:
            raise ChangedMeanwhile(
                f"the rule does not forward to {acts.name_of(place.old)} alone: {acts.say(live)}"
            )
        self.need_free()
        self._journal.begin()
        self._journal.append(
            "begun",
            place=dataclasses.asdict(place),
            plan=plan_to(plan),
            stepwise=is_stepwise,
            actions=live,
            clock=dataclasses.asdict(self._clock.home) if self._clock.home else None,
            service=service,
            marked=self._sign.is_shown,
        )
        self._sign.show(self._journal.id, whoami())
        # Again: a deploy may have looked for the sign before it was there.
        self.need_alone()
        self._clock.start(self._journal.id, place, live)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """From `begin` on traffic may move, and is somebody's: whatever ends this block before its
        time (Ctrl-C, SIGTERM, a call that stays refused, a full disk, a defect) sends it back
        first. Only what someone else has made of the rule is left as it is."""
        try:
            yield
        except (ChangedMeanwhile, CannotGoBack):
            raise
        except (KeyboardInterrupt, SystemExit):
            self.go_back("the tool was interrupted")
            raise
        except BaseException as error:
            what = error.what if isinstance(error, HikkoshiError) else repr(error)
            self.go_back(f"the tool could not go on: {what}")
            raise

    def show_new_side(self, deadline_s: float, needed: int = 1) -> None:
        """Put the new group into the rule with weight 0, so that the load balancer checks its
        targets, and wait until `needed` are healthy. If that does not happen the rule is put back;
        raises CannotRun."""
        self._set(self._journal.state(), 0, -1)
        deadline = self._now() + deadline_s
        while (healthy := self._sight.healthy()) < needed:
            self._clock.push()
            if self._now() > deadline:
                why = f"{healthy} of {needed} targets of the new side are healthy"
                self.go_back(f"{why} after {format_duration(deadline_s)}")
                raise CannotRun(f"{why} after {format_duration(deadline_s)}; no traffic was moved")
            self._pause(min(self._pace.every_s, 1.0))

    def next_step(self) -> None:
        """Set the weights of the step after the one that is set."""
        state = self._journal.state()
        assert state.plan is not None
        self.need_alone()
        if state.phase is Phase.RESTING:
            # From here on somebody must watch: a kill between this and the watch is no rest.
            self._journal.append("watching")
            assert state.place is not None
            self._clock.start(self._journal.id, state.place, state.original)
        step = state.step + 1
        self._set(state, state.plan.steps[step], step)

    def run(self) -> State:
        """Hold and go on until it is over or, step by step, until this step is passed; `watched`.
        Raises ChangedMeanwhile."""
        with self.watched(), self._rounds:
            self._journal.append("watching")
            return self._run()

    def _run(self) -> State:
        well_at = self._now()
        while True:
            try:
                if self._is_through():
                    return self._journal.state()
                well_at = self._now()
            except AwsRefused as error:
                if self._now() - well_at > self._pace.blind_s:
                    blind = format_duration(self._pace.blind_s)
                    self.go_back(f"AWS has refused for {blind}: {error.what}")
                    return self._journal.state()
                self._pause(self._pace.every_s)

    def _is_through(self) -> bool:
        """Look, decide, and do that. Whether the process may end."""
        state = self._journal.state()
        assert state.plan is not None
        snapshot = self._look(state)
        decision = decide(state.plan, snapshot)
        self._tell(state, snapshot, decision)
        return self._carry_out(state, snapshot, decision)

    def _carry_out(self, state: State, snapshot: Snapshot, decision: Decision) -> bool:
        """Whether the process may end."""
        if decision.move is Move.STAY:
            self._pause(self._pace.every_s)
            return False
        if decision.move is Move.BACK:
            self.go_back(decision.why)
            return True
        if snapshot.whole.old.requests >= LEAST_FOR_P99:
            self._journal.append("reference", side=dataclasses.asdict(snapshot.whole.old))
        if decision.move is Move.DONE:
            self._clock.stop(self._journal.id)
            self._journal.append("cut over", why=decision.why)
            return True
        if state.is_stepwise:
            self._clock.stop(self._journal.id)
            self._journal.append("resting", why=decision.why)
            return True
        self.need_alone()
        self._set(self._journal.state(), decision.percent, snapshot.step + 1)
        return False

    def _look(self, state: State) -> Snapshot:
        self._clock.push()
        self._need_ours(state)
        now = self._now()
        since = now - state.t_set
        asked = self._journal.take_asked()
        if asked is not None:
            self._asked = asked
        recent = self._sight.between(max(state.t_set, now - self._pace.recent_s), now)
        whole = recent
        if since > self._pace.recent_s:
            whole = self._sight.between(state.t_set, now)
        return Snapshot(
            step=state.step,
            held_s=since,
            whole=whole,
            recent=recent,
            reference=state.reference,
            healthy=self._sight.healthy(),
            failed_tests=self._rounds.failed,
            runs=self._rounds.runs_since(state.t_set),
            asked=self._asked,
        )

    def _set(self, state: State, percent: int, step: int) -> None:
        assert state.place is not None
        self._need_ours(state)
        wanted = acts.with_weights(state.original, state.place.old, state.place.new, percent)
        self._journal.append("setting", percent=percent, actions=wanted)
        self._rule.write(wanted)
        self._journal.append("set", percent=percent, step=step)
        if self._asked is Asked.ADVANCE:
            self._asked = None

    def _need_ours(self, state: State) -> None:
        live = self._rule.read()
        if not state.expects(live):
            raise changed(self._rule, state, live)

    def need_free(self) -> None:
        """CannotRun if another cutover, or a deployment that shifts traffic, is under way."""
        self._sign.need_free()
        self.need_alone()

    def need_alone(self) -> None:
        """CannotRun if a deployment of the service shifts traffic."""
        words = self._beside()
        if words is not None:
            raise DeploymentInTheWay(words)

    def go_back(self, why: str, *, is_forced: bool = False) -> None:
        """All traffic to where it was before the cutover began: the rule as it was, to the letter.

        Tried for GIVE_UP_S; then CannotGoBack says what to type. Signals wait. is_forced: also over
        what someone else has made of the rule. A journal that cannot be written does not keep the
        traffic from going back; CannotRun tells of it afterwards."""
        state = self._journal.state()
        if state.is_over:
            return
        with signals_wait():
            if state.phase is not Phase.RETURNING:
                self._note("going back", why=why)
            self._put_back_at_last(state, is_forced)
            # If it cannot be stopped it goes off later, and finds that there is nothing to do.
            with contextlib.suppress(AwsRefused):
                self._clock.stop(self._journal.id)
            with contextlib.suppress(AwsRefused):
                self._sign.take_away(self._journal.id)
            self._note("back", why=why)
        if self._unwritten is not None:
            raise CannotRun(
                f"the traffic is back where it was, but {self._unwritten.what}",
                fix="make room for it, and run `hikkoshi cutover status`",
            ) from self._unwritten

    def _put_back_at_last(self, state: State, is_forced: bool) -> None:
        deadline = self._now() + GIVE_UP_S
        while True:
            try:
                self._put_back(state, is_forced)
                return
            except AwsRefused as error:
                if self._now() > deadline:
                    raise CannotGoBack(
                        f"the traffic could not be sent back: {error.what}",
                        fix=f"type: {self._rule.command(state.original)}",
                    ) from error
                self._pause(0.5)

    def _put_back(self, state: State, is_forced: bool) -> None:
        live = self._rule.read()
        is_there = acts.are_same(live, state.original)
        if not (is_there or is_forced or state.expects(live)):
            raise changed(self._rule, state, live)
        self._note("setting", percent=0, actions=state.original)
        if not is_there:
            self._rule.write(state.original)
            if not acts.are_same(self._rule.read(), state.original):
                raise AwsRefused("the rule is not what it was just set to")
        self._note("set", percent=0, step=-1)

    def _note(self, event: str, **fields: Any) -> None:
        """As the journal's append; where that cannot write, what has to be done is done first."""
        try:
            self._journal.append(event, **fields)
        except CannotRun as error:
            self._unwritten = error

    def recover(self) -> str | None:
        """What a killed process left half done is undone; a sentence on it, None if there was
        nothing. Only the holder of the lock may ask."""
        state = self._journal.state()
        if not state.needs_somebody:
            return None
        at = f"at {state.percent} %" if state.asked_percent is None else "while weights were set"
        why = state.why or f"the tool was killed {at}"
        self.go_back(why)
        return f"a cutover was left {at} by a process that is gone; the traffic was sent back"

    def finish(self) -> None:
        """The old group is taken out of the rule."""
        state = self._journal.state()
        assert state.place is not None
        self._need_ours(state)
        wanted = acts.only_to(state.original, state.place.old, state.place.new)
        self._journal.append("setting", percent=100, actions=wanted)
        self._rule.write(wanted)
        self._journal.append("set", percent=100, step=state.step)
        with contextlib.suppress(AwsRefused):
            self._sign.take_away(self._journal.id)
        self._journal.append("finished")

    def leave(self) -> None:
        """The rule stays as someone else has made it, and the cutover is over."""
        with contextlib.suppress(AwsRefused):
            self._sign.take_away(self._journal.id)
        self._journal.append("back", why="the rule was left as someone else has made it")


def changed(rule: RuleToMove, state: State, live: Actions) -> ChangedMeanwhile:
    expected = f"    expected: {acts.say(state.expected)}"
    return ChangedMeanwhile(
        "someone else has changed the rule since; nothing was done to it\n"
        f"{expected}\n    found:    {acts.say(live)}",
        where=rule.place.words,
        fix="`hikkoshi cutover back --force` puts the rule back as it was before the cutover; "
        "`hikkoshi cutover back --leave` leaves it as it is and ends the cutover",
    )
