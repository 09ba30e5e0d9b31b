"""Health checks, grace, draining and stopping. Pure."""

from __future__ import annotations

import math

from hikkoshi.fargate.limits import DEFAULT_STOP_TIMEOUT_S, MAX_TIMEOUT_S
from hikkoshi.model.findings import Certainty
from hikkoshi.tuning.choice import Answer, Choice, Edit, NotJudged
from hikkoshi.tuning.measured import Measured
from hikkoshi.tuning.present import Objective, Present

HEALTH, GRACE, DRAIN, STOP = (
    "health check of the target group",
    "healthCheckGracePeriodSeconds",
    "deregistration delay",
    "stopTimeout",
)
# Own cuts. A machine of AWS may start a process half as fast as this one.
START_ROOM = 2.0
STOP_ROOM = 2.0
LEAST_GRACE_S, LEAST_DRAIN_S, LEAST_STOP_S = 10, 5, 10
STEP_S = 5
TIMEOUT_ROOM = 4.0
UNHEALTHY, HEALTHY = 2, 2
INTERVAL_RANGE_S = (5, 30)
TIMEOUT_RANGE_S = (2, 10)


def decide_health(measured: Measured, present: Present, objective: Objective) -> Answer:
    check, worst = present.health_check, measured.worst
    if check is None:
        return NotJudged(HEALTH, "the service is behind no load balancer")
    if worst is None:
        return NotJudged(HEALTH, "no load ran at the planned rate: how slow an answer may be is "
                         "not known")  # fmt: skip
    if not worst.keeps(objective.p99_s, objective.errors):
        return NotJudged(HEALTH, "the limits did not hold at the planned rate, so how slow a good "
                         "answer may be is not known")  # fmt: skip
    timeout = _within(math.ceil(TIMEOUT_ROOM * worst.p99_s), TIMEOUT_RANGE_S)
    room = (objective.recovery_s - timeout) / UNHEALTHY
    interval = _within(math.floor(room / STEP_S) * STEP_S, INTERVAL_RANGE_S)
    interval = max(interval, timeout + 1)
    now = _check(check.interval, check.timeout, check.healthy_threshold, check.unhealthy_threshold)
    detected = UNHEALTHY * interval + timeout
    because = [
        f"timeout: {TIMEOUT_ROOM:.0f} × p99 of {worst.p99_s * 1000:.0f} ms under the planned load, "
        f"{TIMEOUT_RANGE_S[0]} to {TIMEOUT_RANGE_S[1]} s",
        f"a task that hangs is out after at most {UNHEALTHY} × {interval} + {timeout} = "
        f"{detected} s; `limits.recovery` is {objective.recovery_s:.0f} s",
    ]
    if detected > objective.recovery_s:
        because.append("no shorter check is sensible: checks alone do not meet that limit")
    kept = UNHEALTHY * check.interval + check.timeout <= objective.recovery_s
    if kept and check.timeout >= timeout and check.unhealthy_threshold == UNHEALTHY:
        return Choice(HEALTH, now, now, Certainty.LIKELY, tuple(because))
    return Choice(
        HEALTH, now, _check(interval, timeout, HEALTHY, UNHEALTHY), Certainty.LIKELY,
        tuple(because), (),
        (
            f"hikkoshi.yaml: load_balancer.health_check: {{ interval: {interval}s, timeout: "
            f"{timeout}s, healthy_threshold: {HEALTHY}, unhealthy_threshold: {UNHEALTHY} }}",
        ),
    )  # fmt: skip


