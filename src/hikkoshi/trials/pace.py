"""How long each trial takes: the whole programme, or the quick one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """All in seconds. `warm` and `cool` stand before and after each fault, under load."""

    steady_s: float
    overload_step_s: float
    overload_factors: tuple[float, ...]
    soak_s: float
    warm_s: float
    cool_s: float
    fault_deadline_s: float
    deploy_deadline_s: float
    probe_requests: int
    cutover_steps: tuple[int, ...]
    cutover_hold_s: float

    @staticmethod
    def full() -> Pace:
        return Pace(
            steady_s=15.0,
            overload_step_s=3.0,
            overload_factors=(1.5, 2.0, 3.0, 4.5, 6.5),
            soak_s=25.0,
            warm_s=1.5,
            cool_s=2.0,
            fault_deadline_s=30.0,
            deploy_deadline_s=60.0,
            probe_requests=5,
            cutover_steps=(5, 25, 50, 100),
            cutover_hold_s=2.0,
        )

    @staticmethod
    def quick() -> Pace:
        return Pace(
            steady_s=6.0,
            overload_step_s=1.0,
            overload_factors=(2.0, 4.0),
            soak_s=4.0,
            warm_s=0.6,
            cool_s=0.6,
            fault_deadline_s=30.0,
            deploy_deadline_s=45.0,
            probe_requests=3,
            cutover_steps=(25, 100),
            cutover_hold_s=0.5,
        )
