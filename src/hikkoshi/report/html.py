"""report.html: one file with all that a reader needs, which asks for nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from hikkoshi.base.units import format_duration
from hikkoshi.evidence.failures import failed_tasks
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.timeline import Timeline, timeline
from hikkoshi.evidence.traces import SLOWEST_PER_ENDPOINT
from hikkoshi.model.findings import Evidence
from hikkoshi.model.trials import Outcome, Readiness, Verdict
from hikkoshi.report.charts import bands_of, chart_specs, marks_of
from hikkoshi.report.deploys import compare_deploys
from hikkoshi.report.figures import figure_of
from hikkoshi.report.text import cut, measured, one_line, utc, visible
from hikkoshi.report.trace_data import trace_data

MOST_BYTES = 5_000_000
LONGEST_TEXT = 8_000
SCRIPTS = ("charts.js", "traces.js", "report.js")


def render_html(verdict: Verdict, store: EvidenceStore) -> str:
    """The whole report, UTF-8, at most 5 MB. Text from outside is escaped and its unseen
    characters are shown; the page's policy lets it run its own script and load nothing."""
    line = timeline(store, *_span(verdict, store))
    page, share = "", 1.0
    while True:
        page = _render(verdict, store, line, trace_data(store, share=share))
        if len(page.encode()) <= MOST_BYTES or share < 0.01:
            return page
        share /= 2


def _render(verdict: Verdict, store: EvidenceStore, line: Timeline, traces: dict[str, Any]) -> str:
    css, js = packaged("report.css"), "".join(packaged(name) for name in SCRIPTS)
    charts = chart_specs(line)
    bands = bands_of(verdict.trials, line)
    marks = marks_of(line)
    length = round(line.t_end - line.t_start, 3)
    drawn = {chart["id"] for chart in charts}
    figures = [figure_of(each, store, line, drawn, traces) for each in verdict.judgement.findings]
    data = {
        "length": length,
        "bucket": line.bucket_s,
        "bands": bands,
        "marks": [{"t": mark["t"]} for mark in marks],
        "charts": charts,
        "figures": [
            {"charts": each.charts, "view": each.view, "shade": each.shade, "trace": each.trace_id}
            for each in figures
        ],
    }
    counted = Counter(trial.outcome for trial in verdict.trials)
    return (
        _environment(line)
        .get_template("report.html.j2")
        .render(
            verdict=verdict,
            is_ready=verdict.readiness is Readiness.READY,
            counts=", ".join(f"{counted[each]} {each}" for each in Outcome if counted[each])
            or "none",
            css=Markup(css),
            js=Markup(js),
            policy=policy_for(css, js),
            timeline_json=Markup(json_for_script(data)),
            trace_json=Markup(json_for_script(traces)),
            has_charts=bool(charts),
            length=length,
            bands=bands,
            marks=marks,
            comparison=compare_deploys(verdict.trials, store),
            shown=_shown(traces),
            figures=figures,
            failed=_failed(store),
        )
    )


def _shown(traces: dict[str, Any]) -> dict[str, int]:
    """How many of how many traces are in the page."""
    failed = sum(trace["flags"] & 1 for trace in traces["traces"])
    return {
        "count": len(traces["traces"]),
        "total": traces["total"],
        "failed": failed,
        "all_failed": max(failed, traces["failed"]),
        "slowest": SLOWEST_PER_ENDPOINT,
        "sampled": sum(trace["why"] == "sample" for trace in traces["traces"]),
    }


def _failed(store: EvidenceStore) -> list[dict[str, Any]]:
    return [
        {
            "task": task.task,
            "stop_code": task.stop_code,
            "reason": task.reason,
            "exits": task.container_exits,
            "clock": utc(task.t),
            "lines": [(container, cut(text, 2000)) for _, container, text in task.lines],
        }
        for task in failed_tasks(store)
    ]


def json_for_script(data: Any) -> str:
    """JSON that can stand between script tags: no <, >, & or line separator is left as it is."""
    text = json.dumps(_visible_in(data), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _visible_in(data: Any) -> Any:
    if isinstance(data, str):
        return visible(data)
    if isinstance(data, dict):
        return {key: _visible_in(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_visible_in(value) for value in data]
    if isinstance(data, float) and (data != data or data in (float("inf"), float("-inf"))):
        return None
    return data


def _span(verdict: Verdict, store: EvidenceStore) -> tuple[float, float]:
    """From the first to the last trial, a little wider; the run's own times when none ran."""
    ran = [t for t in verdict.trials if t.t_end > t.t_start > 0]
    if not ran:
        return verdict.t_start, verdict.t_end
    t_start, t_end = min(t.t_start for t in ran), max(t.t_end for t in ran)
    rim = min(5.0, (t_end - t_start) * 0.02)
    return t_start - rim, t_end + rim


def _environment(line: Timeline) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hikkoshi.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
    )

    def window(row: Evidence) -> str:
        if row.t_start is None:
            return ""
        start = _clock(row.t_start - line.t_start)
        if row.t_end is None or row.t_end <= row.t_start:
            return f"at {start}"
        return f"{start} to {_clock(row.t_end - line.t_start)}"

    environment.filters.update(
        utc=utc,
        duration=format_duration,
        measured=measured,
        window=window,
        brief=lambda text: one_line(text, 400),
    )
    return environment


def _clock(seconds: float) -> str:
    sign = "−" if seconds < 0 else ""
    minutes, rest = divmod(abs(seconds), 60)
    return f"{sign}{int(minutes)}:{rest:04.1f}"


def _harmless(value: Any) -> Any:
    """What jinja prints: our own markup as it is, all else with unseen characters made visible."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return cut(visible(str(value)), LONGEST_TEXT)


def policy_for(css: str, js: str) -> str:
    def digest(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    return (
        f"default-src 'none'; style-src {digest(css)}; script-src {digest(js)}; "
        "base-uri 'none'; form-action 'none'"
    )


def packaged(name: str) -> str:
    return (resources.files("hikkoshi.report") / "page" / name).read_text(encoding="utf-8")
