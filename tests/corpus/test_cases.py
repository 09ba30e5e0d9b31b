"""The corpus itself: that it plants what it says, and that the table counts right."""

from __future__ import annotations

from pathlib import Path

import pytest
from cases import CASES, Case
from measure import NOT_JUDGED, Row, row_of, table
from rehearsed import SERVICES, Named, project_of

from hikkoshi.findings.registry import RULES
from hikkoshi.project.load import load_project

SOURCES = {
    "python": "service.py", "flask": "service.py", "node": "service.js", "go": "go/main.go",
    "mariadb": "maria.py",
}  # fmt: skip


def test_cases_have_names_of_their_own_and_plant_rules():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert {case.rule for case in CASES} <= {rule.NAME for rule in RULES}
    assert {case.language for case in CASES} == set(SOURCES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_plants_its_defect(case):
    text = (SERVICES / SOURCES[case.language]).read_text()
    assert case.of_project or f'"{case.rule}"' in text


def test_every_rule_is_planted_or_told_to_be_missing():
    planted = {case.rule for case in CASES}
    # A hint about a check that hides a lost database: it is planted with does-not-reconnect.
    assert {rule.NAME for rule in RULES} - planted == {"health-check-does-not-touch-the-database"}


@pytest.mark.parametrize("is_planted", [True, False])
@pytest.mark.parametrize(
    "case", [c for c in CASES if c.language in ("python", "mariadb")], ids=lambda c: c.name
)
def test_a_project_is_one_that_hikkoshi_reads(tmp_path: Path, case: Case, is_planted: bool):
    project_of(case, tmp_path / "p", is_planted=is_planted)
    project = load_project(tmp_path / "p")
    assert project.service == "corpus"


def named(findings, consequences=None):
    return Named(1, findings, consequences or {}, {}, "")


def test_what_counts_as_found_and_as_false():
    case = Case("is-throttled")
    found = row_of(case, named({"is-throttled": "fact", "grows-in-memory": "fact"}), [])
    assert (found.found, found.others, found.on_twin) == ("fact", ["grows-in-memory"], [])
    cause = {"is-throttled": "saturates-task-cpu"}
    follows = row_of(case, named({"saturates-task-cpu": "fact"}, cause), [])
    assert (follows.found, follows.others) == ("consequence of saturates-task-cpu", [])
    missed = row_of(case, named({}), ["is-throttled"])
    assert (missed.found, missed.on_twin) == ("missed", ["is-throttled"])
    excused = row_of(case, Named(1, {}, {}, {"is-throttled": "a busy machine"}, ""), [])
    assert excused.found == NOT_JUDGED
    assert "1 of 2 planted defects named (1 as facts), 1 not judged" in table(
        [found, excused], [], "today"
    )
    assert "nothing is claimed of them (1): python-is-throttled" in table([], [], "today", [case])
    text = table([found, follows, missed], [], "today")
    assert "2 of 3 planted defects named (1 as facts)" in text
    assert "1 on planted services, 1 on repaired twins" in text
    assert "precision of facts 0.33" in text


def test_a_row_is_written_and_read():
    row = Row("a", "python", "is-throttled", "fact", [], [], "2026-11-24")
    assert "| python | is-throttled | fact | – | – | 2026-11-24 |" in table([row], [], "today")
