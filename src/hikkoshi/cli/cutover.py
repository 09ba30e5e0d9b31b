"""`hikkoshi cutover`: the traffic, from the old side to the new one, a step at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.base.units import format_duration, parse_duration
from hikkoshi.cli.cutover_setup import Where, aim, reach, synthetic_run
from hikkoshi.cli.cutover_view import View, document, print_json
from hikkoshi.cli.places import OWN_DIRECTORY
from hikkoshi.cli.where import place_options
from hikkoshi.cutover.checklist import Checked, Item, check, gather
from hikkoshi.cutover.journal import Journal
from hikkoshi.cutover.metrics import Metrics, Pace
from hikkoshi.cutover.mover import Mover
from hikkoshi.cutover.place import Place, Rule
from hikkoshi.cutover.reading import read_limits, read_steps
from hikkoshi.cutover.retiring import leftovers
from hikkoshi.cutover.rounds import Rounds
from hikkoshi.cutover.state import Phase, State
from hikkoshi.cutover.values import Asked, Plan, TooFew

Command = TypeVar("Command", bound=Callable[..., Any])
ASKED_S = 60.0
"""For so long a wish to another process is waited for."""

EXAMPLES = """
\b
Examples:
  hikkoshi cutover start . --from web-ec2 --profile production
  hikkoshi cutover start . --steps 5,50,100 --hold 2m --abort-on 'errors>0.1%, synthetic failed'
  hikkoshi cutover start . --stepwise && hikkoshi cutover advance .
  hikkoshi cutover back .
  hikkoshi cutover finish . --warm 48h

