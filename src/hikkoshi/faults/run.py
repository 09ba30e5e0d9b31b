"""One fault from the steady state and back: injected, proven, timed, undone, judged."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hikkoshi.aws.access import wait_until
from hikkoshi.base.errors import DeadlinePassed, HikkoshiError
from hikkoshi.base.units import format_duration, format_share
from hikkoshi.faults.catalogue import Entry
from hikkoshi.faults.loading import Loading, is_failed, sum_up
from hikkoshi.faults.looking import Looking, first_trouble, once, probe, share_steady
from hikkoshi.faults.model import Fault, FaultResult, NotTried, Place, Requests, Writes
from hikkoshi.faults.service import unsteady_because
from hikkoshi.faults.writes import Writing

HELD, BROKE, NOT_TRIED = "held", "broke", "not tried"


@dataclass(frozen=True)
class Options:
    """recovery_s: how long all may take to be steady again; most_failed: the share of requests
    that may fail. warm_s, cool_s: of load before the fault and after."""

    probe_url: str | None = None
    targets: Path | None = None
    rate: float = 50.0
    base_url: str | None = None
    connect_to: str | None = None
    writing: Writing | None = None
    recovery_s: float = 300.0
    most_failed: float = 0.2
    warm_s: float = 2.0
    cool_s: float = 2.0
    directory: Path = field(default_factory=Path)


@dataclass
class _Log:
    """What was seen, told at once and kept."""

    say: Callable[[str], None]
    events: list[tuple[float, str]] = field(default_factory=list)

    def __call__(self, text: str) -> None:
        self.events.append((time.time(), text))
        self.say(text)


@dataclass
class _Course:
    """How the fault went."""

    t_injected: float | None = None
    t_undone: float | None = None
    """Of a fault that was held: recovery is counted from here."""
    t_whole: float | None = None
    proof: str | None = None
    undo: str = "nothing to undo"
    failure: str | None = None


def run_fault(
    entry: Entry, place: Place, options: Options, say: Callable[[str], None]
) -> FaultResult:
    """Undo runs whatever happens, Ctrl-C and SIGTERM included, and what it left is looked at.

    A fault that cannot be injected, of which nothing shows that it happened, or before which all
    was not steady, is not tried. BadInput: what is named does not exist.
    """
    log = _Log(say)

    def look() -> str | None:
        why = unsteady_because(place)
        return why or (probe(options.probe_url) if options.probe_url else None)

    def not_tried(why: str, **more: Any) -> FaultResult:
        log(f"not tried: {why}")
        return FaultResult(
            entry.name, entry.title, NOT_TRIED, why, events=tuple(log.events), **more
        )

    fault = entry.make(place)
    try:
        fault.prepare()
    except NotTried as error:
        return not_tried(f"{error.what}{f' ({error.fix})' if error.fix else ''}")
    why = once(look)
    if why is not None:
        return not_tried(f"all was not steady before it: {why}", is_steady_before=False)
    log("steady before")
    course = _Course()
    every_s = 0.2 if place.access.is_local else 2.0
    with contextlib.ExitStack() as stack:
        if options.writing is not None:
            stack.callback(options.writing.close)
        looking = Looking(look, every_s)
        loading = _loading(options)
        refusal = _under_way(fault, place, options, look, course, log, looking, loading)
        if refusal is not None:
            return not_tried(refusal, is_steady_before=True, undo=course.undo)
        writes = options.writing.result() if options.writing is not None else None
    return _judged(entry, options, course, log, looking, loading, writes, once(look))


def _loading(options: Options) -> Loading | None:
    if options.targets is None:
        return None
    return Loading(
        options.targets,
        options.rate,
        options.directory / "fault.load",
        options.base_url,
        options.connect_to,
    )


def _under_way(
    fault: Fault,
    place: Place,
    options: Options,
    look: Callable[[], str | None],
    course: _Course,
    log: _Log,
    looking: Looking,
    loading: Loading | None,
) -> str | None:
    """With load, writes and looks around it. Why the fault was refused; None when it was not."""
    refusal: str | None = None
    with contextlib.ExitStack() as around:
        around.enter_context(looking)
        if options.writing is not None:
            around.enter_context(options.writing)
        if loading is not None:
            around.enter_context(loading)
        time.sleep(options.warm_s)
        with _undone(fault, place, course, look, log):
            try:
                course.t_injected = time.time()
                fault.inject()
                log("injected")
                _wait_for_proof(fault, place, options, course, log)
            except NotTried as error:
                refusal = f"{error.what}{f' ({error.fix})' if error.fix else ''}"
            if refusal is None and not fault.is_held():
                _wait_for_the_end(fault, options, look, course, log)
        if refusal is None and fault.is_held():
            _wait_for_the_end(fault, options, look, course, log)
        time.sleep(options.cool_s)
    return refusal


@contextlib.contextmanager
def _undone(
    fault: Fault, place: Place, course: _Course, look: Callable[[], str | None], log: _Log
) -> Iterator[None]:
    """Undo at the end, whatever the end is; signals wait until it is through."""
    is_clean = False
    try:
        yield
        is_clean = True
    finally:
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            fault.undo()
            course.undo = "undone"
            if place.journal is not None:
                place.journal.forget()
            if fault.is_held():
                course.t_undone = time.time()
        except HikkoshiError as error:
            course.undo = f"FAILED: {error.what}"
            log(f"the fault could not be undone: {error.what}")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        if not is_clean:
            why = once(look)
            log(f"interrupted; {course.undo}; " + ("steady" if why is None else f"not yet: {why}"))


def _wait_for_proof(
    fault: Fault, place: Place, options: Options, course: _Course, log: _Log
) -> None:
    """Of a fault that is held: its proof, then its time."""
    if not fault.is_held():
        return

    def is_proven() -> bool:
        course.proof = course.proof or fault.proof()
        return course.proof is not None

    with contextlib.suppress(DeadlinePassed):
        wait_until("a proof of the fault", is_proven, options.recovery_s, every_s=0.2)
        log(f"proven: {course.proof}")
        time.sleep(place.hold_s)


def _wait_for_the_end(
    fault: Fault, options: Options, look: Callable[[], str | None], course: _Course, log: _Log
) -> None:
    """Until it is proven, over, and all is steady again; or too late."""
    last = ["nothing was seen"]

    def is_through() -> bool:
        if course.proof is None:
            course.proof = fault.proof()
            if course.proof is None:
                last[0] = "nothing shows that the fault happened"
                return False
            log(f"proven: {course.proof}")
        if not fault.is_over():
            last[0] = "the fault is not over"
            return False
        why = look()
        last[0] = why or "steady"
        return why is None

    try:
        wait_until(
            "the steady state", is_through, options.recovery_s, every_s=0.2, explain=lambda: last[0]
        )
    except DeadlinePassed as error:
        course.failure = error.what
        log(error.what)
        return
    course.t_whole = time.time()
    log("steady again")


def _judged(
    entry: Entry,
    options: Options,
    course: _Course,
    log: _Log,
    looking: Looking,
    loading: Loading | None,
    writes: Writes | None,
    why_after: str | None,
) -> FaultResult:
    t_injected = course.t_injected or time.time()
    results = loading.results() if loading is not None else []
    requests = sum_up(results, t_injected) if loading is not None else None
    failures = [t for t, r in results if t >= t_injected and is_failed(r)]
    looks = looking.looks()
    trouble = first_trouble(looks, t_injected)
    seen = [*failures[:1], *([trouble.t] if trouble else [])]
    t_recovered = course.t_whole
    if t_recovered is not None and failures:
        t_recovered = max(t_recovered, failures[-1])
    since = course.t_undone or t_injected
    recover_s = None if t_recovered is None else max(0.0, t_recovered - since)
    reasons = _reasons(options, course, requests, writes, why_after)
    if course.proof is None:
        outcome, reason = NOT_TRIED, "it was asked for, but nothing shows that it happened"
    elif reasons:
        outcome, reason = BROKE, "; ".join(reasons)
    else:
        outcome, reason = HELD, _say_held(recover_s, requests, writes)
    log(f"{outcome}: {reason}")
    return FaultResult(
        entry.name,
        entry.title,
        outcome,
        reason,
        t_injected,
        course.proof,
        min(seen) - t_injected if seen else None,
        recover_s,
        True,
        why_after is None,
        share_steady(looks, t_injected, course.t_whole or time.time()),
        requests,
        writes,
        course.undo,
        tuple(log.events),
        {
            "first_trouble": trouble.why if trouble else None,
            "recovery_counts_from": "undo" if course.t_undone else "injection",
        },
    )


def _reasons(
    options: Options,
    course: _Course,
    requests: Requests | None,
    writes: Writes | None,
    why_after: str | None,
) -> list[str]:
    found = []
    if course.failure is not None:
        found.append(course.failure)
    elif why_after is not None:
        found.append(f"not steady after it: {why_after}")
    if course.undo.startswith("FAILED"):
        found.append(f"the undo failed: {course.undo}")
    if requests is not None and requests.sent:
        share = requests.failed / requests.sent
        if share > options.most_failed:
            most = format_share(options.most_failed)
            found.append(f"{format_share(share)} of the requests failed, the limit is {most}")
    if requests is not None and not requests.sent:
        found.append("no request was sent during the fault")
    if writes is not None and writes.missing:
        found.append(f"{len(writes.missing)} writes were acknowledged and are missing")
    if writes is not None and not writes.acknowledged:
        found.append("no write was acknowledged at all")
    return found


def _say_held(recover_s: float | None, requests: Requests | None, writes: Writes | None) -> str:
    told = [f"steady again after {format_duration(recover_s or 0)}"]
    if requests is not None:
        told.append(f"{requests.failed} of {requests.sent} requests failed")
    if writes is not None:
        told.append(f"none of {writes.acknowledged} acknowledged writes is missing")
    return "; ".join(told)
