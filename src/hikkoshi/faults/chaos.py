"""A provider for the Chaos Toolkit: our faults as actions, the steady state as a probe.

    {"type": "action", "name": "stop a task",
     "provider": {"type": "python", "module": "hikkoshi.faults.chaos", "func": "inject",
                  "arguments": {"fault": "stop-task", "cluster": "genba", "service": "genba"}}}

Where: as every client of AWS's (AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL). An action that cannot
be tried, or of which nothing shows that it happened, fails.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from chaoslib.exceptions import ActivityFailed

from hikkoshi.aws.access import Access, wait_until
from hikkoshi.base.errors import DeadlinePassed, HikkoshiError
from hikkoshi.base.state import index_directory
from hikkoshi.faults.catalogue import find
from hikkoshi.faults.journal import DIRECTORY, Journal
from hikkoshi.faults.model import Place
from hikkoshi.faults.service import unsteady_because

__all__ = ["inject", "is_steady", "wait_until_steady"]


def inject(
    fault: str,
    service: str | None = None,
    cluster: str = "default",
    database: str | None = None,
    container: str | None = None,
    zone: str | None = None,
    peer: str | None = None,
    hold_s: float = 10.0,
    delay_ms: int = 500,
    loss_percent: int = 30,
    proof_within_s: float = 120.0,
) -> dict[str, Any]:
    """Inject a fault of `hikkoshi fault list`, wait for its proof, hold it, undo it. Answers
    {"fault", "proof"}. If this process is killed before the undo, the next `hikkoshi fault` undoes
    it."""
    journal = Journal(
        index_directory(os.environ, os.getuid(), Path(tempfile.gettempdir())) / DIRECTORY
    )
    place = Place(
        _access(), cluster, service, database, os.environ.get("DATABASE_URL"), container, zone,
        peer, hold_s, delay_ms, loss_percent, journal,
    )  # fmt: skip
    try:
        broken = find(fault).make(place)
        broken.prepare()
        try:
            broken.inject()
            proof: list[str] = []

            def is_proven() -> bool:
                told = broken.proof()
                proof.extend([told] if told else [])
                return bool(proof)

            wait_until(f"a proof of {fault}", is_proven, proof_within_s, every_s=0.2)
            if broken.is_held():
                time.sleep(hold_s)
        finally:
            broken.undo()
            journal.forget()
    except HikkoshiError as error:
        raise ActivityFailed(f"{fault}: {error.what}") from error
    return {"fault": fault, "proof": proof[0]}


def is_steady(
    service: str | None = None, cluster: str = "default", database: str | None = None
) -> bool:
    """Deployments done, every task running, every target healthy, the database available."""
    try:
        return unsteady_because(Place(_access(), cluster, service, database)) is None
    except HikkoshiError as error:
        raise ActivityFailed(error.what) from error


def wait_until_steady(
    service: str | None = None,
    cluster: str = "default",
    database: str | None = None,
    within_s: float = 300.0,
) -> bool:
    """True once it is; fails when it is not in time, and says why."""
    place = Place(_access(), cluster, service, database)
    try:
        wait_until(
            "the steady state",
            lambda: unsteady_because(place) is None,
            within_s,
            every_s=0.3,
            explain=lambda: unsteady_because(place) or "",
        )
    except DeadlinePassed as error:
        raise ActivityFailed(error.what) from error
    return True


def _access() -> Access:
    """A local region when AWS_ENDPOINT_URL leads to this machine: what only a region can do is
    then asked of it."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if endpoint.startswith(("http://127.0.0.1", "http://localhost")):
        return Access(endpoint.rstrip("/"), os.environ.get("AWS_REGION", "ap-northeast-1"))
    return Access.to_account(os.environ.get("AWS_PROFILE"), os.environ.get("AWS_REGION"))