def decide_grace(measured: Measured, present: Present) -> Answer:
    check = present.health_check
    if check is None:
        return NotJudged(GRACE, "the service is behind no load balancer")
    if not measured.starts_s:
        return NotJudged(GRACE, "no task was seen to begin to listen on the application's port")
    slowest = max(measured.starts_s)
    first_checks = check.interval * check.healthy_threshold
    wanted = max(LEAST_GRACE_S, _up(slowest * START_ROOM + first_checks))
    now = None if present.grace_s is None else f"{present.grace_s} s"
    because = (
        f"the slowest of {len(measured.starts_s)} starts took {slowest:.1f} s from RUNNING to "
        f"listening; × {START_ROOM:g} + {check.healthy_threshold} checks of {check.interval:g} s "
        f"= {slowest * START_ROOM + first_checks:.0f} s",
        "shorter: a slow start is killed before it is done; longer: a task that is broken from "
        "the start is found later",
    )
    if present.grace_s is not None and wanted <= present.grace_s <= 3 * wanted:
        return Choice(GRACE, now, str(now), Certainty.LIKELY, because)
    edit = Edit("service", ("healthCheckGracePeriodSeconds",), wanted)
    return Choice(GRACE, now, f"{wanted} s", Certainty.LIKELY, because, (edit,))


def decide_drain(measured: Measured, present: Present) -> Answer:
    if present.deregistration_delay_s is None:
        return NotJudged(DRAIN, "the service is behind no load balancer")
    slowest = max((one.slowest_s for one in measured.planned), default=None)
    if slowest is None:
        return NotJudged(DRAIN, "no load ran at the planned rate: how long an answer takes is not "
                         "known")  # fmt: skip
    wanted = max(LEAST_DRAIN_S, _up(slowest * STOP_ROOM))
    now = f"{present.deregistration_delay_s:g} s"
    because = (
        f"the slowest answer under the planned load took {slowest:.2f} s; × {STOP_ROOM:g}, at "
        f"least {LEAST_DRAIN_S} s",
        "each task of a deploy waits so long before it is stopped; AWS's default is 300 s",
    )
    if wanted <= present.deregistration_delay_s <= max(30, 3 * wanted):
        return Choice(DRAIN, now, now, Certainty.LIKELY, because)
    return Choice(
        DRAIN, now, f"{wanted} s", Certainty.LIKELY, because, (),
        (f"hikkoshi.yaml: load_balancer.deregistration_delay: {wanted}s",
         "Uploads, long polls and WebSockets that the load does not send need longer."),
    )  # fmt: skip


def decide_stop(measured: Measured, present: Present) -> Answer:
    now_s = present.stop_timeout_s
    if measured.killed_stops:
        return NotJudged(
            STOP,
            f"{measured.killed_stops} of {measured.killed_stops + len(measured.stops_s)} stops "
            "ended by SIGKILL, so how long a clean end takes is not known: see `hikkoshi explain "
            "ignores-sigterm`",
        )
    if not measured.stops_s:
        return NotJudged(STOP, "no task was stopped (trials kill-task and rolling-deploy)")
    slowest = max(measured.stops_s)
    answers = max((one.slowest_s for one in measured.planned), default=0.0)
    needed = max(slowest, answers) * STOP_ROOM
    wanted = min(MAX_TIMEOUT_S, max(LEAST_STOP_S, _up(needed)))
    now = None if now_s is None else f"{now_s} s"
    because = (
        f"the slowest of {len(measured.stops_s)} clean ends took {slowest:.1f} s after SIGTERM, "
        f"the slowest answer {answers:.2f} s; × {STOP_ROOM:g}, at least {LEAST_STOP_S} s, at most "
        f"Fargate's {MAX_TIMEOUT_S} s",
        f"without a value it is {DEFAULT_STOP_TIMEOUT_S} s",
    )
    if wanted <= (DEFAULT_STOP_TIMEOUT_S if now_s is None else now_s):
        return Choice(STOP, now, now or f"{DEFAULT_STOP_TIMEOUT_S} s", Certainty.LIKELY, because)
    edit = Edit("task", ("containerDefinitions", present.container_index, "stopTimeout"), wanted)
    return Choice(STOP, now, f"{wanted} s", Certainty.LIKELY, because, (edit,))


def _check(interval: float, timeout: float, healthy: int, unhealthy: int) -> str:
    return f"every {interval:g} s, timeout {timeout:g} s, {healthy} up, {unhealthy} down"


def _up(seconds: float) -> int:
    return math.ceil(seconds / STEP_S) * STEP_S


def _within(value: int, bounds: tuple[int, int]) -> int:
    return max(bounds[0], min(bounds[1], value))
