from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from test_html import HOSTILE, hostile_verdict

from hikkoshi.base.errors import BadInput
from hikkoshi.model.findings import Certainty, Judgement
from hikkoshi.model.trials import Measure, Outcome, Readiness, TrialResult, Verdict
from hikkoshi.report.json import from_json, to_json
from hikkoshi.report.junit import to_junit
from hikkoshi.report.terminal import plain_lines, show
from hikkoshi.report.text import measured, one_line, quantity, utc, visible


def test_the_verdict_comes_back_as_it_was(runs):
    for _, verdict in runs.values():
        assert from_json(to_json(verdict)) == verdict
        assert json.loads(to_json(verdict))["schema"] == 1


numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.builds(
        Measure, texts, st.none() | numbers, texts, st.none() | texts, st.none() | st.booleans()
    ),
    texts,
    numbers,
    st.sampled_from(list(Outcome)),
)
def test_any_verdict_comes_back_as_it_was(measure, text, number, outcome):
    trial = TrialResult(text, text, outcome, text, number, number, (measure,), (text,))
    verdict = Verdict(
        text,
        text,
        text,
        Readiness.READY,
        (text,),
        (trial,),
        Judgement(),
        text,
        (),
        (),
        ((text, number, 1.0),),
        (),
        number,
        number,
        {"a": [1, text, None]},
    )
    assert from_json(to_json(verdict)) == verdict


def test_what_json_cannot_hold(runs):
    trial = replace(
        runs["sick"][1].trials[0],
        reason="\ud800",
        measures=(Measure("rate", float("inf"), "requests/s"),),
    )
    back = from_json(to_json(replace(runs["sick"][1], trials=(trial,))))
    assert back.trials[0].measures[0].value is None
    assert set(back.trials[0].reason) == {"\ufffd"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a verdict document"),
        ("[1]", "no `schema`"),
        ("{}", "no `schema`"),
        ('{"schema": 2}', "schema 2"),
        ('{"schema": 1}', "run_id"),
        (b"\xff\xfe", "not a verdict document"),
    ],
)
def test_other_documents_are_refused_with_their_place(text, message):
    with pytest.raises(BadInput, match=message) as caught:
        from_json(text, where="runs/x/verdict.json")
    assert str(caught.value).startswith("runs/x/verdict.json: ")


def test_a_later_field_does_not_stop_an_older_reader(runs):
    document = json.loads(to_json(runs["sick"][1]))
    document["later"] = True
    assert from_json(json.dumps(document)) == runs["sick"][1]


def test_junit_counts_and_reasons(runs):
    root = ET.fromstring(to_junit(runs["sick"][1]))
    trials, findings = root.findall("testsuite")
    assert (trials.get("tests"), trials.get("failures"), trials.get("skipped")) == ("10", "1", "1")
    assert (findings.get("tests"), findings.get("failures")) == ("29", "5")
    broken = trials.find("testcase[@name='steady']")
    assert broken.find("failure").get("message") == "p99 was 1.2 s, the limit is 300 ms"
    assert "p99: 1.2 s (limit 300ms)" in broken.find("failure").text
    healthy = ET.fromstring(to_junit(runs["healthy"][1])).findall("testsuite")[1]
    assert (healthy.get("tests"), healthy.get("failures")) == ("29", "0")


def test_a_hint_does_not_fail_junit(runs):
    verdict = runs["sick"][1]
    hints = tuple(replace(f, certainty=Certainty.HINT) for f in verdict.judgement.findings)
    suite = ET.fromstring(to_junit(replace(verdict, judgement=Judgement(hints))))[1]
    assert suite.get("failures") == "0" and "hint: genba opened" in suite[0][0].text


def test_junit_takes_hostile_text(runs):
    root = ET.fromstring(to_junit(hostile_verdict(runs["sick"][1])))
    assert root.find(".//testcase").get("name") == visible(HOSTILE)


def on_terminal(verdict, **options):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, _environ={}, **options)
    show(console, verdict, "/tmp/[bold]run/report.html")
    return out.getvalue()


def test_on_a_terminal_there_is_colour_and_no_colour_without(runs):
    assert "\x1b[" in on_terminal(runs["sick"][1])
    plain = on_terminal(runs["sick"][1], no_color=True)
    assert "\x1b[31m" not in plain and "\x1b[1;31m" not in plain
    assert "NOT READY" in plain and "✗ broke" in plain and "/tmp/[bold]run/report.html" in plain
    assert "hikkoshi explain deadlocks-under-load" in plain


def test_without_a_terminal_there_are_plain_lines(runs):
    out = io.StringIO()
    show(Console(file=out, force_terminal=False, width=40, _environ={}), runs["sick"][1], "/r.html")
    lines = out.getvalue().splitlines()
    assert lines == plain_lines(runs["sick"][1], "/r.html")
    assert lines[-2:] == ["verdict: not ready (genba)", "report: /r.html"]
    assert "trial steady: broke (p99 was 1.2 s, the limit is 300 ms)" in lines
    assert "  p99: 1.2 s (limit 300ms) BROKEN" in lines
    assert "\x1b" not in out.getvalue()


def test_hostile_text_never_reaches_the_terminal(runs):
    verdict = hostile_verdict(runs["sick"][1])
    shown = on_terminal(verdict, no_color=True)
    plain = "\n".join(plain_lines(verdict, HOSTILE))
    for text in (shown, plain):
        assert "\x1b[31m" not in text and "\x00" not in text and "\u202e" not in text
        assert "⟨U+202E⟩" in text
    assert "\x1b" not in plain


@given(st.text())
def test_visible_leaves_nothing_unseen(text):
    shown = visible(text)
    assert visible(shown) == shown
    assert not any((ord(c) < 32 and c not in "\n\t") or 0xD800 <= ord(c) < 0xE000 for c in shown)
    assert len(one_line(text, 50)) <= 50 and "\n" not in one_line(text)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "s", "–"),
        (0.0, "s", "0 s"),
        (0.0142, "s", "14.2 ms"),
        (12345.0, "requests", "12,345 requests"),
        (0.00123, "share", "0.123 %"),
        (98.25, "requests/s", "98.25 requests/s"),
        (3.0, "", "3"),
        (float("inf"), "s", "∞"),
        (float("nan"), "requests", "–"),
    ],
)
def test_quantities(value, unit, text):
    assert quantity(value, unit) == text == measured(Measure("x", value, unit))


def test_times_that_no_calendar_has():
    assert utc(1_606_104_000.0) == "2020-11-23 04:00:00 UTC"
    assert utc(1e300) == utc(float("nan")) == "–"
