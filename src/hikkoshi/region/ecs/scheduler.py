"""The loop: take a snapshot of each service, ask what is next, do it.

It wakes when a task changes or an operation asks, and otherwise every 0.2 s, because the load
balancers' view of a target changes without notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from hikkoshi.base.clock import Clock
from hikkoshi.base.collection import collection_later
from hikkoshi.model.timers import Timers
from hikkoshi.region.ecs.actions import Actions
from hikkoshi.region.ecs.decisions.next_steps import next_steps
from hikkoshi.region.ecs.decisions.steps import Step
from hikkoshi.region.ecs.records import ServiceRecord
from hikkoshi.region.ecs.store import Store
from hikkoshi.region.ecs.view import take_snapshot
from hikkoshi.region.ports import Alarms, LoadBalancers

INTERVAL_S = 0.2
FORGET_EVERY_S = 10.0
MAX_ROUNDS = 20
"""Rounds over one service in one pass. Decisions settle in three or four; more than this means
that two of them undo each other, which is logged and left to the next pass."""

_log = logging.getLogger(__name__)


class ServiceScheduler:
    def __init__(
        self, *, store: Store, actions: Actions, balancers: LoadBalancers, clock: Clock,
        timers: Timers, alarms: Alarms | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._actions = actions
        self._balancers = balancers
        self._clock = clock
        self._timers = timers
        self._alarms = alarms
        self._wakeup = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._forgotten_at = clock.monotonic()

    def wake(self) -> None:
        self._wakeup.set()

    def start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.create_task(self._run(), name="ecs-scheduler")

    async def close(self) -> None:
        if self._loop is None:
            return
        self._loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._loop
        self._loop = None

    async def _run(self) -> None:
        while True:
            self._wakeup.clear()
            await self.pass_once()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wakeup.wait(), INTERVAL_S)

    async def pass_once(self) -> int:
        """One pass over every service; the number of steps taken. A service that fails to be
        scheduled is logged and does not hold up the others."""
        with collection_later():
            return await self._settle_all()

    async def _settle_all(self) -> int:
        taken = 0
        for arn, service in list(self._store.services.items()):
            if service.status == "INACTIVE":
                continue
            try:
                taken += await self._settle(arn)
            except Exception:
                _log.exception("scheduling of %s failed; it is tried again", arn)
        now = self._clock.monotonic()
        if now - self._forgotten_at >= FORGET_EVERY_S:
            self._forgotten_at = now
            self._store.forget_old()
        return taken

    async def _settle(self, arn: str) -> int:
        taken = 0
        for _ in range(MAX_ROUNDS):
            service = self._store.services[arn]
            if service.status == "INACTIVE":
                return taken
            now = self._clock.now()
            snapshot = take_snapshot(
                service, self._store, self._balancers, self._timers, now, self._alarms
            )
            steps = next_steps(snapshot, now)
            if not steps:
                return taken
            taken += await self._take(service, steps)
        _log.warning("%s did not settle in %d rounds", arn, MAX_ROUNDS)
        return taken

    async def _take(self, service: ServiceRecord, steps: Sequence[Step]) -> int:
        """The number of those taken: all, or those before a caller, or one of them, changed what
        is wanted; then it is asked anew."""
        taken, plan = 0, _plan(service)

        def is_wanted() -> bool:
            now = self._store.services[service.arn]
            return taken < len(steps) and (now is service or _plan(now) == plan)

        while is_wanted():
            with self._store.together():
                while is_wanted() and self._actions.take_now(service.arn, steps[taken]):
                    taken += 1
            if is_wanted():
                await self._actions.take(service.arn, steps[taken])
                taken += 1
        for step in steps[:taken]:
            _log.debug("%s: %s", service.name, step)
        return taken


def _plan(service: ServiceRecord) -> tuple[object, ...]:
    """What decisions rest on and others may change while a step waits."""
    deployments = tuple((d.id, d.status, d.rollout == "FAILED") for d in service.deployments)
    return service.status, service.desired_count, service.deployment_configuration, deployments
