"""The project's synthetic tests, once, against the new home."""

from __future__ import annotations

import time

from hikkoshi.model.trials import Measure, Outcome, TrialResult
from hikkoshi.synthetic.reading import load_tests
from hikkoshi.synthetic.run import State, run
from hikkoshi.trials.context import Context, result

NAME = "synthetic"
TITLE = "each endpoint answers as expected"


def try_synthetic(context: Context) -> TrialResult:
    t_start = time.time()
    settings = context.project.settings
    assert settings.synthetic is not None
    tests = load_tests(context.project.directory / settings.synthetic)
    results = run(tests, context.home.base_url)
    failed = [r for r in results if r.state is State.FAILED]
    untried = [r for r in results if r.state is State.NOT_TRIED and not r.is_skipped]
    degraded = [r for r in results if r.state is State.DEGRADED]
    notes = [f"degraded: {r.name}: {r.reason}" for r in degraded]
    measures = [
        Measure("tests", float(len(results)), ""),
        Measure("tests failed", float(len(failed)), "", "none", not failed),
        Measure("tests degraded", float(len(degraded)), ""),
    ]
    if failed:
        reason = "; ".join(f"{r.name}: {r.reason}" for r in failed[:3])
        return result(NAME, TITLE, t_start, Outcome.BROKE, reason, measures, notes)
    if untried:
        reason = "; ".join(f"{r.name}: {r.reason}" for r in untried[:3])
        return result(NAME, TITLE, t_start, Outcome.NOT_TRIED, reason, measures, notes)
    return result(
        NAME, TITLE, t_start, Outcome.HELD, f"{len(results)} tests passed", measures, notes
    )
