"""Judging a large run: 5 minutes, 1 M spans, 300,000 requests, in time and memory.

    .venv/bin/python bench/bench_judging.py [--spans 1000000] [--requests 300000]

The evidence is made up (DuckDB writes it), in the shape of a service of two tasks that repeats a
query for each row. What is timed is opening it and judging it by all rules, in a process of its
own, whose peak memory the kernel tells.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.findings.judge import judge
from hikkoshi.model.evidence import SCHEMA_VERSION, TABLES

T0, LENGTH_S, EACH = 1795504883.0, 300, 20


def make(path: Path, spans: int, requests: int) -> None:
    with duckdb.connect(str(path)) as store:
        store.execute("SET threads = 2")
        store.execute("CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR)")
        facts = {
            "schema_version": str(SCHEMA_VERSION), "service": "genba", "maximum_tasks": "4",
            "database": "aurora-postgresql", "reader": "yes", "load": "yes", "router": "none",
            "container": "genba", "container_port": "8080",
        }  # fmt: skip
        store.executemany("INSERT INTO meta VALUES (?, ?)", list(facts.items()))
        for table, columns in TABLES.items():
            declared = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
            store.execute(f'CREATE TABLE "{table}" ({declared})')
        store.execute(
            f"INSERT INTO trials BY NAME SELECT 'steady' AS name, {T0} AS t_start, "
            f"{T0 + LENGTH_S} AS t_end, 'held' AS outcome"
        )
        store.execute(
            f"""INSERT INTO requests BY NAME SELECT 'steady' AS trial,
            {T0} + i * {LENGTH_S} / {requests}.0 AS t_intended, t_intended AS t_sent,
            0.01 + (i % 97) / 5000.0 AS latency_s, latency_s AS service_s, 200 AS status,
            'GET' AS method, 'http://genba/reports/' || i AS url, 'GET /reports/{{id}}' AS endpoint
            FROM range({requests}) AS r(i)"""
        )
        store.execute(
            f"""INSERT INTO spans BY NAME SELECT
            '1-6b053af4-' || lpad(to_hex(i // {EACH}), 24, '0') AS trace_id,
            lpad(to_hex(i), 16, '0') AS span_id,
            CASE WHEN i % {EACH} = 0 THEN NULL ELSE lpad(to_hex(i - i % {EACH}), 16, '0') END
            AS parent_id, 'genba' AS name,
            CASE WHEN i % {EACH} = 0 THEN NULL ELSE 'remote' END AS namespace,
            {T0} + (i // {EACH}) * {LENGTH_S * EACH} / {spans}.0 AS t_start,
            t_start + 0.02 AS t_end, false AS fault, false AS error, false AS throttle,
            CASE WHEN i % {EACH} = 0 THEN 'GET' END AS method,
            CASE WHEN i % {EACH} = 0 THEN 'http://genba/reports/' || i END AS url,
            CASE WHEN i % {EACH} > 0 THEN 'SELECT * FROM items WHERE report_id = ' || i END AS sql,
            'xray' AS source FROM range({spans}) AS r(i)"""
        )
        store.execute(
            f"""INSERT INTO task_usage BY NAME SELECT {T0} + i / 2.0 AS t, 'task' || k AS task,
            'genba' AS family, i * 0.2 AS cpu_s, 1.0 AS cpu_limit_vcpu, true AS cpu_is_enforced,
            i * 5 AS periods, 0 AS throttled_periods, 100000000 AS memory_bytes,
            1073741824 AS memory_limit_bytes, true AS memory_is_enforced
            FROM range({LENGTH_S * 2}) AS r(i), range(2) AS q(k)"""
        )
        store.execute(
            f"""INSERT INTO database BY NAME SELECT {T0} + i / 2.0 AS t, 'one' AS instance,
            'writer' AS role, 16 + i AS sessions, 0 AS deadlocks, i * 500 AS xacts,
            16 AS connections, 4 AS active, 12 AS idle, 0 AS idle_in_transaction, 0 AS waiting,
            100 AS max_connections FROM range({LENGTH_S * 2}) AS r(i)"""
        )


def judge_it(path: Path) -> None:
    start = time.monotonic()
    with EvidenceStore.open(path) as store:
        judgement = judge(store)
    took, cpu = time.monotonic() - start, time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = [(one.rule, one.certainty.value) for one in judgement.findings]
    print(f"judged in {took:.1f} s ({cpu:.1f} CPU s with imports), {peak:,.0f} MiB; found: {found}")
    print(f"clean {len(judgement.clean)}, not judged {len(judgement.not_judged)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=300_000)
    parser.add_argument("--judge", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.judge:
        judge_it(arguments.judge)
        return 0
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "evidence.duckdb"
        make(path, arguments.spans, arguments.requests)
        print(f"{arguments.spans:,} spans, {arguments.requests:,} requests, "
              f"{path.stat().st_size / 1e6:,.0f} MB")  # fmt: skip
        return subprocess.run([sys.executable, __file__, "--judge", str(path)]).returncode


if __name__ == "__main__":
    sys.exit(main())
