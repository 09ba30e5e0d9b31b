from __future__ import annotations

import re
from pathlib import Path

import pytest
from contract_house import Region
from contract_page import write_page

from two_engines import ENGINES, need

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
_results: dict[tuple[str, str], str] = {}


def pytest_addoption(parser):
    parser.addoption(
        "--conformance", action="store_true", help="write docs/conformance.md from the results"
    )


@pytest.fixture(scope="session", params=ENGINES)
def region(request, tmp_path_factory):
    engine = need(request.param)
    found = Region(tmp_path_factory.mktemp(engine), engine)
    found.up()
    yield found
    found.down()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    named = re.match(r"test_c(\d\d)_", item.name)
    engine = getattr(item, "callspec", None) and item.callspec.params.get("region")
    if named is None or not engine or (call.when != "call" and report.outcome == "passed"):
        return
    key = (f"C{int(named[1])}", engine)
    before = _results.get(key, "passed")
    worst = {"passed": 0, "skipped": 1, "failed": 2}
    _results[key] = max(before, report.outcome, key=lambda one: worst[one])


def pytest_sessionfinish(session):
    if session.config.getoption("--conformance"):
        write_page(PAGE, _results)
