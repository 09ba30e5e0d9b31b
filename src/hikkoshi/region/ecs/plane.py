"""What the API's operations work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hikkoshi.base.clock import Clock
from hikkoshi.region.ecs.arns import Arns
from hikkoshi.region.ecs.launch import Launcher
from hikkoshi.region.ecs.store import Store
from hikkoshi.region.ports import Alarms, LoadBalancers, ServiceRegistries, TaskRuntime


@dataclass(frozen=True, slots=True)
class ControlPlane:
    store: Store
    names: Arns
    clock: Clock
    launcher: Launcher
    runtime: TaskRuntime
    balancers: LoadBalancers
    registries: ServiceRegistries | None
    """None: Cloud Map is not there."""
    alarms: Alarms | None
    """None: CloudWatch is not there."""
    wake: Callable[[], None]
    """Ask the scheduler for a pass now."""
