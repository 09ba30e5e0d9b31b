"""`hikkoshi tune` on a run that was really rehearsed, and on one that left nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

GENBA = Path(__file__).parents[2] / "examples" / "genba"
HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")


def run(*arguments: object, cwd: Path, timeout: float = 240) -> tuple[int, str, str]:
    done = subprocess.run(
        [HIKKOSHI, *(str(one) for one in arguments)], cwd=cwd, text=True, capture_output=True,
        timeout=timeout, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """genba, repaired, rehearsed: the planned rate, overload and a task killed."""
    place = tmp_path_factory.mktemp("tune") / "genba"
    shutil.copytree(GENBA, place, ignore=shutil.ignore_patterns(".hikkoshi", "__pycache__"))
    after = place / "after"
    trials = "steady,overload,kill-task"
    code, out, error = run("rehearse", after, "--quick", "--only", trials, cwd=place)
    assert code in (0, 1) and (after / ".hikkoshi/runs/latest/verdict.json").exists(), out + error
    return after


@pytest.mark.region
@pytest.mark.slow
def test_a_rehearsed_run_is_tuned_and_the_result_is_a_valid_project(home: Path) -> None:
    code, out, error = run("tune", "--json", cwd=home)
    document = json.loads(out)
    answers = {one["setting"]: one for one in document["answers"]}
    assert len(answers) == 8 and document["objective"]["rate"] == 120
    size = answers["task size and number of tasks"]
    assert size["is_judged"], size
    assert "requests at 120/s cost" in size["because"][0]
    assert code == (0 if size["certainty"] != "hint" else 1), error
    assert document["cost"]["price"]["region"] == "ap-northeast-1"
    assert document["cost"]["now"] == pytest.approx(44.98, abs=0.01)
    assert "max_connections 60 − 3 reserved" in " ".join(answers["connection pool"]["because"])
    assert answers["stopTimeout"]["is_judged"]

    code, patch, _ = run("tune", "--patch", cwd=home)
    assert patch == document["patch"] and '-  "healthCheckGracePeriodSeconds": 5,' in patch
    code, shown, _ = run("tune", home, "--region", "mars-1", cwd=home.parent)
    assert "price: not known for mars-1; known: ap-northeast-1" in shown
    code, shown, error = run("tune", "--write", cwd=home)
    assert patch in shown and "wrote" in shown
    assert run("check", home, cwd=home)[0] == 0
    assert json.loads((home / "ecs-service-def.json").read_text())[
        "healthCheckGracePeriodSeconds"
    ] in range(10, 61)


def test_without_a_run_it_says_what_to_do(tmp_path: Path) -> None:
    code, out, error = run("tune", cwd=tmp_path)
    assert (code, out) == (2, "") and "hikkoshi rehearse DIR" in error
    code, _, error = run("tune", "--json", "--patch", cwd=tmp_path)
    assert code == 2 and "one or the other" in error
