"""A made-up but likely run: the rows that a rehearsal would record, from a seed.

`healthy=False` plants all five problems at their usual strength. Times start at T0.
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

from hikkoshi.base.clock import FakeClock
from hikkoshi.evidence.build import build_store
from hikkoshi.evidence.recorder import JsonlRecorder
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.findings.judge import judge
from hikkoshi.model.timers import Timers
from hikkoshi.model.trials import Measure, Outcome, Readiness, TrialResult, Verdict

T0 = 1_606_104_000.0
PROGRAMME = [
    ("synthetic", "Synthetic tests", 3.0),
    ("steady", "Steady load", 20.0),
    ("overload", "Overload", 14.0),
    ("soak", "Long run", 30.0),
    ("kill-task", "A task is killed", 9.0),
    ("failover", "The database fails over", 12.0),
    ("rolling-deploy", "Rolling deploy", 12.0),
    ("bad-deploy", "Bad deploy", 14.0),
    ("scp-swap", "Swap by scp on the old home", 8.0),
]
FAULTS = {"kill-task": "StopTask", "failover": "FailoverDBCluster"}
TASKS = ["2f4c9d0e7a1b4c3d8e9f001122334455", "9a8b7c6d5e4f40312233445566778899"]
ENDPOINTS = ["GET /reports", "GET /reports/{id}", "POST /reports"]


def programme() -> list[tuple[str, str, float, float]]:
    rows, t = [], T0
    for name, title, length in PROGRAMME:
        rows.append((name, title, t, t + length))
        t += length + 0.5
    return rows


def record(directory: Path, *, healthy: bool, seed: int = 1, rate: float = 100.0) -> None:
    rng = random.Random(seed)
    with JsonlRecorder(directory, FakeClock(T0)) as recorder:
        for name, _, t_start, t_end in programme():
            recorder.record("trials", name=name, t_start=t_start, t_end=t_end, outcome="held")
            if name in FAULTS:
                recorder.record(
                    "faults",
                    trial=name,
                    name=FAULTS[name],
                    t_injected=t_start + 3,
                    t_detected=t_start + 3.4,
                    t_recovered=t_start + 5.1,
                    proof="seen",
                )
            if name != "synthetic":
                _load(recorder, rng, name, t_start, t_end, rate)
        _samples(recorder, rng, healthy, rate)
        _probes(recorder, healthy)
        _traces(recorder, rng, healthy)
        _tasks(recorder, healthy)
        _life(recorder)
        _logs(recorder)


def start_of(trial: str) -> float:
    return next(t_start for name, _, t_start, _ in programme() if name == trial)


def _life(recorder):
    """Tasks that listen soon and end well, and a service whose tables have their indexes."""
    for task in TASKS:
        recorder.record(
            "listening", t=T0 - 14, task=task, family="genba", address="0.0.0.0", port=8080
        )
    for trial in ("kill-task", "rolling-deploy"):
        recorder.record(
            "container_ends", t=start_of(trial) + 5, task=TASKS[0], family="genba",
            container="app", is_essential=True, exit_code=0, is_out_of_memory=False,
            t_signalled=start_of(trial) + 3, signal="SIGTERM", has_handler=True, was_killed=False,
            asked_grace_s=30, grace_s=5,
        )  # fmt: skip
    for mark, scans in (("before", 0), ("after", 3)):
        recorder.record(
            "table_scans", t=T0, mark=mark, instance="genba-1", table_name="public.sites",
            seq_scans=scans, seq_rows=30 * scans, index_scans=100, live_rows=30,
        )  # fmt: skip


def _logs(recorder):
    t = start_of("steady") + 1
    for number in range(60):
        line = f"GET /reports 200 request {number:05d}"
        at = t + number / 10
        recorder.record("logs", t=at, task=TASKS[0], container="app", stream="stdout", line=line)
        record = json.dumps({"message": line, "service": "genba"})
        recorder.record("delivered_logs", t=at + 1, destination="datadog", record=record)


def _load(recorder, rng, trial, t_start, t_end, rate):
    count = int((t_end - t_start) * rate)
    recorder.record("load_steps", trial=trial, t_start=t_start, t_end=t_end, rate=rate)
    for k in range(count):
        t = t_start + k / rate
        far = t - t_start
        latency = rng.lognormvariate(math.log(0.006), 0.35)
        if trial == "overload":
            latency *= 1 + max(0.0, far - 6) ** 2
        is_bad = trial == "failover" and 3 < far < 4.2 and rng.random() < 0.6
        is_bad = is_bad or (trial == "scp-swap" and 2 < far < 4.1)
        if trial == "failover" and 3 < far < 5:
            latency += 0.6
        recorder.record(
            "requests",
            trial=trial,
            t_intended=t,
            t_sent=t + 0.0001,
            latency_s=latency,
            service_s=latency,
            status=503 if is_bad else 200,
            bytes_in=900,
            bytes_out=120,
            method="GET",
            url="/reports",
            endpoint=rng.choice(ENDPOINTS),
        )


def _is_loaded(t: float) -> bool:
    return any(name != "synthetic" and a <= t < b for name, _, a, b in programme())


def _samples(recorder, rng, healthy, rate):
    """database, usage, task_usage and targets every half second, over the whole run."""
    end = programme()[-2][3] + 3
    sessions, deadlocks, cpu, files = 40, 0, dict.fromkeys(TASKS, 1.0), 30.0
    t = T0
    soak = next(row for row in programme() if row[0] == "soak")
    moved = start_of("failover") + 4
    while t < end:
        loaded = _is_loaded(t)
        if loaded:
            sessions += 0 if healthy else round(rate * 0.5)
            files += 0 if healthy else 3.0
            if not healthy and rng.random() < 0.05:
                deadlocks += 1
        sessions += rng.random() < 0.03
        connections = 12 + rng.randrange(3) if healthy else (60 if loaded else 3) + rng.randrange(9)
        recorder.record(
            "database",
            t=t,
            instance="genba-1" if t < moved else "genba-2",
            role="writer",
            sessions=sessions,
            deadlocks=deadlocks,
            xacts=1,
            connections=connections,
            active=2,
            max_connections=100,
        )
        for task in TASKS:
            busy = (0.31 if healthy else 0.56) if loaded else 0.02
            cpu[task] += 0.5 * 0.5 * max(0.0, busy * 2 + rng.gauss(0, 0.05))
            limit = {"cpu_limit_vcpu": 0.5, "cpu_is_enforced": False}
            recorder.record("task_usage", t=t, task=task, family="genba", cpu_s=cpu[task], **limit)
            recorder.record(
                "usage",
                t=t,
                task=task,
                family="genba",
                container="app",
                cpu_s=cpu[task] * 0.9,
                open_files=int(files + rng.randrange(6)),
                open_files_limit=1024,
                memory_bytes=(60 << 20) + rng.randrange(1 << 20),
            )
            recorder.record("network", t=t, task=task, family="genba", opened=20, failed=0)
            recorder.record(
                "usage",
                t=t,
                task=task,
                family="genba",
                container="log_router",
                cpu_s=cpu[task] * 0.1,
                open_files=14,
                open_files_limit=1024,
            )
        healthy_targets = 1 if soak[3] + 3.5 < t < soak[3] + 5.6 else 2
        recorder.record("targets", t=t, target_group="tg", healthy=healthy_targets, unhealthy=0)
        t += 0.5
    if not healthy:
        recorder.record(
            "database_log",
            t=soak[2] + 4,
            instance="genba-1",
            severity="ERROR",
            sqlstate="40P01",
            message="deadlock detected",
            detail="Process 71 waits for ShareLock on transaction 901; blocked by process 72.\n"
            "Process 72 waits for ShareLock on transaction 900; blocked by process 71.\n"
            "Process 71: UPDATE items SET done = true WHERE id = 7\n"
            "Process 72: UPDATE items SET done = false WHERE id = 3",
            statement="UPDATE items SET done = true WHERE id = 7",
        )
        recorder.record(
            "logs",
            t=soak[3],
            task=TASKS[0],
            container="app",
            stream="stderr",
            line="OSError: [Errno 24] Too many open files: '/tmp/upload'",
        )


def _probes(recorder, healthy):
    child = 0 if healthy else 400
    for mark, calls in (("before", 0), ("after", 20)):
        on = calls > 0
        for queryid, query, n, rows in [
            ("1", "SELECT id, title FROM reports ORDER BY id LIMIT $1", calls, calls * 20),
            ("2", "SELECT * FROM items WHERE report_id = $1", child * on, child * on),
            ("3", "BEGIN", calls, 0),
        ]:
            recorder.record(
                "queries", t=T0, mark=mark, queryid=queryid, query=query, calls=n, rows=rows
            )
    recorder.record(
        "probes",
        endpoint="GET /reports",
        requests=20,
        mark_before="before",
        mark_after="after",
        t_start=T0,
        t_end=T0 + 1,
    )


def _traces(recorder, rng, healthy):
    for number in range(12):
        trace, t = f"1-5fbb0000-{number:024x}", T0 + 5 + number
        long = 0.02 + number * 0.004
        recorder.record(
            "spans",
            trace_id=trace,
            span_id=f"{number:08x}00000000",
            name="genba",
            t_start=t,
            t_end=t + long,
            method="GET",
            url="http://genba.local/reports?limit=20",
            status=200,
        )
        for place in range(3 if healthy else 20):
            start = t + 0.002 + place * 0.0008
            recorder.record(
                "spans",
                trace_id=trace,
                span_id=f"{number:08x}{place + 1:08x}",
                parent_id=f"{number:08x}00000000",
                name="reports@genba.cluster",
                namespace="remote",
                t_start=start,
                t_end=start + 0.0006,
                sql=["SELECT a", "SELECT b FROM c", "SELECT d FROM e"][place]
                if healthy
                else f"SELECT * FROM items WHERE report_id = {rng.randrange(999)}",
            )


def _tasks(recorder, healthy):
    for task in TASKS:
        for t, status in ((T0 - 20, "PENDING"), (T0 - 15, "RUNNING")):
            recorder.record("task_events", t=t, task=task, family="genba", last_status=status)
    bad = programme()[-2][2]
    lost = "deadbeef00000000000000000000beef"
    recorder.record("task_events", t=bad + 1, task=lost, last_status="PENDING")
    recorder.record("task_events", t=bad + 2, task=lost, last_status="RUNNING")
    recorder.record(
        "task_events",
        t=bad + 5,
        task=lost,
        last_status="STOPPED",
        stop_code="EssentialContainerExited",
        stopped_reason="Essential container in task exited",
        container_exits=json.dumps({"app": 1}),
    )
    for place in range(30):
        recorder.record(
            "logs",
            t=bad + 2 + place / 20,
            task=lost,
            container="app",
            stream="stderr",
            line=f"boot {place}: configuration key DB_HOST is missing",
        )


def build(directory: Path, *, healthy: bool, seed: int = 1) -> EvidenceStore:
    record(directory / "region", healthy=healthy, seed=seed)
    return build_store(
        [directory / "region"],
        [],
        directory / "evidence.duckdb",
        service="genba",
        meta={
            "maximum_tasks": "4",
            "container": "app",
            "container_port": "8080",
            "start_s": "20",
            "log_mode": "non-blocking",
            "log_destination": "datadog",
            "left_out": "",
        },
    )


def verdict_of(store: EvidenceStore, *, healthy: bool) -> Verdict:
    trials = []
    for name, title, t_start, t_end in programme():
        measures = [
            Measure(
                "requests failed",
                0.0 if name != "failover" else 61.0,
                "requests",
                "≤ 0.1 %",
                name != "failover" or None,
            ),
            Measure(
                "p99",
                0.0142 if name != "overload" else 3.2,
                "s",
                "300ms",
                name != "overload" or None,
            ),
        ]
        if name == "rolling-deploy":
            measures.append(Measure("downtime", 0.0, "s"))
        trials.append(TrialResult(name, title, Outcome.HELD, "", t_start, t_end, tuple(measures)))
    if not healthy:
        trials[1] = TrialResult(
            "steady",
            "Steady load",
            Outcome.BROKE,
            "p99 was 1.2 s, the limit is 300 ms",
            trials[1].t_start,
            trials[1].t_end,
            (Measure("p99", 1.2, "s", "300ms", False), Measure("rate", 98.2, "requests/s")),
        )
    trials.append(
        TrialResult(
            "crash-router",
            "The log router crashes",
            Outcome.NOT_TRIED,
            "the task has no log router",
            0.0,
            0.0,
        )
    )
    return Verdict(
        run_id="20201123T040000Z-1a2b",
        directory="/srv/genba",
        service="genba",
        readiness=Readiness.READY if healthy else Readiness.NOT_READY,
        reasons=("every trial held and no problem was found",)
        if healthy
        else ("steady load broke: p99 was 1.2 s, the limit is 300 ms", "five problems were found"),
        trials=tuple(trials),
        judgement=judge(store),
        engine="embedded",
        stand_ins=(
            "aws-for-fluent-bit: the built-in log router",
            "aws-xray-daemon: the built-in X-Ray intake",
        ),
        not_enforced=("CPU and memory limits: no writable cgroup on this machine",),
        shortened_timers=tuple(Timers.for_rehearsal().shortened()),
        adapted=("image genba:latest was run from examples/genba/after",),
        t_start=T0 - 25,
        t_end=T0 + 215,
        versions={"hikkoshi": "0.1.0", "python": "3.11.2", "haproxy": "2.8", "postgres": "18"},
    )
