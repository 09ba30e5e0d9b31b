"""The ECS agent's API for its tasks, at ECS_AGENT_URI: network faults.

Source: amazon-ecs-agent, ecs-agent/tmds/handlers/fault/v1/handlers/handlers.go: statuses, words,
what may run beside what.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from hikkoshi.region.engine.port import Impairable, Impairment
from hikkoshi.region.metadata.fault_requests import (
    BLACKHOLE,
    LATENCY,
    LOSS,
    BadFaultRequest,
    FaultRequest,
    read_request,
)
from hikkoshi.region.ports import TaskFacts

Answer = tuple[HTTPStatus, dict[str, str]]
_log = logging.getLogger(__name__)
_METADATA_ADDRESS = "169.254.170.2"
_ACTIONS = ("start", "stop", "status")
_RUNNING = {
    LATENCY: "There is already one network latency fault running",
    LOSS: "There is already one network packet loss fault running",
}


@dataclass(slots=True)
class _Faults:
    """Of one task, by key."""

    running: dict[str, Impairment] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class FaultAgent:
    """Used on the region's loop."""

    def __init__(self) -> None:
        self._tasks: dict[str, _Faults] = {}

    def forget(self, task_arn: str) -> None:
        """The task has ended, and its faults with its network."""
        self._tasks.pop(task_arn, None)

    async def answer(self, task: TaskFacts | None, kind: str, action: str, body: bytes) -> Answer:
        """task None: the id in the path is not one of the asking task's containers."""
        if kind not in (BLACKHOLE, LATENCY, LOSS) or action not in _ACTIONS:
            return HTTPStatus.NOT_FOUND, {"Error": "404 page not found"}
        request: FaultRequest | None = None
        # The agent reads no body to stop a latency or a loss, or to tell of it.
        if kind == BLACKHOLE or action == "start":
            try:
                request = read_request(kind, body, _METADATA_ADDRESS)
            except BadFaultRequest as error:
                return HTTPStatus.BAD_REQUEST, {"Error": str(error)}
        if task is None:
            return HTTPStatus.NOT_FOUND, {"Error": "task lookup failed"}
        if task.order.definition.get("enableFaultInjection") is not True:
            arn = task.order.task_arn
            told = f"enableFaultInjection is not enabled for task: {arn}"
            return HTTPStatus.BAD_REQUEST, {"Error": told}
        network = task.sandbox
        if not isinstance(network, Impairable):
            _log.warning("%s %s: not implemented by this engine", action, kind)
            return HTTPStatus.INTERNAL_SERVER_ERROR, {"Error": "internal error"}
        faults = self._tasks.setdefault(task.order.task_arn, _Faults())
        async with faults.lock:
            if not network.impairments():
                faults.running.clear()  # The carrier of the frames died, and the cable was mended.
            try:
                return await _act(faults.running, network, kind, action, request)
            except OSError as error:
                # The agent tells its reason to its own log alone, and so does the region.
                _log.warning("%s %s failed: %s", action, kind, error)
                return HTTPStatus.INTERNAL_SERVER_ERROR, {"Error": "internal error"}


async def _act(
    running: dict[str, Impairment],
    network: Impairable,
    kind: str,
    action: str,
    request: FaultRequest | None,
) -> Answer:
    key = request.key if request is not None else kind
    if action == "status":
        return _said("running" if key in running else "not-running")
    if action == "stop":
        if key in running:
            left = {other: one for other, one in running.items() if other != key}
            await network.impair(tuple(left.values()))
            del running[key]
        return _said("stopped")
    for other in _RUNNING if kind != BLACKHOLE else ():
        if other in running:
            return HTTPStatus.CONFLICT, {"Error": _RUNNING[other]}
    # A black hole that is there is started again without a word, and stays as it is.
    if request is not None and key not in running:
        await network.impair((*running.values(), request.impairment))
        running[key] = request.impairment
    return _said("running")


def _said(status: str) -> tuple[HTTPStatus, dict[str, Any]]:
    return HTTPStatus.OK, {"Status": status}
