"""A few cases of the corpus, in real regions; `make corpus` rehearses all of them."""

from __future__ import annotations

import pytest
from cases import CASES
from rehearsed import project_of, rehearse

pytestmark = [pytest.mark.region, pytest.mark.slow, pytest.mark.alone]

BY_NAME = {case.name: case for case in CASES}
SHOWN = [
    "python-scans-a-table-for-a-few-rows", "mariadb-repeats-a-query-for-each-row",
    "node-ignores-sigterm",
]  # fmt: skip


def of(name):
    case = BY_NAME[name]
    if case.why_not:
        pytest.skip(f"SKIPPED {name}: {case.why_not}")
    return case


@pytest.mark.parametrize("name", SHOWN)
def test_a_planted_defect_is_named(tmp_path, name):
    case = of(name)
    project_of(case, tmp_path / "planted", is_planted=True)
    named = rehearse(case, tmp_path / "planted")
    # A scan's counters lag by a second, and without them the plan alone is likely.
    assert named.certainty(case.rule) in ("fact", "likely"), named
    assert named.facts <= {case.rule}


@pytest.mark.parametrize("name", SHOWN[:2])
def test_its_repaired_twin_has_no_fact(tmp_path, name):
    case = of(name)
    project_of(case, tmp_path / "repaired", is_planted=False)
    named = rehearse(case, tmp_path / "repaired")
    assert named.facts == set(), named
    assert named.code in (0, 1)
