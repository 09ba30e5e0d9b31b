"""How a deployment in which ECS shifts traffic waits by design."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def holds_s(configuration: Mapping[str, Any]) -> tuple[float, ...]:
    """Seconds that a deploymentConfiguration holds each of its steps, and at last its bake time;
    none where it rolls. Defaults: API_CanaryConfiguration, API_LinearConfiguration."""
    strategy = configuration.get("strategy", "ROLLING")
    if strategy == "ROLLING":
        return ()
    minutes: list[float] = []
    if strategy == "CANARY":
        canary = configuration.get("canaryConfiguration") or {}
        minutes = [float(canary.get("canaryBakeTimeInMinutes", 10))]
    if strategy == "LINEAR":
        linear = configuration.get("linearConfiguration") or {}
        steps = int(-(-100.0 // float(linear.get("stepPercent", 10.0))))
        minutes = [float(linear.get("stepBakeTimeInMinutes", 6))] * (steps - 1)
    minutes.append(float(configuration.get("bakeTimeInMinutes") or 0))
    return tuple(60.0 * each for each in minutes)
