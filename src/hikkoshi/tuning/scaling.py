"""What autoscaling is to follow, and where to. Pure."""

from __future__ import annotations

import math

from hikkoshi.model.findings import Certainty
from hikkoshi.tuning.choice import Answer, Choice, NotJudged
from hikkoshi.tuning.measured import Held, Measured
from hikkoshi.tuning.present import Objective, Present
from hikkoshi.tuning.size import rate_a_task

SETTING = "autoscaling"

# Own cuts. At the knee with less CPU than this, CPU does not show that the service is full.
CPU_SHOWS_LOAD = 0.60
LARGEST_CPU_TARGET = 0.70
TARGET_ROOM = 0.80
GROWTH = 2


def decide_scaling(
    measured: Measured, present: Present, objective: Objective, tasks: int
) -> Answer:
    """tasks: how many run at the planned rate."""
    if not measured.steps:
        return NotJudged(SETTING, "overload was not tried: where the service is full is not known")
    good = [s for s in measured.steps if s.keeps(objective.p99_s, objective.errors)]
    broke = [s for s in measured.steps if not s.keeps(objective.p99_s, objective.errors)]
    knee = rate_a_task(measured, objective)
    if knee is None or not good:
        held = [p for p in measured.planned if p.keeps(objective.p99_s, objective.errors)]
        if knee is None or not held:
            return NotJudged(
                SETTING, "no rate kept the limits, so no target does; cure the findings of "
                "`hikkoshi report` first"
            )  # fmt: skip
        good = held
    most = tasks * GROWTH
    full = max(good, key=lambda one: one.rate)
    over = min(broke, key=lambda one: one.rate, default=None)
    wanted, because, name = _target(full, over, knee, tasks)
    certainty = Certainty.LIKELY if over is not None else Certainty.HINT
    return Choice(
        SETTING,
        None,
        f"{wanted}, {tasks} to {most} tasks",
        certainty,
        (
            *because,
            f"at least {tasks} tasks: the number for the planned rate; at most {most}: own cut, "
            f"{GROWTH} × that (hold it against the pool's arithmetic below)",
        ),
        (),
        (
            "aws application-autoscaling register-scalable-target --service-namespace ecs "
            "--resource-id service/CLUSTER/SERVICE --scalable-dimension ecs:service:DesiredCount "
            f"--min-capacity {tasks} --max-capacity {most}; then put-scaling-policy with "
            f"TargetTrackingScaling on {name}",
        ),
    )


def _target(
    full: Held, over: Held | None, knee: float, tasks: int
) -> tuple[str, tuple[str, ...], str]:
    """(target, reasons, AWS's metric)."""
    share = full.cpu_share
    at_knee = over.cpu_share if over is not None else share
    lost = (tasks - 1) / tasks
    said = [f"limits held at {full.rate:.0f}/s with {full.tasks} tasks"]
    if over is not None:
        said.append(f"broke at {over.rate:.0f}/s")
    words = ", ".join(said)
    if share is not None and at_knee is not None and at_knee >= CPU_SHOWS_LOAD:
        raw = share * TARGET_ROOM if over is not None else LARGEST_CPU_TARGET
        target = max(0.2, min(LARGEST_CPU_TARGET, math.floor(raw * 20) / 20))
        reason = (
            f"{words}; CPU there was {share:.0%} and {at_knee:.0%}: CPU shows how full it is; "
            f"{share:.0%} × {TARGET_ROOM:.0%}, at most {LARGEST_CPU_TARGET:.0%}, in steps of 5"
        )
        return f"CPU at {target:.0%}", (reason,), "ECSServiceAverageCPUUtilization"
    minute = max(1, math.floor(knee * 60 * TARGET_ROOM * max(lost, 0.5)))
    known = "not sampled" if at_knee is None else f"only {at_knee:.0%}"
    reason = (
        f"{words}; CPU there was {known}: CPU does not show how full it is, requests do; "
        f"{knee:.0f}/s a task × 60 × {TARGET_ROOM:.0%} × {max(lost, 0.5):.0%} (one task lost)"
    )
    return f"{minute} requests a target a minute", (reason,), "ALBRequestCountPerTarget"
