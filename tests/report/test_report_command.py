from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from fake_run import build, verdict_of

from hikkoshi.base.errors import BadInput
from hikkoshi.cli.explain import explain
from hikkoshi.cli.report import report
from hikkoshi.findings.registry import RULES
from hikkoshi.report.json import to_json


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with one run, `latest` pointing to it; the working directory is the project."""
    run = tmp_path / "genba" / ".hikkoshi" / "runs" / "20201123T040000Z-1a2b"
    run.mkdir(parents=True)
    with build(run, healthy=False) as store:
        (run / "verdict.json").write_text(to_json(verdict_of(store, healthy=False)))
    (run.parent / "latest").symlink_to(run.name)
    monkeypatch.chdir(tmp_path / "genba")
    return tmp_path / "genba"


def run_of(project):
    return project / ".hikkoshi" / "runs" / "20201123T040000Z-1a2b"


@pytest.mark.parametrize(
    "given",
    [[], ["."], ["20201123T040000Z-1a2b"], ["../genba"], [".hikkoshi/runs/latest"],
     [".hikkoshi/runs/latest/verdict.json"]],
)  # fmt: skip
def test_a_run_is_found_by_path_id_or_project(project, given):
    done = CliRunner().invoke(report, given, catch_exceptions=False)
    assert done.exit_code == 0
    assert "verdict: not ready (genba)" in done.output
    assert f"report: {run_of(project) / 'report.html'}" in done.output


def test_a_missing_page_is_made_again_from_the_evidence(project):
    page = run_of(project) / "report.html"
    assert not page.exists()
    CliRunner().invoke(report, [], catch_exceptions=False)
    assert "<!doctype html>" in page.read_text()


def test_json_is_the_document_and_nothing_else(project):
    done = CliRunner().invoke(report, ["--json"], catch_exceptions=False)
    assert json.loads(done.output) == json.loads((run_of(project) / "verdict.json").read_text())


def test_junit_is_written_beside(project):
    CliRunner().invoke(report, ["--junit", "out.xml"], catch_exceptions=False)
    assert (project / "out.xml").read_text().startswith("<?xml")


def test_what_is_not_there_is_said(project, tmp_path, monkeypatch):
    with pytest.raises(BadInput, match="no run 'nonsense'"):
        CliRunner().invoke(report, ["nonsense"], catch_exceptions=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="no finished run"):
        CliRunner().invoke(report, [], catch_exceptions=False)
    (run_of(project) / "verdict.json").write_text('{"schema": 1, ')
    with pytest.raises(BadInput, match=r"verdict\.json: .*not a verdict document"):
        CliRunner().invoke(report, [str(project)], catch_exceptions=False)


def test_explain_lists_and_prints_pages():
    listed = CliRunner().invoke(explain, [], catch_exceptions=False).output
    assert len(listed.splitlines()) == len(RULES) >= 29
    page = CliRunner().invoke(explain, ["deadlocks-under-load"], catch_exceptions=False).output
    assert page.startswith("# deadlocks-under-load") and "40P01" in page
    with pytest.raises(BadInput, match="did you mean deadlocks-under-load"):
        CliRunner().invoke(explain, ["deadlock"], catch_exceptions=False)
