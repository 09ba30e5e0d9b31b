from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import fake_run
import pytest

from hikkoshi.base.clock import FakeClock
from hikkoshi.evidence.build import build_store
from hikkoshi.evidence.recorder import JsonlRecorder
from hikkoshi.model.findings import Certainty, Evidence, Finding, Judgement, NotJudged
from hikkoshi.model.trials import Measure, Outcome, TrialResult
from hikkoshi.report.html import MOST_BYTES, json_for_script, render_html

HOSTILE = (
    "</script><script>alert(1)</script><img src=//evil.example/x onerror=alert(2)>"
    "\x00\u202e\x1b[31m'\"&"
)


class Page(HTMLParser):
    """Tags with their attributes, and the text outside of script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words = ""
        self._raw: str | None = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._raw = tag if tag in ("script", "style") else None
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._raw = None

    def handle_data(self, data):
        if self._raw == "script":
            self.scripts[-1] += data
        elif self._raw is None:
            self.words += data


@pytest.fixture(scope="module")
def pages(runs):
    return {kind: Page(render_html(verdict, store)) for kind, (store, verdict) in runs.items()}


def test_the_verdict_comes_first_with_its_reasons(pages):
    words = pages["sick"].words
    order = [
        "Not ready",
        "five problems were found",
        "Trials",
        "Timeline",
        "Findings",
        "Under which conditions",
        "Traces",
        "Last words",
    ]
    places = [words.index(word) for word in order[:2]]
    places += [words.rindex(word) for word in order[2:]]
    assert places == sorted(places)
    assert "Ready" in pages["healthy"].words and "Not ready" not in pages["healthy"].words


def test_everything_a_reader_must_weigh_is_there(pages):
    words = " ".join(pages["sick"].words.split())
    for part in [
        "the task has no log router",
        "not tried",  # trials
        "1.2 s",
        "(limit 300ms, broken)",
        "opens-a-connection-for-each-request",
        "saturates-task-cpu",
        "process 72: UPDATE items SET done = false WHERE id = 3",
        "34 × 4 = 136",
        "aws-xray-daemon: the built-in X-Ray intake",
        "no writable cgroup on this machine",
        "a draining target keeps its connections for at most",
        "5 m",
        "2 s",
        "image genba:latest was run from",
        "StopTask",
        "FailoverDBCluster",
        "Essential container in task exited",
        "configuration key DB_HOST is missing",
    ]:
        assert part in words, part


def test_deploys_are_compared_only_when_both_were_tried(pages, runs):
    words = " ".join(pages["sick"].words.split())
    assert re.search(r"downtime ?2\.\d+ s ?0 s", words)
    assert re.search(r"requests without an answer ?2\d\d ?0", words)
    store, verdict = runs["sick"]
    without = replace(verdict, trials=tuple(t for t in verdict.trials if t.name != "scp-swap"))
    assert "The swap by scp beside" not in render_html(without, store)


def test_it_asks_for_nothing_from_anywhere(pages):
    for page in pages.values():
        for tag, attributes in page.tags:
            assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form")
            for name, value in attributes.items():
                assert not name.startswith("on") and name not in (
                    "src",
                    "srcset",
                    "action",
                    "style",
                )
                if name == "href":
                    assert (value or "").startswith("#")
        (policy,) = [a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy and "http" not in policy
        *data, script = page.scripts
        assert len(data) == 2  # JSON, which does not run, and may tell of an URL
        assert "http" not in script.replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"\b(fetch|XMLHttpRequest|import)\b", script)


def test_the_chart_data_can_be_read_and_matches_the_evidence(pages):
    data = json.loads(pages["sick"].scripts[0])
    charts = {chart["id"]: chart for chart in data["charts"]}
    assert list(charts) == ["rate", "latency", "tasks", "connections", "cpu", "files"]
    points = dict(map(tuple, charts["rate"]["series"][0]["points"]))
    steady = [v for t, v in points.items() if 10 < t < 25]
    assert 90 <= sum(steady) / len(steady) <= 110
    assert max(v for _, v in charts["rate"]["series"][1]["points"]) > 0
    p50, p99 = ([v for _, v in s["points"] if v] for s in charts["latency"]["series"])
    assert 0.004 < sorted(p50)[len(p50) // 2] < 0.009 < max(p99)
    assert charts["connections"]["limit"] == 100
    assert {s["name"] for s in charts["cpu"]["series"]} == {"2f4c9d0e", "9a8b7c6d"}
    assert max(v for _, v in charts["tasks"]["series"][0]["points"]) == 3
    assert len(data["marks"]) == 2


def test_traces_are_in_the_page_with_their_waterfalls(pages):
    data = json.loads(pages["sick"].scripts[1])
    assert (len(data["traces"]), data["total"], data["failed"]) == (12, 12, 0)
    first = data["traces"][0]
    assert data["strings"][first["endpoint"]] == "GET /reports"
    root, repeated = first["rows"]
    assert repeated[5] == 20 and len(repeated[10]) == 40
    assert data["strings"][repeated[7]].startswith("SELECT * FROM items")
    assert first["d"] == 64_000 and root[9] + repeated[9] == first["d"]
    assert "12 of 12 traces are in this page" in " ".join(pages["sick"].words.split())
    edges = {(e["caller"], e["called"], e["kind"]): e["calls"] for e in data["map"]}
    assert edges == {
        ("", "genba", "service"): 12,
        ("genba", "reports@genba.cluster", "database"): 240,
    }


def hostile_run(tmp_path):
    with JsonlRecorder(tmp_path / "rows", FakeClock()) as recorder:
        for k in range(8):
            recorder.record(
                "requests",
                trial=HOSTILE,
                t_intended=fake_run.T0 + k,
                status=200,
                latency_s=0.1,
                url=HOSTILE,
                endpoint=HOSTILE,
            )
            recorder.record(
                "task_usage", t=fake_run.T0 + k, task=HOSTILE, cpu_s=k / 2, cpu_limit_vcpu=1.0
            )
            recorder.record("database", t=fake_run.T0 + k, instance=HOSTILE, connections=k)
            recorder.record(
                "spans",
                trace_id=HOSTILE,
                span_id=str(k),
                parent_id=str((k + 1) % 8),
                name=HOSTILE,
                t_start=fake_run.T0,
                t_end=fake_run.T0 + 1,
                sql=HOSTILE,
                url=HOSTILE,
                method=HOSTILE,
            )
        recorder.record("logs", t=fake_run.T0, task=HOSTILE, container=HOSTILE, line=HOSTILE)
        recorder.record(
            "task_events",
            t=fake_run.T0,
            task=HOSTILE,
            last_status="STOPPED",
            stop_code="TaskFailedToStart",
            stopped_reason=HOSTILE,
            container_exits=HOSTILE,
        )
        recorder.record("faults", name=HOSTILE, t_injected=fake_run.T0 + 1, proof=HOSTILE)
    return build_store([tmp_path / "rows"], [], tmp_path / "e.duckdb", service=HOSTILE)


def hostile_verdict(verdict):
    finding = Finding(
        HOSTILE,
        Certainty.FACT,
        HOSTILE,
        HOSTILE,
        (Evidence(HOSTILE, HOSTILE, HOSTILE, 1e300, 1e300),),
        (HOSTILE,),
        (HOSTILE,),
    )
    trial = TrialResult(
        HOSTILE,
        HOSTILE,
        Outcome.BROKE,
        HOSTILE,
        fake_run.T0,
        fake_run.T0 + 8,
        (Measure(HOSTILE, 1.0, HOSTILE, HOSTILE, False),),
        (HOSTILE,),
    )
    texts = (HOSTILE,)
    return replace(
        verdict,
        run_id=HOSTILE,
        service=HOSTILE,
        reasons=texts,
        trials=(trial,),
        engine=HOSTILE,
        judgement=Judgement((finding,), (NotJudged(HOSTILE, HOSTILE),), texts),
        stand_ins=texts,
        not_enforced=texts,
        adapted=texts,
        shortened_timers=((HOSTILE, 3.0, 1.0),),
        versions={HOSTILE: HOSTILE},
    )


def test_hostile_text_is_shown_and_does_nothing(tmp_path, runs):
    with hostile_run(tmp_path) as store:
        text = render_html(hostile_verdict(runs["sick"][1]), store)
    page = Page(text)
    assert len(page.scripts) == 3 and "img" not in [tag for tag, _ in page.tags]
    assert not [name for _, attributes in page.tags for name in attributes if name[:2] == "on"]
    assert not re.search("[\x00\x1b\u202e]", text)
    assert page.words.count("␀⟨U+202E⟩␛[31m'\"&") > 15
    data = json.loads(page.scripts[0])
    assert data["bands"][0]["title"].startswith("</script><script>alert(1)")
    assert all(character not in page.scripts[0] for character in "<>&")


def test_script_data_survives_the_round_trip():
    data = {"a": "</script> & <!-- \u2028", "b": [1.5, None, True]}
    text = json_for_script({**data, "c": float("nan")})
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == {"a": "</script> & <!-- ⟨U+2028⟩", "b": [1.5, None, True], "c": None}


def test_a_run_that_recorded_nothing_still_has_a_page(tmp_path, runs):
    empty = replace(runs["sick"][1], trials=(), judgement=Judgement(), t_start=0.0, t_end=0.0)
    with build_store([], [], tmp_path / "e.duckdb") as store:
        words = Page(render_html(empty, store)).words
    assert "No trial was run" in words and "No rule could look" in words
    assert "Nothing was recorded that could be drawn" in words


def test_a_huge_run_stays_under_its_limit(tmp_path, runs):
    with JsonlRecorder(tmp_path / "rows", FakeClock()) as recorder:
        for trace in range(20):
            for span in range(80):
                recorder.record(
                    "spans",
                    trace_id=f"t{trace}",
                    span_id=f"{trace}-{span}",
                    name=f"n{span}",
                    t_start=float(trace),
                    t_end=trace + 1.0 + span,
                    sql=f"SELECT c{chr(97 + span % 26) * (span + 1)} -- " + "x" * 9000,
                )
        for k in range(200):
            recorder.record(
                "task_usage",
                t=fake_run.T0 + k / 8,
                task=f"task-{k % 50}",
                cpu_s=float(k),
                cpu_limit_vcpu=1.0,
            )
    verdict = runs["sick"][1]
    long = replace(verdict.judgement.findings[0], details=("SELECT 'y' " * 200_000,))
    with build_store([tmp_path / "rows"], [], tmp_path / "e.duckdb") as store:
        text = render_html(replace(verdict, judgement=Judgement((long,))), store)
    assert len(text.encode()) < MOST_BYTES
