"""The deploy of the old home, for comparison: copy by scp, stop, start, one instance after another.

Its downtime is set beside the rolling deploy's.
"""

from __future__ import annotations

import time

from hikkoshi.base.units import format_duration
from hikkoshi.model.trials import Measure, Outcome, TrialResult
from hikkoshi.trials import measures
from hikkoshi.trials.context import Context, result
from hikkoshi.trials.old_instances import OldInstances, find_old_home
from hikkoshi.trials.sending import send

NAME = "scp-swap"
TITLE = "for comparison: the old home's deploy by scp"
LISTENER_PORT = 8081


def try_scp_swap(context: Context) -> TrialResult:
    """Held means measured: this trial is a comparison, its downtime is no fault of the new home."""
    t_start = time.time()
    found = find_old_home(context.project)
    if found is None or context.home.balancer is None:
        why = "hikkoshi.yaml has no `old_home:` and no `compare_with:`"
        return result(NAME, TITLE, t_start, Outcome.NOT_TRIED, why)
    instances = OldInstances(context, *found, LISTENER_PORT)
    try:
        door = instances.bring_up()
        sending = send(
            context,
            NAME,
            context.pace.deploy_deadline_s,
            base_url=f"http://{door}",
            reads_only=True,
        )
        with sending:
            sending.pass_time(context.pace.warm_s)
            t_swap = time.time()
            proofs = []
            for arn in instances.tasks:
                proofs.append(instances.swap(arn))
                sending.show()
            instances.wait_healthy()
            sending.pass_time(context.pace.cool_s)
            t_done = time.time()
        proof = "; ".join(proofs)
        return _judge(context, sending.requests(), (t_start, t_swap, t_done), proof)
    finally:
        instances.remove()


def _judge(
    context: Context,
    requests: list[measures.Sent],
    times: tuple[float, float, float],
    proof: str,
) -> TrialResult:
    t_start, t_swap, t_done = times
    summary = measures.summarise(r for r in requests if r.t_ended >= t_swap)
    unanswered = [r for r in requests if r.is_failed and r.status in (0, 502, 503, 504)]
    down_s = downtime(sorted(r.t_ended for r in unanswered if r.t_ended >= t_swap))
    context.recorder.record(
        "faults",
        trial=NAME,
        name=TITLE,
        t_injected=t_swap,
        t_undone=t_done,
        t_detected=summary.t_first_failure,
        t_recovered=summary.t_last_failure,
        proof=proof,
    )
    return result(
        NAME,
        TITLE,
        t_start,
        Outcome.HELD,
        f"{len(unanswered)} of {summary.sent} requests got no answer, "
        f"{format_duration(down_s)} of downtime",
        [
            Measure("downtime", down_s, "s"),
            Measure("requests without an answer", float(len(unanswered)), ""),
            Measure("requests sent", float(summary.sent), ""),
        ],
        [f"failures: {measures.say_causes(summary)}"] if summary.failed else [],
    )


def downtime(failures: list[float], gap_s: float = 0.5) -> float:
    """Seconds in which requests failed: stretches of failures no further apart than `gap_s`."""
    total, began, last = 0.0, None, 0.0
    for t in failures:
        if began is None or t - last > gap_s:
            if began is not None:
                total += last - began
            began = t
        last = t
    return total + (last - began if began is not None else 0.0)
