"""Where ECS's events go: kept for `/_hikkoshi/events`, and to the rules of EventBridge.

Rules and their targets are moto's (CloudWatch Logs groups, SQS queues, other buses, archives).
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hikkoshi.base.clock import Clock
from hikkoshi.region.ecs import happenings
from hikkoshi.region.ecs.arns import Arns
from hikkoshi.region.ecs.happenings import Happening
from hikkoshi.region.ecs.records import ServiceRecord, TaskRecord
from hikkoshi.region.ecs.store import Store

KEPT = 5000
MAX_WAITING = 2000
"""Deliveries under way; what is beyond it is dropped and counted, never waited for."""

_log = logging.getLogger(__name__)


class EventBus:
    """Keeps store.Watcher. Used on the loop; deliveries run in a thread of their own."""

    def __init__(self, store: Store, names: Arns, clock: Clock) -> None:
        self._store = store
        self._names = names
        self._clock = clock
        self._kept: deque[tuple[int, Happening]] = deque(maxlen=KEPT)
        self._count = 0
        self._waiting = 0
        self._dropped = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ecs-events")

    def task_changed(self, before: TaskRecord | None, task: TaskRecord) -> None:
        happening = happenings.of_task(before, task, self._store, self._clock.now())
        if happening is not None:
            self._publish(happening)

    def service_changed(self, before: ServiceRecord | None, service: ServiceRecord) -> None:
        for happening in happenings.of_service(before, service, self._clock.now()):
            self._publish(happening)

    def listing(self, after: int = 0, limit: int = 1000) -> dict[str, Any]:
        """{"events": […], "last": n, "dropped": n}: those after the n-th, the oldest first.
        `dropped` counts deliveries to rules that were given up, not events."""
        found = [each for each in self._kept if each[0] > after][:limit]
        return {
            "events": [happening.event(self._names) for _, happening in found],
            "last": found[-1][0] if found else self._count,
            "dropped": self._dropped,
        }

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _publish(self, happening: Happening) -> None:
        self._count += 1
        self._kept.append((self._count, happening))
        if not _has_rules(self._names):
            return
        if self._waiting >= MAX_WAITING:
            self._dropped += 1
            return
        self._waiting += 1
        self._thread.submit(self._deliver, happening.event(self._names), happening.at)

    def _deliver(self, event: dict[str, Any], at: float) -> None:
        try:
            deliver(self._names, event, at)
        except Exception:
            self._dropped += 1
            _log.exception("an event could not be delivered to a rule of EventBridge")
        finally:
            self._waiting -= 1


def _bus(names: Arns) -> Any:
    """moto's default event bus; None while nobody has spoken to EventBridge."""
    # Importing it here would cost every region a second; without it there are no rules.
    models = sys.modules.get("moto.events.models")
    if models is None:
        return None
    return models.events_backends[names.account_id][names.region].event_buses.get("default")


def _has_rules(names: Arns) -> bool:
    bus = _bus(names)
    return bus is not None and bool(bus.rules)


def deliver(names: Arns, event: dict[str, Any], at: float) -> None:
    """To every enabled rule of the default bus that matches. A target of a kind that moto does
    not know is logged, and the other rules get theirs."""
    bus = _bus(names)
    for rule in list(bus.rules.values()) if bus is not None else ():
        if rule.state != "ENABLED" or not rule.targets:
            continue
        # moto keeps `time` as a number until it writes it out.
        message = {**event, "time": int(at), "resources": list(event["resources"])}
        is_transformed = any(target.get("InputTransformer") for target in rule.targets)
        if is_transformed:
            message["ingestion-time"] = event["time"]
        with contextlib.suppress(NotImplementedError):
            rule.send_to_targets(message, transform_input=is_transformed)
