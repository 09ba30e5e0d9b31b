"""A rehearsal of genba, repaired, as it was recorded (2 × 0.5 vCPU, 120/s, 67 s): its numbers, and
what they make of the settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hikkoshi.evidence.build import build_store
from hikkoshi.model.findings import Certainty
from hikkoshi.project.load import load_project
from hikkoshi.tuning.choice import Choice
from hikkoshi.tuning.measured import Measured, measure
from hikkoshi.tuning.present import objective_of, present_of
from hikkoshi.tuning.tune import tune

RECORDED = Path(__file__).parent / "recorded" / "genba"
GENBA = Path(__file__).parents[2] / "examples" / "genba" / "after"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    meta = json.loads((RECORDED / "meta.json").read_text())
    with build_store(
        [RECORDED],
        [RECORDED / "requests.csv.gz"],
        tmp_path_factory.mktemp("run") / "evidence.duckdb",
        service=meta.pop("service"),
        meta=meta,
    ) as store:
        return measure(store)


def test_what_was_measured_is_read(run: Measured) -> None:
    steady, soak = run.planned
    assert (steady.trial, steady.requests, soak.trial, soak.requests) == (
        "steady",
        720,
        "soak",
        480,
    )
    assert steady.rate == pytest.approx(120, abs=0.1) and steady.tasks == 2
    assert steady.errors == 0 and steady.p99_s == pytest.approx(0.0366, abs=0.0001)
    assert soak.cpu_s_a_request == pytest.approx(0.00144, abs=0.00001)
    assert [round(one.rate) for one in run.steps] == [240, 480]
    assert (run.cpu_vcpu, run.is_cpu_enforced) == (0.5, True)
    assert (run.open_files_peak, run.open_files_limit) == (77, 4096)
    assert (run.connections_peak, run.connection_tasks, run.connection_limit) == (16, 2, 60)
    assert len(run.starts_s) == 7 and max(run.starts_s) == pytest.approx(2.63, abs=0.01)
    assert len(run.stops_s) == 7 and run.killed_stops == 0


def test_the_settings_that_follow(run: Measured) -> None:
    project = load_project(GENBA)
    tuning = tune(run, present_of(project), objective_of(project), project.settings.region)
    wanted = {one.setting: one for one in tuning.answers}
    assert all(isinstance(one, Choice) for one in tuning.answers), wanted
    size = wanted["task size and number of tasks"]
    assert isinstance(size, Choice) and size.certainty is Certainty.LIKELY
    assert size.wanted == "3 × 0.25 vCPU, 0.5 GB"
    scaling = wanted["autoscaling"]
    assert isinstance(scaling, Choice) and "requests a target a minute" in scaling.wanted
    pool = wanted["connection pool"]
    assert isinstance(pool, Choice) and pool.wanted.startswith("open 4, ")
    assert "4 × 6 tasks at once in a deploy (3 × 200 %) = 24 of 57" in " ".join(pool.because)
    grace = wanted["healthCheckGracePeriodSeconds"]
    assert isinstance(grace, Choice) and grace.wanted == "30 s"
    assert tuning.cost.now == pytest.approx(44.98, abs=0.01)
    assert tuning.cost.wanted == pytest.approx(33.74, abs=0.01)
