"""The report of a large run: how long it takes to make, how much memory, and how soon it opens.

    .venv/bin/python bench/bench_report.py [--spans 1000000] [--requests 300000]

The evidence is synthesised: a run of five minutes, 300,000 requests, a trace for each, one in
fifty failed, log lines that carry their ids. Limits of issue 5: made in 10 s and 1 GB, open in
Chromium in 2 s, at most 5 MB. Beside it, the same browser opening an empty page. Exit code 1 when
a limit is broken; Chromium missing is said, and then that limit is not judged.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from hikkoshi.evidence.build import build_store

HERE = Path(__file__).parent
T0 = 1_606_104_000.0
LENGTH_S = 300.0

MADE = """
INSERT INTO requests (trial, t_intended, t_sent, latency_s, service_s, status, method, url,
                      endpoint)
SELECT 'soak', {t0} + i * {step}, {t0} + i * {step}, l, l,
       CASE WHEN i % 50 = 0 THEN 500 ELSE 200 END, 'GET', '/reports/' || i % 997, 'GET /reports'
FROM (SELECT range AS i, 0.005 - ln(random()) * 0.02 AS l FROM range({requests}));
INSERT INTO spans (trace_id, span_id, parent_id, name, namespace, t_start, t_end, fault, error,
                   method, url, status, sql, source)
SELECT printf('1-5fbb0000-%024x', i // {each}), printf('%016x', i),
       CASE WHEN i % {each} > 0 THEN printf('%016x', i // {each} * {each}) END,
       CASE WHEN i % {each} = 0 THEN 'shop' ELSE 'shop@db' END,
       CASE WHEN i % {each} > 0 THEN 'remote' END,
       {t0} + (i // {each}) * {trace_step} + (i % {each}) * 0.001,
       {t0} + (i // {each}) * {trace_step} + (i % {each}) * 0.001
           + CASE WHEN i % {each} = 0 THEN 0.006 - ln(random()) * 0.02 ELSE 0.0009 END,
       (i // {each}) % 50 = 0, false,
       CASE WHEN i % {each} = 0 THEN 'GET' END,
       CASE WHEN i % {each} = 0 THEN 'http://shop.local/' || ['items', 'cart', 'users', 'orders']
           [1 + (i // {each}) % 4] || '/' || i % 997 END,
       CASE WHEN i % {each} = 0 THEN CASE WHEN (i // {each}) % 50 = 0 THEN 500 ELSE 200 END END,
       CASE WHEN i % {each} > 0 THEN 'SELECT * FROM items WHERE id = ' || i % 1000 END, 'xray'
FROM (SELECT range AS i FROM range({spans}));
INSERT INTO logs SELECT {t0} + i * {trace_step}, 'task-1', 'app', 'stdout',
       '{{"trace_id": "' || printf('1-5fbb0000-%024x', i) || '", "message": "answered"}}'
FROM (SELECT range AS i FROM range({traces}));
INSERT INTO database (t, instance, sessions, connections, max_connections)
SELECT {t0} + i / 2, 'db-1', i, 20 + i % 30, 100 FROM (SELECT range AS i FROM range(600));
INSERT INTO task_usage (t, task, cpu_s, cpu_limit_vcpu)
SELECT {t0} + i // 4, 'task-' || i % 4, i * 0.1, 0.5 FROM (SELECT range AS i FROM range(1200));
"""


def synthesise(directory: Path, spans: int, requests: int) -> None:
    evidence = directory / "evidence.duckdb"
    build_store([], [], evidence, service="shop").close()
    each = max(1, round(spans / requests))
    traces = spans // each
    filled = MADE.format(
        t0=T0, spans=spans, requests=requests, each=each, traces=traces,
        step=LENGTH_S / requests, trace_step=LENGTH_S / traces,
    )  # fmt: skip
    with duckdb.connect(str(evidence)) as connection:
        connection.execute(filled)
    trial = {
        "name": "soak", "title": "Long run", "outcome": "held", "reason": "", "t_start": T0,
        "t_end": T0 + LENGTH_S,
    }  # fmt: skip
    document = {
        "schema": 1, "run_id": "synthesised", "directory": ".", "service": "shop",
        "readiness": "ready", "reasons": [], "trials": [trial], "judgement": {},
        "engine": "embedded", "stand_ins": [], "not_enforced": [], "shortened_timers": [],
        "adapted": [], "t_start": T0, "t_end": T0 + LENGTH_S, "versions": {},
    }  # fmt: skip
    (directory / "verdict.json").write_text(json.dumps(document))


def make(directory: Path) -> None:
    """In a process of its own, so that its memory is its own."""
    started = time.monotonic()
    from hikkoshi.evidence.store import EvidenceStore
    from hikkoshi.report.html import render_html
    from hikkoshi.report.json import from_json

    verdict = from_json((directory / "verdict.json").read_bytes())
    with EvidenceStore.open(directory / "evidence.duckdb") as store:
        page = render_html(verdict, store)
    (directory / "report.html").write_text(page, encoding="utf-8")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "seconds": time.monotonic() - started,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss * 1024,
    }
    print(json.dumps(told))


def seconds_to_open(home: Path, page: str) -> float:
    """From the navigation's start to the end of its load event, which comes after the script."""
    sys.path.insert(0, str(HERE.parent / "tests" / "report"))
    from chromium import Browser

    with Browser(home) as browser:
        browser.open(page)
        browser.wait("performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
        told = browser.run("performance.getEntriesByType('navigation')[0].loadEventEnd")
    return float(told) / 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=300_000)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        make(given.make)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        synthesise(directory, given.spans, given.requests)
        done = subprocess.run(
            [sys.executable, __file__, "--make", str(directory)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        told = json.loads(done.stdout)
        page = directory / "report.html"
        figures = [
            ("made, s", told["seconds"], 10.0),
            ("memory, MB", told["memory"] / 1e6, 1000.0),
            ("size, MB", page.stat().st_size / 1e6, 5.0),
        ]
        sys.path.insert(0, str(HERE.parent / "tests" / "report"))
        from chromium import program

        if program():
            empty = directory / "empty.html"
            empty.write_text("<!doctype html><title>empty</title>")
            (directory / "a").mkdir()
            beside = seconds_to_open(directory / "a", empty.as_uri())
            (directory / "b").mkdir()
            figures.append(("opens, s", seconds_to_open(directory / "b", page.as_uri()), 2.0))
            print(f"an empty page opens in {beside:.2f} s")
        else:
            print("Chromium is not installed: how soon the page opens was NOT measured")
        print(f"{given.spans:,} spans, {given.requests:,} requests, {told['cpu']:.1f} s of CPU")
        for name, value, limit in figures:
            print(
                f"{name:12} {value:8.2f}  limit {limit:g}  {'ok' if value <= limit else 'BROKEN'}"
            )
        return int(any(value > limit for _, value, limit in figures))


if __name__ == "__main__":
    sys.exit(main())
