"""A fault under load: proven to have happened, timed, and counted in requests."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from hikkoshi.aws.access import wait_until
from hikkoshi.base.errors import DeadlinePassed, HikkoshiError
from hikkoshi.base.units import format_duration
from hikkoshi.model.trials import Measure, Outcome, TrialResult
from hikkoshi.trials import measures
from hikkoshi.trials.context import Context, result
from hikkoshi.trials.sending import Counts, Sending, send
from hikkoshi.trials.watch import is_whole

# A name's TTL is 5 s, and a client that waits out its own timeouts needs about as long again.
ANSWERS_DEADLINE_S = 14.0
# Own cut: of what is sent in a second, a little is still at work when it ends.
GOOD_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class NotPossible:
    """Why a fault cannot be injected here; the trial is then not tried."""

    why: str


class Fault(Protocol):
    """One way to break a service. Times are seconds since the epoch."""

    name: str
    title: str
    is_over_when_answered: bool
    """Whether the load goes on, after all is whole, until no request fails any more."""

    def prepare(self, context: Context) -> NotPossible | None: ...

    def inject(self) -> None: ...

    def proof(self) -> str | None:
        """What is seen that shows that the fault happened; None as long as nothing does."""
        ...

    def t_detected(self, t_injected: float) -> float | None:
        """When the control plane first said that something is wrong; None if it did not yet."""
        ...

    def is_over(self) -> bool:
        """Whether what the fault itself changed has been put right (beside the service)."""
        ...

    def most_failures(self, context: Context, sent: int) -> int:
        """How many requests may fail for the trial to hold."""
        ...


def try_fault(context: Context, fault: Fault) -> TrialResult:
    """Inject the fault under load, wait until all is whole again, and judge by the limits."""
    t_start = time.time()
    impossible = fault.prepare(context)
    if impossible is not None:
        return result(fault.name, fault.title, t_start, Outcome.NOT_TRIED, impossible.why)
    sending = send(context, fault.name, context.pace.fault_deadline_s + 30)
    with sending:
        sending.pass_time(context.pace.warm_s)
        t_injected = time.time()
        try:
            fault.inject()
        except HikkoshiError as error:
            return result(fault.name, fault.title, t_start, Outcome.NOT_TRIED, error.what)
        t_whole = _wait_for_the_end(context, fault, sending)
        if fault.is_over_when_answered:
            _wait_for_answers(sending)
        sending.pass_time(context.pace.cool_s)
    return _judge(context, fault, sending, t_start, t_injected, t_whole)


def _wait_for_the_end(context: Context, fault: Fault, sending: Sending) -> float | None:
    def is_over() -> bool:
        sending.show()
        return fault.proof() is not None and fault.is_over() and is_whole(context.home)

    try:
        wait_until(fault.title, is_over, context.pace.fault_deadline_s, every_s=0.1)
    except DeadlinePassed:
        return None
    return time.time()


def _wait_for_answers(sending: Sending) -> None:
    """Until a second passes in which all is answered well, or so long that what still fails will
    go on failing."""
    deadline = time.monotonic() + ANSWERS_DEADLINE_S
    earlier = sending.counts()
    while time.monotonic() < deadline:
        sending.pass_time(1.0)
        later = sending.counts()
        if is_answered(earlier, later):
            return
        earlier = later


def is_answered(earlier: Counts, later: Counts) -> bool:
    """Pure. Requests that hang fail only when their own time is over, so that nothing failed does
    not show that anything is answered: about as many good answers came as requests were sent."""
    good, sent = later.good - earlier.good, later.issued - earlier.issued
    return later.failed == earlier.failed and good >= max(1, GOOD_SHARE * sent)


def _judge(
    context: Context,
    fault: Fault,
    sending: Sending,
    t_start: float,
    t_injected: float,
    t_whole: float | None,
) -> TrialResult:
    requests = sending.requests()
    before = measures.summarise(r for r in requests if r.t_ended < t_injected)
    after = measures.summarise(r for r in requests if r.t_ended >= t_injected)
    proof = fault.proof()
    seen = [t for t in (fault.t_detected(t_injected), after.t_first_failure) if t is not None]
    t_detected = min(seen, default=None)
    t_recovered = None if t_whole is None else max(t_whole, after.t_last_failure or t_whole)
    context.recorder.record(
        "faults",
        trial=fault.name,
        name=fault.title,
        t_injected=t_injected,
        t_detected=t_detected,
        t_recovered=t_recovered,
        t_undone=t_whole,
        proof=proof,
    )
    if proof is None:
        return result(
            fault.name,
            fault.title,
            t_start,
            Outcome.NOT_TRIED,
            "the fault was asked for, but nothing shows that it happened",
        )
    recovery_s = None if t_recovered is None else t_recovered - t_injected
    kept = [
        measures.failures_kept(after, fault.most_failures(context, after.sent)),
        Measure(
            "time to recover",
            recovery_s,
            "s",
            f"at most {format_duration(context.limits.recovery)}",
            recovery_s is not None and recovery_s <= context.limits.recovery,
        ),
        Measure("time to detect", None if t_detected is None else t_detected - t_injected, "s"),
        Measure("requests sent", float(after.sent), ""),
        Measure("requests failed before the fault", float(before.failed), ""),
    ]
    bad = measures.broken(kept)
    notes = [f"proof: {proof}"]
    if after.failed:
        notes.append(f"failures: {measures.say_causes(after)}")
    outcome = Outcome.BROKE if bad else Outcome.HELD
    reason = "; ".join(bad) or (
        f"{after.failed} of {after.sent} requests failed; whole again after "
        f"{format_duration(recovery_s or 0)}"
    )
    return result(fault.name, fault.title, t_start, outcome, reason, kept, notes)
