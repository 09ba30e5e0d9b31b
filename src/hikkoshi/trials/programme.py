"""The programme of a rehearsal: which trials there are, in which order, and running them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hikkoshi.aws.access import wait_until
from hikkoshi.base.errors import BadInput, HikkoshiError
from hikkoshi.model.project import Project
from hikkoshi.model.trials import Outcome, TrialResult
from hikkoshi.trials.bad_deploy import NAME as BAD
from hikkoshi.trials.bad_deploy import TITLE as BAD_TITLE
from hikkoshi.trials.bad_deploy import try_bad_deploy
from hikkoshi.trials.context import Context, result
from hikkoshi.trials.cutover import NAME as CUTOVER
from hikkoshi.trials.cutover import TITLE as CUTOVER_TITLE
from hikkoshi.trials.cutover import try_cutover
from hikkoshi.trials.failover import Failover
from hikkoshi.trials.faults import try_fault
from hikkoshi.trials.kill_task import KillTask
from hikkoshi.trials.old_home import NAME as SCP
from hikkoshi.trials.old_home import TITLE as SCP_TITLE
from hikkoshi.trials.old_home import try_scp_swap
from hikkoshi.trials.old_instances import find_old_home
from hikkoshi.trials.overload import NAME as OVERLOAD
from hikkoshi.trials.overload import TITLE as OVERLOAD_TITLE
from hikkoshi.trials.overload import try_overload
from hikkoshi.trials.pace import Pace
from hikkoshi.trials.planned_rate import SOAK_TITLE, STEADY_TITLE, try_soak, try_steady
from hikkoshi.trials.probing import NAME as PROBING
from hikkoshi.trials.probing import TITLE as PROBING_TITLE
from hikkoshi.trials.probing import try_one_by_one
from hikkoshi.trials.rolling_deploy import NAME as ROLLING
from hikkoshi.trials.rolling_deploy import TITLE as ROLLING_TITLE
from hikkoshi.trials.rolling_deploy import try_rolling_deploy
from hikkoshi.trials.router_crash import RouterCrash
from hikkoshi.trials.synthetic_trial import NAME as SYNTHETIC
from hikkoshi.trials.synthetic_trial import TITLE as SYNTHETIC_TITLE
from hikkoshi.trials.synthetic_trial import try_synthetic
from hikkoshi.trials.watch import is_whole


@dataclass(frozen=True, slots=True)
class Trial:
    name: str
    title: str
    run: Callable[[Context], TrialResult]
    expected_s: Callable[[Pace], float]
    why_not: Callable[[Project], str | None] = lambda project: None
    """Why the trial has nothing to try in this project; None when it has."""


def _without_load(project: Project) -> str | None:
    if project.settings.load is None:
        return "hikkoshi.yaml has no `load:`, so nothing is sent"
    if not project.service_definition.get("loadBalancers"):
        return "the service is behind no load balancer, so nothing can be sent to it"
    return None


def _without_database(project: Project) -> str | None:
    if project.settings.database is None:
        return "hikkoshi.yaml has no `database:`"
    return _without_load(project)


def _without_router(project: Project) -> str | None:
    containers = project.task_definition["containerDefinitions"]
    if not any(c.get("firelensConfiguration") for c in containers):
        return "the task definition has no log router (firelensConfiguration)"
    return _without_load(project)


def _without_old_home(project: Project) -> str | None:
    if find_old_home(project) is None:
        return "hikkoshi.yaml has no `old_home:` and no `compare_with:`"
    return _without_load(project)


def _without_synthetic(project: Project) -> str | None:
    return None if project.settings.synthetic else "hikkoshi.yaml has no `synthetic:`"


def _fault_s(pace: Pace) -> float:
    return pace.warm_s + 3 + pace.cool_s


def _overload_s(pace: Pace) -> float:
    return pace.overload_step_s * len(pace.overload_factors)


def _cutover_s(pace: Pace) -> float:
    return pace.warm_s + (len(pace.cutover_steps) + 1) * (pace.cutover_hold_s + 1) + 5


PROGRAMME: tuple[Trial, ...] = (
    Trial(SYNTHETIC, SYNTHETIC_TITLE, try_synthetic, lambda p: 1, _without_synthetic),
    Trial(PROBING, PROBING_TITLE, try_one_by_one, lambda p: 2, _without_database),
    Trial("steady", STEADY_TITLE, try_steady, lambda p: p.steady_s, _without_load),
    Trial(OVERLOAD, OVERLOAD_TITLE, try_overload, _overload_s, _without_load),
    Trial("soak", SOAK_TITLE, try_soak, lambda p: p.soak_s, _without_load),
    Trial(
        KillTask.name, KillTask.title, lambda c: try_fault(c, KillTask()), _fault_s, _without_load
    ),
    Trial(
        Failover.name,
        Failover.title,
        lambda c: try_fault(c, Failover()),
        _fault_s,
        _without_database,
    ),
    Trial(
        RouterCrash.name,
        RouterCrash.title,
        lambda c: try_fault(c, RouterCrash()),
        _fault_s,
        _without_router,
    ),
    Trial(ROLLING, ROLLING_TITLE, try_rolling_deploy, lambda p: _fault_s(p) + 3, _without_load),
    Trial(BAD, BAD_TITLE, try_bad_deploy, lambda p: _fault_s(p) + 6, _without_load),
    Trial(SCP, SCP_TITLE, try_scp_swap, lambda p: _fault_s(p) + 3, _without_old_home),
    Trial(CUTOVER, CUTOVER_TITLE, try_cutover, _cutover_s, _without_old_home),
)

# How long the service may take to be whole again between two trials.
BETWEEN_DEADLINE_S = 20.0


def trials_named(names: Sequence[str]) -> tuple[Trial, ...]:
    """In the order of the programme."""
    return tuple(trial for trial in PROGRAMME if trial.name in names)


def run_programme(context: Context, trials: Sequence[Trial]) -> tuple[TrialResult, ...]:
    """One after the other. A trial that breaks down is broke, with its reason, and the next one
    still runs."""
    results = []
    for trial in trials:
        context.progress.trial_started(trial.name, trial.title, trial.expected_s(context.pace))
        done = _run_one(context, trial)
        context.recorder.record(
            "trials",
            name=done.name,
            t_start=done.t_start,
            t_end=done.t_end,
            outcome=done.outcome.value,
            reason=done.reason,
        )
        results.append(done)
        context.progress.trial_ended(done)
        _settle(context)
    return tuple(results)


def _run_one(context: Context, trial: Trial) -> TrialResult:
    t_start = time.time()
    why_not = trial.why_not(context.project)
    if why_not is not None:
        skipped = result(trial.name, trial.title, t_start, Outcome.NOT_TRIED, why_not)
        return dataclasses.replace(skipped, is_applicable=False)
    try:
        return trial.run(context)
    except BadInput:
        raise
    except HikkoshiError as error:
        return result(trial.name, trial.title, t_start, Outcome.BROKE, error.what)


def _settle(context: Context) -> None:
    """Each trial is to start from a service that is whole; one that is not will show it there."""
    try:
        wait_until("the service whole", lambda: is_whole(context.home), BETWEEN_DEADLINE_S)
    except HikkoshiError as error:
        context.progress.say(error.what)
