"""The cutover itself: the old home and the new one behind one rule, under load, forwards and back.

What moves the traffic is what moves it in an account: `hikkoshi.cutover`, over the same calls.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from hikkoshi.aws.access import wait_until
from hikkoshi.base.errors import DeadlinePassed, HikkoshiError
from hikkoshi.base.units import format_duration
from hikkoshi.cutover.journal import Journal
from hikkoshi.cutover.metrics import Metrics, Pace
from hikkoshi.cutover.mover import Mover
from hikkoshi.cutover.place import Place, Rule, serving_group
from hikkoshi.cutover.rounds import Rounds
from hikkoshi.cutover.state import Phase, State
from hikkoshi.cutover.values import Asked, Limits, Plan
from hikkoshi.model.project import Project
from hikkoshi.model.trials import Measure, Outcome, TrialResult
from hikkoshi.trials import measures
from hikkoshi.trials.context import Context, result
from hikkoshi.trials.old_instances import OldInstances, find_old_home
from hikkoshi.trials.sending import Sending, planned_rate, send
from hikkoshi.trials.watch import describe, running_tasks

NAME = "cutover"
TITLE = "the cutover from the old home, forwards and back"
LISTENER_PORT = 8082
FAULT_AT = 25
BACK_WITHIN_S = 10.0
SHOWN_WITHIN_S = 20.0

# A rehearsal's holds are too short for the requests that the default limits need to be told, so
# the errors are those that no holding can excuse, and a step is passed with as few as this.
LIMITS = Limits(errors=0.01)
LEAST_REQUESTS = 10


@dataclass
class _Tried:
    """Moments are epoch seconds; `fault` is what shows that the fault happened."""

    t_forward: float = 0.0
    t_forward_done: float | None = None
    forward: State = field(default_factory=State)
    t_fault: float = 0.0
    fault: str = ""
    t_back: float | None = None
    back: State = field(default_factory=State)


def try_cutover(context: Context) -> TrialResult:
    """Held: no request failed forwards, and after the fault at 25 % all traffic was on the old side
    again within 10 s. What failed between is counted."""
    t_start = time.time()
    found = find_old_home(context.project)
    if found is None or context.home.balancer is None:
        why = "hikkoshi.yaml has no `old_home:` and no `compare_with:`"
        return result(NAME, TITLE, t_start, Outcome.NOT_TRIED, why)
    old = OldInstances(context, *found, LISTENER_PORT)
    try:
        door = old.bring_up()
        place = Place(
            context.home.balancer.load_balancer_arn,
            old.listener,
            None,
            old.group,
            serving_group(context.home.access, describe(context.home)["loadBalancers"][0]),
        )
        deadline_s = 2 * context.pace.deploy_deadline_s
        rate = rate_of(context, found[0])
        sending = send(
            context, NAME, deadline_s, rate=rate, base_url=f"http://{door}", reads_only=True
        )
        tried = _Tried()
        with sending:
            sending.pass_time(context.pace.warm_s)
            _forwards(context, place, sending, tried)
            if tried.t_forward_done is not None:
                _back(context, place, sending, tried)
            sending.pass_time(context.pace.cool_s)
        return _judge(context, sending, t_start, tried, rate)
    finally:
        old.remove()


def rate_of(context: Context, old: Project) -> float:
    """Half of what both sides are planned for: the old one carries all of it before the cutover,
    and here both share one machine with the database and with the load."""
    load = old.settings.load
    planned = planned_rate(context)
    return (min(planned, float(load.rate)) if load is not None else planned) / 2


def _mover(context: Context, place: Place, sending: Sending) -> tuple[Mover, Journal]:
    access = context.home.access
    journal = Journal(context.directory / "cutover")
    pace = Pace.of(access)
    mover = Mover(
        Rule(access, place),
        Metrics(access, place, pace),
        journal,
        pace,
        Rounds(None, 1.0),
        lambda state, seen, decision: sending.show(),
    )
    return mover, journal


def _forwards(context: Context, place: Place, sending: Sending, tried: _Tried) -> None:
    """Step by step to 100 %, then, as a person may ask after a cutover, back to where it was."""
    pace = context.pace
    mover, _ = _mover(context, place, sending)
    plan = Plan(
        pace.cutover_steps, pace.cutover_hold_s, pace.deploy_deadline_s, LIMITS, LEAST_REQUESTS
    )
    tried.t_forward = time.time()
    mover.begin(plan)
    mover.show_new_side(SHOWN_WITHIN_S)
    mover.next_step()
    tried.forward = mover.run()
    if tried.forward.phase is Phase.CUT_OVER:
        sending.pass_time(pace.cool_s / 2)
        tried.t_forward_done = time.time()
        mover.go_back("the rehearsal goes on with the way back")


def _back(context: Context, place: Place, sending: Sending, tried: _Tried) -> None:
    """At 25 % every task of the new side loses its application; nobody asks for the way back."""
    mover, journal = _mover(context, place, sending)
    longer_s = context.pace.deploy_deadline_s
    mover.begin(Plan((FAULT_AT, 100), longer_s, longer_s, LIMITS, LEAST_REQUESTS))
    mover.show_new_side(SHOWN_WITHIN_S)
    mover.next_step()
    watching = threading.Thread(target=_watch, args=(mover,), name="cutover", daemon=True)
    watching.start()
    try:
        sending.pass_time(context.pace.cutover_hold_s)
        tried.t_fault = time.time()
        tried.fault = _crash_all(context)

        def is_back() -> bool:
            sending.show()
            return journal.state().phase is Phase.BACK

        wait_until("the traffic back on the old side", is_back, BACK_WITHIN_S + 5)
        tried.t_back = journal.state().t_back
    except DeadlinePassed as error:
        context.progress.say(error.what)
    finally:
        if not journal.state().is_over:
            journal.ask(Asked.BACK)
        watching.join(BACK_WITHIN_S)
        tried.back = journal.state()


def _watch(mover: Mover) -> None:
    try:
        mover.run()
    except HikkoshiError:
        # The journal then does not say that it is back, which is what is looked at.
        return


def _crash_all(context: Context) -> str:
    """What shows that it happened. The application of each task is killed, as by a fault of its
    own; ECS starts other tasks, which is not waited for."""
    codes = []
    for task in running_tasks(context.home):
        asked = {"task": task["taskArn"], "container": context.home.container}
        codes.append(str(context.home.access.ask("crash", asked)["exit_code"]))
    return f"{context.home.container} of {len(codes)} tasks exited with {', '.join(codes)}"


def _judge(
    context: Context, sending: Sending, t_start: float, tried: _Tried, rate: float
) -> TrialResult:
    requests = sending.requests()
    pace = context.pace
    steps = ", ".join(f"{step} %" for step in pace.cutover_steps)
    held = format_duration(pace.cutover_hold_s)
    notes = [
        f"shortened for the rehearsal: steps {steps} held for {held} each (by "
        f"default 1, 5, 25, 50, 100 % for 10 m), passed with {LEAST_REQUESTS} requests",
        f"{rate:g} requests/s, half of what both sides are planned for: they share this machine",
    ]
    if tried.t_forward_done is None:
        why = f"it went back by itself on the way forwards: {tried.forward.why}"
        return result(NAME, TITLE, t_start, Outcome.BROKE, why, (), notes)
    forwards = measures.summarise(
        measures.in_window(requests, tried.t_forward, tried.t_forward_done)
    )
    t_back = tried.t_back
    until = t_back if t_back is not None else time.time()
    through = measures.summarise(measures.in_window(requests, tried.t_fault, until))
    later = measures.summarise(r for r in requests if r.t_intended >= until)
    back_s = None if t_back is None else t_back - tried.t_fault
    context.recorder.record(
        "faults",
        trial=NAME,
        name=TITLE,
        t_injected=tried.t_fault,
        t_undone=t_back,
        t_detected=tried.back.t_breach,
        t_recovered=t_back,
        proof=tried.fault,
    )
    kept = [
        Measure(
            "requests failed forwards",
            float(forwards.failed),
            "",
            "none",
            forwards.failed == 0,
        ),
        Measure("requests sent forwards", float(forwards.sent), ""),
        Measure(
            "back after the fault",
            back_s,
            "s",
            f"at most {format_duration(BACK_WITHIN_S)}",
            back_s is not None and back_s <= BACK_WITHIN_S,
        ),
        Measure("requests failed until it was back", float(through.failed), ""),
        Measure("requests failed after it was back", float(later.failed), ""),
    ]
    bad = measures.broken(kept)
    notes += [f"fault at {FAULT_AT} %: {tried.fault}", f"went back because: {tried.back.why}"]
    for what, summary in (("forwards", forwards), ("through the fault", through), ("after", later)):
        if summary.failed:
            notes.append(f"failures {what}: {measures.say_causes(summary)}")
    reason = "; ".join(bad) or (
        f"0 of {forwards.sent} requests failed forwards; back {format_duration(back_s or 0)} after "
        f"a fault at {FAULT_AT} %, {through.failed + later.failed} requests failed"
    )
    return result(NAME, TITLE, t_start, Outcome.BROKE if bad else Outcome.HELD, reason, kept, notes)
