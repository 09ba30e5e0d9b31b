from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import pytest
from contract_house import Region
from contract_page import write_page

from hikkoshi.cli.engine_choice import look_for_docker

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
ENGINES = ("embedded", "docker")
_results: dict[tuple[str, str], str] = {}


def pytest_addoption(parser):
    parser.addoption(
        "--conformance", action="store_true", help="write docs/conformance.md from the results"
    )


@pytest.fixture(scope="session", params=ENGINES)
def region(request, tmp_path_factory):
    if request.param == "docker":
        refusal = look_for_docker(os.environ).refusal
        if refusal is not None:
            warnings.warn(f"the Docker half is skipped: {refusal.what}", stacklevel=1)
            pytest.skip(f"DOCKER HALF SKIPPED: {refusal.what}")
    found = Region(tmp_path_factory.mktemp(request.param), request.param)
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
