"""Experiments of the Chaos Toolkit, run by its own library; rollbacks always."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import BadInput
from hikkoshi.faults.model import FaultResult

# chaoslib itself skips rollbacks when an experiment failed or was interrupted.
SETTINGS = {"runtime": {"rollbacks": {"strategy": "always"}}}


def load_experiment(file: Path) -> dict[str, Any]:
    """BadInput: not readable, or chaoslib finds it invalid, in its words."""
    from chaoslib.exceptions import ChaosException
    from chaoslib.experiment import ensure_experiment_is_valid

    try:
        text = file.read_text("utf-8")
        found = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise BadInput(f"cannot be read: {error}", where=str(file), fix="name a file") from error
    if not isinstance(found, dict):
        raise BadInput("not an experiment: no object", where=str(file), fix="it has title, method")
    try:
        with _quiet():
            ensure_experiment_is_valid(found)
    except (ChaosException, KeyError, TypeError) as error:
        raise BadInput(
            f"not a valid experiment: {error}", where=str(file), fix="chaostoolkit.org/reference"
        ) from error
    return found


def run_experiment(file: Path, access: Access, say: Callable[[str], None]) -> FaultResult:
    """held: the steady state held before and after, every action was done, and rollbacks too.
    broke: it deviated, or an activity failed. not tried: it was not steady at the start."""
    from chaoslib.experiment import run_experiment as run

    experiment = load_experiment(file)
    title = str(experiment.get("title"))
    say(f"{file.name}: {title}")
    with _leading_to(access), _quiet():
        journal: dict[str, Any] = run(experiment, settings=SETTINGS)
    outcome, reason = judge(journal)
    rollbacks = journal.get("rollbacks") or []
    failed = [each for each in rollbacks if each.get("status") != "succeeded"]
    undo = f"{len(rollbacks) - len(failed)} of {len(rollbacks)} rollbacks succeeded"
    activities = [*(journal.get("run") or []), *rollbacks]
    for each in activities:
        name = (each.get("activity") or {}).get("name")
        say(f"{name}: {each.get('status')}{_output(each)}")
    states = journal.get("steady_states") or {}
    return FaultResult(
        file.name,
        title,
        outcome,
        reason,
        is_steady_before=_met(states.get("before")),
        is_steady_after=_met(states.get("after")),
        undo=undo,
        details={"journal": json.loads(json.dumps(journal, default=str))},
    )


def judge(journal: dict[str, Any]) -> tuple[str, str]:
    """Outcome and reason. Pure."""
    status = journal.get("status")
    before = (journal.get("steady_states") or {}).get("before")
    if _met(before) is False:
        return "not tried", f"it was not steady before: {_unmet(before)}"
    failed = [
        f"{(each.get('activity') or {}).get('name')}: {_words(each)}"
        for each in [*(journal.get("run") or []), *(journal.get("rollbacks") or [])]
        if each.get("status") != "succeeded"
    ]
    after = (journal.get("steady_states") or {}).get("after")
    if journal.get("deviated") or _met(after) is False:
        return "broke", f"the steady state deviated: {_unmet(after) or status}"
    if failed:
        return "broke", "; ".join(failed)
    if status != "completed":
        return "broke", f"the experiment ended as {status}"
    if not journal.get("run"):
        return "not tried", "the experiment has no activity in its method"
    return "held", f"{len(journal['run'])} activities done, and steady after"


def _met(state: Any) -> bool | None:
    return bool(state.get("steady_state_met")) if isinstance(state, dict) and state else None


def _unmet(state: Any) -> str:
    probes = state.get("probes", []) if isinstance(state, dict) else []
    return "; ".join(
        f"{(p.get('activity') or {}).get('name')}: {_words(p)}"
        for p in probes
        if not p.get("tolerance_met", True)
    )


def _words(run: dict[str, Any]) -> str:
    exception = run.get("exception")
    if isinstance(exception, list) and exception:
        return str(exception[-1]).strip()
    return f"{run.get('status')}, {run.get('output')!r}"[:300]


def _output(run: dict[str, Any]) -> str:
    output = run.get("output")
    return "" if output is None else f" ({str(output)[:120]})"


@contextlib.contextmanager
def _leading_to(access: Access) -> Iterator[None]:
    """Providers of whatever make find the way by what every client of AWS's reads."""
    wanted = {"AWS_REGION": access.region, "AWS_DEFAULT_REGION": access.region}
    if access.endpoint is not None:
        wanted |= {"AWS_ENDPOINT_URL": access.endpoint, "AWS_ACCESS_KEY_ID": "local",
                   "AWS_SECRET_ACCESS_KEY": "local"}  # fmt: skip
    if access.profile is not None:
        wanted["AWS_PROFILE"] = access.profile
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """chaoslib logs each step; what it says is in its journal."""
    logger = logging.getLogger("chaostoolkit")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
