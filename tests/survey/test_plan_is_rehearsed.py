"""A plan of the old genba host, rehearsed: short, and far enough to find what its code does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import old_genba
import pytest

HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")


@pytest.mark.slow
@pytest.mark.region
def test_the_plan_of_a_tree_comes_up_and_shows_its_n_plus_one(tmp_path: Path) -> None:
    old_genba.build(tmp_path / "root")
    for words in (["survey", "--root", "root"], ["plan", "survey.json", "-o", "home", "--yes"]):
        subprocess.run(
            [HIKKOSHI, *words], cwd=tmp_path, check=True, capture_output=True, timeout=60
        )
    words = ["rehearse", "home", "--quick", "--only", "one-by-one", "--json"]
    done = subprocess.run(
        [HIKKOSHI, *words], cwd=tmp_path, capture_output=True, text=True, timeout=170
    )
    assert done.returncode in (0, 1), done.stderr
    verdict = json.loads(done.stdout)
    (trial,) = [t for t in verdict["trials"] if t["name"] == "one-by-one"]
    assert trial["outcome"] != "not tried", trial
    assert "repeats-a-query-for-each-row" in {f["rule"] for f in verdict["judgement"]["findings"]}
