"""`hikkoshi cutover`: the traffic, from the old side to the new one, a step at a time."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hikkoshi.base.errors import BadInput
from hikkoshi.base.units import format_duration, parse_duration
from hikkoshi.cli.cutover_setup import Where, aim, reach
from hikkoshi.cli.cutover_work import Work
from hikkoshi.cli.places import OWN_DIRECTORY
from hikkoshi.cli.where import place_options
from hikkoshi.cutover.dead_man import template, template_document
from hikkoshi.cutover.journal import Journal
from hikkoshi.cutover.reading import read_limits, read_steps
from hikkoshi.cutover.retiring import leftovers
from hikkoshi.cutover.state import Phase
from hikkoshi.cutover.values import Asked, Plan, TooFew

Command = TypeVar("Command", bound=Callable[..., Any])
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
DEAD_MAN = """
\b
Examples:
  hikkoshi cutover dead-man > dead-man.yaml
  aws cloudformation deploy --stack-name dead-man --template-file dead-man.yaml \\
    --capabilities CAPABILITY_IAM --parameter-overrides ListenerArn=arn:aws:elasticloadbalancing:…
  hikkoshi cutover start . --dead-man dead-man

Exit codes: 0 printed, 2 wrong use.
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
@click.option(
    "--dead-man",
    metavar="STACK",
    help="The account goes back by itself 2 to 4 minutes after this tool dies; `dead-man` has the "
    "stack.",
)
@click.option("--despite-checklist", is_flag=True, help="Start though an item is WRONG.")
@click.option(
    "--no-mark",
    is_flag=True,
    help="Without the tag on both target groups that keeps blue/green deploys of others away.",
)
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
    dead_man: str | None,
    despite_checklist: bool,
    no_mark: bool,
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
    work = Work(directory, access, as_json)
    work.is_marking = not no_mark
    with work.moving():
        where = aim(access, directory, new=new, old=old, listener=listener, rule=rule)
        plan = work.with_tests(plan, where, synthetic)
        work.use_clock(dead_man)
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
    work = Work(directory, reach(is_local, profile, region, directory), as_json)
    with work.moving(instead=lambda: work.ask(Asked.ADVANCE)) as is_ours:
        if not is_ours:
            return 0
        state = work.need(Phase.RESTING, "no cutover waits for its next step")
        assert state.place is not None
        where = Where(state.place, None, None, None)
        with contextlib.suppress(BadInput):
            where = aim(work.access, directory, known=state.place)
        mover = work.mover(where, synthetic, base_url)
        # While it rests a refusal need not send it back.
        mover.need_alone()
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
    work = Work(directory, reach(is_local, profile, region, directory), as_json)
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
    work = Work(directory, reach(is_local, profile, region, directory), as_json)
    was_told = False
    while True:
        with work.moving(instead=lambda: work.ask(Asked.BACK), recovers=False) as is_ours:
            if is_ours:
                break_off(work, force=force, leave=leave, was_told=was_told)
                return work.report()
        was_told = True
        work.wait_for_the_other()


def break_off(work: Work, *, force: bool, leave: bool, was_told: bool) -> None:
    """was_told: another process was to do it, and has ended since."""
    state = work.journal.state()
    if state.is_over:
        if not was_told:
            ended = (
                "none was ever begun here"
                if state.phase is Phase.NONE
                else (f"the last one is: {state.phase.value}")
            )
            raise BadInput(
                f"no cutover is under way here; {ended}",
                where=str(work.journal.directory),
                fix="name the directory in which it was begun; `hikkoshi cutover status DIR` shows "
                "where one stands",
            )
    elif leave:
        assert state.place is not None
        work.plain_mover(state.place).leave()
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
        work = Work(directory, None, as_json)
        work.show_status(is_alive=False)
        return 0
    work = Work(directory, reach(is_local, profile, region, directory), as_json)
    with work.moving(instead=lambda: None) as is_ours:
        work.show_status(is_alive=not is_ours)
    return 0


@cutover.command("dead-man", epilog=DEAD_MAN)
@click.option("--json", "as_json", is_flag=True, help="The same template as JSON.")
def dead_man(as_json: bool) -> int:
    """Print the CloudFormation template of what goes back by itself when this tool has died.

    A function that puts a rule back as it was, a role that lets it change this listener and no
    other, a group for the schedules that call it, and alarms that tell of it.
    """
    if as_json:
        click.echo(json.dumps(template_document(), indent=2))
        return 0
    click.echo(template(), nl=False)
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
    work = Work(directory, reach(is_local, profile, region, directory), as_json)
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


def _duration(text: str, option: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise BadInput(str(error), where=option) from error
