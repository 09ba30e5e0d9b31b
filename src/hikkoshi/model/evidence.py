"""What is recorded while a service runs: one table a kind of fact, rows as plain values.

Writers call `Recorder.record(table, **columns)`; the evidence room turns the rows into DuckDB.
All times are float seconds since the epoch, UTC, in columns that start with `t`. A column that is
not known is left out or None. The tables and their columns are in `TABLES`; their meaning is told
in docs/evidence.md.
"""

from __future__ import annotations

from typing import Any, Protocol

SCHEMA_VERSION = 6

SETTLING_S = 3.0
"""Own cut. So long after its start a task imports, compiles and fills its pools: what it uses then
is not what it needs. Rules leave it out; trials at the planned rate begin after it."""

UNSEEN_STATEMENTS = "-- prepared on the server and closed again: MariaDB keeps no text"
"""The `query` of the row of `queries` that counts such statements, all of them together."""

TABLES: dict[str, dict[str, str]] = {
    # One planned stretch of a run: a trial, or a part of one ("steady", "failover", …).
    "trials": {
        "name": "VARCHAR",
        "t_start": "DOUBLE",
        "t_end": "DOUBLE",
        "outcome": "VARCHAR",
        "reason": "VARCHAR",
    },
    # One request of the load generator. latency_s counts from t_intended, service_s from t_sent.
    "requests": {
        "trial": "VARCHAR",
        "t_intended": "DOUBLE",
        "t_sent": "DOUBLE",
        "latency_s": "DOUBLE",
        "service_s": "DOUBLE",
        "status": "INTEGER",
        "error": "VARCHAR",
        "bytes_in": "BIGINT",
        "bytes_out": "BIGINT",
        "method": "VARCHAR",
        "url": "VARCHAR",
        "endpoint": "VARCHAR",
        "target_group": "VARCHAR",
    },
    # One segment or subsegment (X-Ray's words), whichever protocol brought it.
    "spans": {
        "trace_id": "VARCHAR",
        "span_id": "VARCHAR",
        "parent_id": "VARCHAR",
        "name": "VARCHAR",
        "namespace": "VARCHAR",
        "t_start": "DOUBLE",
        "t_end": "DOUBLE",
        "fault": "BOOLEAN",
        "error": "BOOLEAN",
        "throttle": "BOOLEAN",
        "method": "VARCHAR",
        "url": "VARCHAR",
        "status": "INTEGER",
        "sql": "VARCHAR",
        "cause": "VARCHAR",
        "balancer_trace_id": "VARCHAR",
        "source": "VARCHAR",
    },
    # pg_stat_statements as it stood at t; `mark` names the moment (before/after which endpoint).
    "queries": {
        "t": "DOUBLE",
        "mark": "VARCHAR",
        "queryid": "VARCHAR",
        "query": "VARCHAR",
        "calls": "BIGINT",
        "rows": "BIGINT",
        "total_s": "DOUBLE",
    },
    # One endpoint sent serially `requests` times between two marks of `queries`.
    "probes": {
        "endpoint": "VARCHAR",
        "requests": "INTEGER",
        "mark_before": "VARCHAR",
        "mark_after": "VARCHAR",
        "t_start": "DOUBLE",
        "t_end": "DOUBLE",
    },
    # pg_stat_database and pg_stat_activity at t; sessions and deadlocks are cumulative.
    "database": {
        "t": "DOUBLE",
        "instance": "VARCHAR",
        "role": "VARCHAR",
        "sessions": "BIGINT",
        "deadlocks": "BIGINT",
        "xacts": "BIGINT",
        "connections": "INTEGER",
        "active": "INTEGER",
        "idle": "INTEGER",
        "idle_in_transaction": "INTEGER",
        "waiting": "INTEGER",
        "max_connections": "INTEGER",
    },
    # The database server's own log.
    "database_log": {
        "t": "DOUBLE",
        "instance": "VARCHAR",
        "severity": "VARCHAR",
        "sqlstate": "VARCHAR",
        "message": "VARCHAR",
        "detail": "VARCHAR",
        "statement": "VARCHAR",
    },
    # Sessions of the application that wait for a lock, block another, or hold a transaction open.
    "database_sessions": {
        "t": "DOUBLE",
        "instance": "VARCHAR",
        "pid": "INTEGER",
        "client": "VARCHAR",
        "state": "VARCHAR",
        "wait_event_type": "VARCHAR",
        "wait_event": "VARCHAR",
        "xact_age_s": "DOUBLE",
        "state_age_s": "DOUBLE",
        "blocked_by": "VARCHAR",
        "query": "VARCHAR",
    },
    # The sessions of each client, by its address: a task's pool as the database sees it.
    "database_clients": {
        "t": "DOUBLE",
        "instance": "VARCHAR",
        "client": "VARCHAR",
        "connections": "INTEGER",
        "active": "INTEGER",
        "idle_in_transaction": "INTEGER",
    },
    # pg_stat_user_tables at a mark; all but live_rows cumulative.
    "table_scans": {
        "t": "DOUBLE",
        "mark": "VARCHAR",
        "instance": "VARCHAR",
        "table_name": "VARCHAR",
        "seq_scans": "BIGINT",
        "seq_rows": "BIGINT",
        "index_scans": "BIGINT",
        "live_rows": "BIGINT",
    },
    # A sequential scan for some of its rows in the plan of one of the application's statements.
    "scan_plans": {
        "t": "DOUBLE",
        "queryid": "VARCHAR",
        "query": "VARCHAR",
        "table_name": "VARCHAR",
        "filter": "VARCHAR",
        "live_rows": "BIGINT",
        "kept_rows": "BIGINT",
    },
    # One container at t. cpu_s, throttled_s, periods and throttled_periods are cumulative.
    "usage": {
        "t": "DOUBLE",
        "task": "VARCHAR",
        "family": "VARCHAR",
        "container": "VARCHAR",
        "cpu_s": "DOUBLE",
        "memory_bytes": "BIGINT",
        "processes": "INTEGER",
        "open_files": "INTEGER",
        "open_files_limit": "INTEGER",
        "sockets": "INTEGER",
        "container_cpu_units": "INTEGER",
    },
    # One task at t: the sum of its containers, and the limit that holds for it.
    "task_usage": {
        "t": "DOUBLE",
        "task": "VARCHAR",
        "family": "VARCHAR",
        "cpu_s": "DOUBLE",
        "cpu_limit_vcpu": "DOUBLE",
        "cpu_is_enforced": "BOOLEAN",
        "periods": "BIGINT",
        "throttled_periods": "BIGINT",
        "throttled_s": "DOUBLE",
        "memory_bytes": "BIGINT",
        "memory_limit_bytes": "BIGINT",
        "memory_is_enforced": "BOOLEAN",
    },
    # The whole machine: share of its processors' time that was not idle since the row before.
    "machine": {"t": "DOUBLE", "processors": "INTEGER", "busy_share": "DOUBLE"},
    # A line that a container wrote, and what became of it.
    "logs": {
        "t": "DOUBLE",
        "task": "VARCHAR",
        "container": "VARCHAR",
        "stream": "VARCHAR",
        "line": "VARCHAR",
    },
    # A record that reached a destination outside the task (Datadog's intake, a log group).
    "delivered_logs": {"t": "DOUBLE", "destination": "VARCHAR", "record": "VARCHAR"},
    # A log driver's or router's own counters, cumulative.
    "log_counters": {
        "t": "DOUBLE",
        "task": "VARCHAR",
        "container": "VARCHAR",
        "accepted": "BIGINT",
        "dropped": "BIGINT",
    },
    # A task's state at each change.
    "task_events": {
        "t": "DOUBLE",
        "task": "VARCHAR",
        "family": "VARCHAR",
        "group_name": "VARCHAR",
        "deployment": "VARCHAR",
        "last_status": "VARCHAR",
        "desired_status": "VARCHAR",
        "health": "VARCHAR",
        "stop_code": "VARCHAR",
        "stopped_reason": "VARCHAR",
        "container_exits": "VARCHAR",
        "address": "VARCHAR",
    },
    # A container that ended. signal: what it was asked to end with, t_signalled when; NULL: it was
    # not asked. has_handler: whether its first process had a handler for that signal.
    "container_ends": {
        "t": "DOUBLE",
        "task": "VARCHAR",
        "family": "VARCHAR",
        "container": "VARCHAR",
        "is_essential": "BOOLEAN",
        "exit_code": "INTEGER",
        "is_out_of_memory": "BOOLEAN",
        "t_signalled": "DOUBLE",
        "signal": "VARCHAR",
        "has_handler": "BOOLEAN",
        "was_killed": "BOOLEAN",
        "asked_grace_s": "DOUBLE",
        "grace_s": "DOUBLE",
    },
    # A TCP address that a container's network namespace began to listen on.
    "listening": {
        "t": "DOUBLE",
        "task": "VARCHAR",
        "family": "VARCHAR",
        "address": "VARCHAR",
        "port": "INTEGER",
    },
    # A task's TCP counters (/proc/net/snmp), cumulative.
    "network": {
        "t": "DOUBLE",
        "task": "VARCHAR",
        "family": "VARCHAR",
        "opened": "BIGINT",
        "failed": "BIGINT",
    },
    # A question that the region's resolver was asked.
    "name_queries": {"t": "DOUBLE", "client": "VARCHAR", "name": "VARCHAR"},
    # One stretch of a trial in which one rate was asked for.
    "load_steps": {
        "trial": "VARCHAR",
        "t_start": "DOUBLE",
        "t_end": "DOUBLE",
        "rate": "DOUBLE",
    },
    "service_events": {"t": "DOUBLE", "service": "VARCHAR", "message": "VARCHAR"},
    # A target group's targets, counted by health.
    "targets": {
        "t": "DOUBLE",
        "target_group": "VARCHAR",
        "healthy": "INTEGER",
        "unhealthy": "INTEGER",
        "initial": "INTEGER",
        "draining": "INTEGER",
    },
    # HAProxy's counters for a target; target None: for the whole group.
    "balancer": {
        "t": "DOUBLE",
        "target_group": "VARCHAR",
        "target": "VARCHAR",
        "at_work": "INTEGER",
        "queued": "INTEGER",
        "responses": "BIGINT",
        "retries": "BIGINT",
        "response_s": "DOUBLE",
    },
    # One request as the load balancer saw it. trace_id: of X-Amzn-Trace-Id, which it made or found;
    # w3c_trace_id: of the sender's traceparent. All ids in X-Ray's form.
    "balanced": {
        "t_start": "DOUBLE",
        "t_end": "DOUBLE",
        "trace_id": "VARCHAR",
        "span_id": "VARCHAR",
        "w3c_trace_id": "VARCHAR",
        "method": "VARCHAR",
        "path": "VARCHAR",
        "status": "INTEGER",
        "target_group": "VARCHAR",
    },
    # A fault as it was injected. proof: what was seen that shows it happened; None: not proven.
    "faults": {
        "trial": "VARCHAR",
        "name": "VARCHAR",
        "t_injected": "DOUBLE",
        "t_undone": "DOUBLE",
        "t_detected": "DOUBLE",
        "t_recovered": "DOUBLE",
        "proof": "VARCHAR",
    },
    # What an intake refused, counted.
    "dropped": {"t": "DOUBLE", "intake": "VARCHAR", "reason": "VARCHAR", "count": "BIGINT"},
}


class Recorder(Protocol):
    """Takes rows; never blocks for long and never raises for want of a reader."""

    def record(self, table: str, **columns: Any) -> None: ...


class NoRecorder:
    def record(self, table: str, **columns: Any) -> None:
        return None
