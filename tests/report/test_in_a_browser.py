"""The page in a real Chromium: it draws, is searched, opens a trace, and harms nobody."""

from __future__ import annotations

import json

import pytest
from chromium import Browser, axe_core, program, serious_violations
from fake_run import T0
from test_html import hostile_run, hostile_verdict

from hikkoshi.base.clock import FakeClock
from hikkoshi.evidence.build import build_store
from hikkoshi.evidence.recorder import JsonlRecorder
from hikkoshi.report.html import render_html

pytestmark = pytest.mark.skipif(
    not program(), reason="needs Chromium (apt-get install chromium) to run the page's script"
)
FIRST = f"1-5fbb0000-{11:024x}"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def address(tmp_path_factory, runs):
    store, verdict = runs["sick"]
    page = tmp_path_factory.mktemp("page") / "report.html"
    page.write_text(render_html(verdict, store), encoding="utf-8")
    return page.as_uri()


@pytest.fixture
def page(browser, address):
    browser.console.clear()
    browser.requests.clear()
    browser.look(width=1200)
    browser.open(address)
    yield browser
    assert browser.console == []
    assert all(url.startswith("file:") for url in browser.requests)


def test_it_draws_its_charts(page):
    lines = page.run(
        "[...document.querySelectorAll('#charts path.line')].map(p => p.getAttribute('d'))"
    )
    assert len(lines) == 12 and all(d.count("L") > 3 and "NaN" not in d for d in lines)
    assert page.run("document.querySelectorAll('#charts line.mark').length") == 12
    figures = page.run(
        "[...document.querySelectorAll('[data-figure]')].map(f => f.querySelectorAll("
        "'path.line').length + f.querySelectorAll('.step').length)"
    )
    assert len(figures) >= 4 and all(figures)


def test_a_search_finds_and_a_trace_opens_by_keyboard(page):
    page.run("document.querySelector('#trace-search [name=words]').focus()")
    page.type(FIRST)
    page.wait("document.querySelectorAll('#trace-list tr').length === 1")
    assert page.run("document.getElementById('trace-count').textContent") == "1 found"
    page.press("Enter")
    page.wait("!document.getElementById('trace').hidden")
    opened = page.run("document.getElementById('trace').textContent")
    assert "GET /reports?limit=20" in opened and FIRST in opened and "×20" in opened
    assert page.run("location.hash") == f"#trace={FIRST}"
    assert page.run("document.activeElement.tagName") == "H3"
    page.run("[...document.querySelectorAll('#trace button')].find(b => b.textContent.startsWith("
             "'compare with a typical')).click()")  # fmt: skip
    assert "difference" in page.run("document.querySelector('.compared').textContent")


@pytest.mark.parametrize(
    ("field", "value", "count"),
    [("words", "FROM items", 12), ("words", "nowhere", 0), ("least", "50", 4),
     ("status", "failed", 0), ("status", "2", 12), ("endpoint", "GET /reports", 12)],
)  # fmt: skip
def test_each_field_narrows_the_list(page, field, value, count):
    page.run(
        f"const f = document.querySelector('#trace-search [name={field}]'); f.value = "
        f"{json.dumps(value)}; f.dispatchEvent(new Event('input', {{bubbles: true}}))"
    )
    assert page.run("document.querySelectorAll('#trace-list tr').length") == count


def test_the_link_of_a_finding_and_a_deep_link_open_the_trace(page, address):
    page.run("document.querySelector('#findings ~ article a[href^=\"#trace=\"]').click()")
    page.wait("!document.getElementById('trace').hidden")
    w3c = FIRST[2:].replace("-", "")
    page.open(f"{address}?again#trace={w3c}")
    page.wait("document.getElementById('trace').textContent.includes('Waterfall')")
    page.open(f"{address}?lost#trace=1-00000000-000000000000000000000000")
    page.wait("document.getElementById('trace').textContent.includes('is not among those')")


def test_a_joined_trace_is_found_by_its_other_id(browser, tmp_path, runs):
    root, w3c = "1-5fbb0000-" + "a" * 24, "4bf92f3577b34da6a3ce929d0e0e4736"
    with JsonlRecorder(tmp_path / "rows", FakeClock()) as recorder:
        recorder.record("spans", trace_id=f"1-{w3c[:8]}-{w3c[8:]}", span_id="1" * 16, name="genba",
                        t_start=T0 + 0.01, t_end=T0 + 0.02, url="http://genba/joined",
                        method="GET")  # fmt: skip
        recorder.record("balanced", trace_id=root, span_id="2" * 16, t_start=T0, t_end=T0 + 0.03,
                        w3c_trace_id=f"1-{w3c[:8]}-{w3c[8:]}", method="GET", path="/joined",
                        status=200)  # fmt: skip
    place = tmp_path / "joined.html"
    with build_store([tmp_path / "rows"], [], tmp_path / "e.duckdb") as store:
        place.write_text(render_html(runs["sick"][1], store), encoding="utf-8")
    browser.open(f"{place.as_uri()}#trace={w3c}")
    browser.wait("document.getElementById('trace').textContent.includes('Waterfall')")
    opened = browser.run("document.getElementById('trace').textContent")
    assert root in opened and "load balancer GET /joined" in opened


def test_it_fits_a_phone(page, address):
    page.look(width=390, height=844)
    page.open(f"{address}?phone#trace={FIRST}")
    assert page.run("document.documentElement.scrollWidth") == 390


def test_hostile_text_does_nothing(browser, tmp_path, runs):
    place = tmp_path / "hostile.html"
    with hostile_run(tmp_path) as store:
        place.write_text(render_html(hostile_verdict(runs["sick"][1]), store), encoding="utf-8")
    browser.console.clear()
    browser.requests.clear()
    browser.open(place.as_uri())
    browser.run("document.querySelector('#trace-list a').click()")
    browser.wait("!document.getElementById('trace').hidden")
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("document.querySelectorAll('script').length") == 3
    assert "<script>alert(1)" in browser.run("document.getElementById('trace').textContent")
    assert browser.console == [] and all(url.startswith("file:") for url in browser.requests)


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    return axe_core(tmp_path_factory.mktemp("axe"))


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, True)])
def test_axe_finds_nothing_serious(page, address, axe, width, dark):
    page.look(width=width, dark=dark)
    page.open(f"{address}?axe{width}{dark}#trace={FIRST}")
    assert serious_violations(page, axe) == []