Exit codes: 0 cut over (or done as asked), 1 went back, 2 wrong use or bad input, 3 could not run,
or the rule was changed by someone else.
"""


@click.group(epilog=EXAMPLES)
def cutover() -> None:
    """Move the traffic of a load balancer's rule from the old side to the new one.

    The rule gets both target groups with weights; each step is held while both sides are compared;
    any breach goes back to where it was, by itself. What is done lies in DIR/.hikkoshi/cutover.
    A process that was killed is noticed by the next command, whichever it is: it goes back first.
    """


def _common(command: Command) -> Command:
    command = click.option("--json", "as_json", is_flag=True, help="JSON alone on stdout.")(command)
    command = place_options(command)
    directory = click.Path(path_type=Path, file_okay=False, exists=True)
    return click.argument("directory", type=directory, default=Path())(command)


def _watch_options(command: Command) -> Command:
    for option in (
        click.option("--base-url", help="For the tests; else the listener's own address."),
        click.option(
            "--synthetic",
            type=click.Path(path_type=Path, dir_okay=False, exists=True),
            help="A file of synthetic tests; else the one that hikkoshi.yaml names.",
        ),
    ):
        command = option(command)
    return command


@cutover.command("start", epilog=EXAMPLES)
@_common
@click.option("--from", "old", metavar="GROUP", help="The old side's target group; name or ARN.")
@click.option("--to", "new", metavar="GROUP", help="The new side's; else the service's own.")
@click.option("--listener", metavar="ARN", help="Where, if more than one listener could be meant.")
@click.option("--rule", metavar="ARN", help="Which rule, if more than one could be meant.")
@click.option("--steps", default="1,5,25,50,100", show_default=True, help="Per cent on the new.")
@click.option("--hold", default="10m", show_default=True, help="How long each step is watched.")
@click.option("--hold-at-most", help="With too few requests to tell; else three times --hold.")
@click.option(
    "--abort-on",
    default="errors>0.5%, p99>2x, synthetic failed",
    show_default=True,
    help="What sends the traffic back; also p99>800ms.",
)
@click.option(
    "--least-requests",
    type=click.IntRange(min=1),
    help="On the new side in each step; else what the limits need to be told (600 for 0.5%).",
)
@click.option(
    "--too-few",
    type=click.Choice([each.value for each in TooFew]),
    default=TooFew.BACK.value,
    show_default=True,
    help="What to do if they do not come.",
)
@click.option("--stepwise", is_flag=True, help="End after each step; `advance` takes the next.")
@click.option("--despite-checklist", is_flag=True, help="Start though an item is WRONG.")
@_watch_options
def start(
    directory: Path,
    is_local: bool,
    profile: str | None,
    region: str | None,
    as_json: bool,
    old: str | None,
    new: str | None,
    listener: str | None,
    rule: str | None,
    steps: str,
    hold: str,
    hold_at_most: str | None,
    abort_on: str,
    least_requests: int | None,
    too_few: str,
    stepwise: bool,
    despite_checklist: bool,
    synthetic: Path | None,
    base_url: str | None,
) -> int:
    """Begin, and by default carry through, a cutover; Ctrl-C goes back.

    Between the sides: the new one breaches when so many of its requests failed that chance would
    show as many less than once in a thousand looks, were its true share the limit (or the old
    side's share, if that is higher); or when its p99, over at least 300 requests on each side, is
    beyond the limit and more than 50 ms above the old side's. A step is passed with enough requests
    to tell: 3 divided by the limit.
    """
    held = _duration(hold, "--hold")
    plan = Plan(
        read_steps(steps),
        held,
        max(held, _duration(hold_at_most, "--hold-at-most") if hold_at_most else 3 * held),
        read_limits(abort_on),
        least_requests,
        TooFew(too_few),
    )
    access = reach(is_local, profile, region, directory)
    work = _Work(directory, access, as_json)
    with work.moving():
        where = aim(access, directory, new=new, old=old, listener=listener, rule=rule)
        plan = work.with_tests(plan, where, synthetic)
        return work.start(where, plan, stepwise, despite_checklist, synthetic, base_url)


@cutover.command("advance", epilog=EXAMPLES)
@_common
@_watch_options
def advance(
    directory: Path,
    is_local: bool,
    profile: str | None,
    region: str | None,
    as_json: bool,
    synthetic: Path | None,
    base_url: str | None,
) -> int:
    """Take the next step: of a stepwise cutover, or at once of one that is being watched."""
    work = _Work(directory, reach(is_local, profile, region, directory), as_json)
    with work.moving(instead=lambda: work.ask(Asked.ADVANCE)) as is_ours:
        if not is_ours:
            return 0
        state = work.need(Phase.RESTING, "no cutover waits for its next step")
        assert state.place is not None
        where = Where(state.place, None, None, None)
        with contextlib.suppress(BadInput):
            where = aim(work.access, directory, known=state.place)
        mover = work.mover(where, synthetic, base_url)
        with work.carried_through(mover):
            mover.next_step()
            mover.run()
        return work.ended()


@cutover.command("hold", epilog=EXAMPLES)
@_common
def hold(
    directory: Path, is_local: bool, profile: str | None, region: str | None, as_json: bool
) -> int:
    """Stay at the step that is set, still watched, until `advance` or `back`."""
    work = _Work(directory, reach(is_local, profile, region, directory), as_json)
    with work.moving(instead=lambda: work.ask(Asked.HOLD)) as is_ours:
        if is_ours:
            work.need(Phase.RESTING, "no cutover is under way")
            work.view.say("It rests already; nothing moves until `hikkoshi cutover advance`.")
    return 0


@cutover.command("back", epilog=EXAMPLES)
@_common
@click.option("--force", is_flag=True, help="Also over what someone else has made of the rule.")
@click.option("--leave", is_flag=True, help="Leave the rule as it now is, and end the cutover.")
def back(
    directory: Path,
    is_local: bool,
    profile: str | None,
    region: str | None,
    as_json: bool,
    force: bool,
    leave: bool,
) -> int:
    """All traffic back to where it was, from any step, also after `cut over`.

    Exit code 0: it is back, as asked.
    """
    if force and leave:
        raise BadInput("both --force and --leave", fix="give one of them")
    work = _Work(directory, reach(is_local, profile, region, directory), as_json)
    was_told = False
    while True:
        with work.moving(instead=lambda: work.ask(Asked.BACK), recovers=False) as is_ours:
            if is_ours:
                break_off(work, force=force, leave=leave, was_told=was_told)
                return work.report()
        was_told = True
        work.wait_for_the_other()


def break_off(work: _Work, *, force: bool, leave: bool, was_told: bool) -> None:
    """was_told: another process was to do it, and has ended since."""
    state = work.journal.state()
    if state.is_over:
        if not was_told:
            raise BadInput("no cutover is under way here", fix="`hikkoshi cutover status` shows it")
    elif leave:
        work.journal.append("back", why="the rule was left as someone else has made it")
    else:
        assert state.place is not None
        work.plain_mover(state.place).go_back("as asked", is_forced=force)


@cutover.command("status", epilog=EXAMPLES)
@_common
@click.option("--look-only", is_flag=True, help="Change nothing, even if the tool was killed.")
def status(
    directory: Path,
    is_local: bool,
    profile: str | None,
    region: str | None,
    as_json: bool,
    look_only: bool,
) -> int:
    """Where the cutover of DIRECTORY stands. If its process was killed, the traffic goes back now.

    Run it every minute from cron, on a machine that can reach AWS, and it is a dead man's switch.
    """
    journal = Journal(directory / OWN_DIRECTORY / "cutover")
    if look_only or journal.state().is_over:
        work = _Work(directory, None, as_json)
        work.show_status(is_alive=False)
        return 0
    work = _Work(directory, reach(is_local, profile, region, directory), as_json)
    with work.moving(instead=lambda: None) as is_ours:
        work.show_status(is_alive=not is_ours)
    return 0


@cutover.command("finish", epilog=EXAMPLES)
@_common
@click.option("--warm", default="24h", show_default=True, help="How long the old side is kept.")
def finish(
    directory: Path,
    is_local: bool,
    profile: str | None,
    region: str | None,
    as_json: bool,
    warm: str,
) -> int:
    """After `cut over`: once the old side was kept warm, take it out of the rule and list what can
    be retired. Nothing is deleted."""
    kept = _duration(warm, "--warm")
    work = _Work(directory, reach(is_local, profile, region, directory), as_json)
    with work.moving() as _:
        state = work.journal.state()
        if state.phase is not Phase.FINISHED:
            state = work.need(Phase.CUT_OVER, "there is nothing to finish")
        assert state.place is not None and state.t_cut_over is not None
        left = state.t_cut_over + kept - time.time()
        if state.phase is Phase.CUT_OVER and left > 0:
            work.view.say(
                f"The old side is kept warm for another {format_duration(left)}; `hikkoshi cutover "
                "back` still goes back. `finish --warm 0` ends it now."
            )
            return work.report()
        if state.phase is Phase.CUT_OVER:
            work.plain_mover(state.place).finish()
        return work.report(leftovers(work.access, state.place))


class _Work:
    """One command at work on the journal of DIRECTORY."""

    def __init__(self, directory: Path, access: Access | None, as_json: bool) -> None:
        self._directory = directory
        self._access = access
        self._as_json = as_json
        self._checklist: tuple[Item, ...] = ()
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

    def plain_mover(self, at: Place) -> Mover:
        """For a change that needs no watching."""
        pace = Pace.of(self.access)
        sight = Metrics(self.access, at, pace)
        return Mover(Rule(self.access, at), sight, self.journal, pace, Rounds(None, 1))

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
        self._checklist = check(gather(self.access, where.place, rule.read(), where.cluster))
        self.view.checklist(self._checklist)
        wrong = [item for item in self._checklist if item.state is Checked.WRONG]
        if wrong and not despite_checklist:
            raise CannotRun(
                f"the checklist has {', '.join(item.name for item in wrong)} as WRONG; no traffic "
                "was moved",
                fix="put it right, or give --despite-checklist",
            )
        mover = self.mover(where, synthetic, base_url)
        with self.carried_through(mover):
            mover.begin(plan, is_stepwise=is_stepwise)
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


def _duration(text: str, option: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise BadInput(str(error), where=option) from error
