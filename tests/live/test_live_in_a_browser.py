"""The live page in a real Chromium: fed, a trace opened; axe-core finds nothing serious."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

import fake_run
from chromium import Browser, axe_core, program, serious_violations

from hikkoshi.live.page import live_page
from hikkoshi.live.server import Feed, LiveServer
from hikkoshi.live.snapshot import snapshot
from hikkoshi.report.html import json_for_script
from hikkoshi.report.trace_data import trace_data

pytestmark = pytest.mark.skipif(
    not program(), reason="needs Chromium (apt-get install chromium) to run the page's script"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    feed = Feed()
    store = fake_run.build(tmp_path_factory.mktemp("sick"), healthy=False)
    (end,) = store.rows("SELECT max(t_intended + latency_s) FROM requests")[0]
    with (
        store,
        LiveServer(feed, lambda token: live_page("genba", token)) as server,
        Browser(tmp_path_factory.mktemp("browser")) as browser,
    ):
        browser.open(server.link)
        feed.put("lines", json_for_script(snapshot(store, end)))
        feed.put("traces", json_for_script(trace_data(store, share=0.12)))
        browser.wait("document.querySelectorAll('#charts path.line').length > 4", 60)
        browser.wait("document.querySelectorAll('#trace-list tr').length > 4", 60)
        yield browser
        assert browser.console == []


def test_what_the_stream_tells_is_drawn(page):
    assert page.run("document.getElementById('n-tasks').textContent") != "–"
    assert page.run("document.querySelectorAll('#event-list li').length") > 2
    page.run("document.querySelector('#trace-list a').click()")
    page.wait("document.getElementById('trace').textContent.includes('Waterfall')")


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, True)])
def test_axe_finds_nothing_serious(page, tmp_path_factory, width, dark):
    page.look(width=width, dark=dark)
    assert serious_violations(page, axe_core(tmp_path_factory.mktemp("axe"))) == []
    assert page.run("document.documentElement.scrollWidth") <= width
