"""AWS's slow timers as settings, with AWS's value beside the one that is used."""

from __future__ import annotations

from dataclasses import dataclass, fields

_AWS: dict[str, tuple[float, str]] = {
    "steady_without_checks_s": (
        40.0,
        "a task with neither load balancer nor health check counts as healthy after",
    ),
    "deregistration_delay_s": (300.0, "a draining target keeps its connections for at most"),
    "target_health_interval_s": (30.0, "the load balancer checks each target every"),
    "container_health_interval_s": (30.0, "a container's health check runs every"),
    "stop_timeout_s": (30.0, "a container has, between SIGTERM and SIGKILL,"),
    "failover_s": (30.0, "an Aurora failover takes about"),
    "restart_backoff_s": (900.0, "a service that cannot start tasks waits at most"),
    "scaling_interval_s": (60.0, "auto scaling looks at its metrics every"),
    "scaling_cooldown_s": (300.0, "auto scaling waits after a scaling for at most"),
    "bake_time_s": (86400.0, "a blue/green deployment bakes, and holds each step, for at most"),
}


@dataclass(frozen=True, slots=True)
class Timers:
    """Caps in seconds: where a document asks for longer, the cap is used instead. None: no cap.

    A document that asks for less than the cap gets what it asks for. `steady_without_checks_s`,
    `failover_s`, `restart_backoff_s` and `scaling_interval_s` are not in any document and are used
    as they stand.
    """

    steady_without_checks_s: float = 40.0
    deregistration_delay_s: float | None = None
    target_health_interval_s: float | None = None
    container_health_interval_s: float | None = None
    stop_timeout_s: float | None = None
    failover_s: float = 30.0
    restart_backoff_s: float = 900.0
    scaling_interval_s: float = 60.0
    scaling_cooldown_s: float | None = None
    bake_time_s: float | None = None

    @staticmethod
    def as_aws() -> Timers:
        return Timers()

    @staticmethod
    def for_rehearsal() -> Timers:
        return Timers(
            steady_without_checks_s=1.0,
            deregistration_delay_s=2.0,
            target_health_interval_s=0.5,
            container_health_interval_s=0.5,
            stop_timeout_s=5.0,
            failover_s=1.0,
            restart_backoff_s=2.0,
            scaling_interval_s=1.0,
            scaling_cooldown_s=5.0,
            bake_time_s=5.0,
        )

    def capped(self, name: str, asked_s: float) -> float:
        """The asked time, or the cap of that name if it is shorter."""
        cap = getattr(self, name)
        return asked_s if cap is None else min(asked_s, cap)

    def shortened(self) -> list[tuple[str, float, float]]:
        """(what it is, AWS's seconds, seconds used) for each timer that is shorter than AWS's."""
        rows = []
        for field in fields(self):
            used = getattr(self, field.name)
            aws, meaning = _AWS[field.name]
            if used is not None and used < aws:
                rows.append((meaning, aws, used))
        return rows
