"""All rules, in the order in which they are judged and listed. A new rule is one line here."""

from __future__ import annotations

from hikkoshi.findings.rule import Rule
from hikkoshi.findings.rules import (
    approaches_the_connection_limit,
    binds_localhost,
    blocks_on_logging,
    caches_dns_past_failover,
    collapses_past_the_knee,
    deadlocks_under_load,
    delivers_log_lines_twice,
    does_not_reconnect_after_failover,
    drops_requests_on_stop,
    fails_health_when_the_database_does,
    grows_in_memory,
    health_check_does_not_touch_the_database,
    holds_connections_idle_in_transaction,
    holds_locks_long,
    ignores_sigterm,
    is_killed_for_memory,
    is_throttled,
    leaks_file_descriptors,
    loses_log_lines,
    opens_a_connection_for_each_request,
    queues_without_bound,
    repeats_a_query_for_each_row,
    retries_without_limit,
    runs_out_of_file_descriptors,
    saturates_task_cpu,
    scans_a_table_for_a_few_rows,
    splits_long_lines,
    starts_slower_than_its_health_check,
    waits_for_the_pool,
)

RULES: tuple[Rule, ...] = (
    opens_a_connection_for_each_request,
    repeats_a_query_for_each_row,
    deadlocks_under_load,
    saturates_task_cpu,
    runs_out_of_file_descriptors,
    # connections
    approaches_the_connection_limit,
    holds_connections_idle_in_transaction,
    waits_for_the_pool,
    # queries
    scans_a_table_for_a_few_rows,
    holds_locks_long,
    # task
    is_throttled,
    grows_in_memory,
    is_killed_for_memory,
    leaks_file_descriptors,
    # life
    ignores_sigterm,
    drops_requests_on_stop,
    starts_slower_than_its_health_check,
    binds_localhost,
    fails_health_when_the_database_does,
    health_check_does_not_touch_the_database,
    # logs
    loses_log_lines,
    delivers_log_lines_twice,
    splits_long_lines,
    blocks_on_logging,
    # resilience
    does_not_reconnect_after_failover,
    caches_dns_past_failover,
    retries_without_limit,
    # load
    collapses_past_the_knee,
    queues_without_bound,
)

OF_A_START: tuple[Rule, ...] = (binds_localhost, starts_slower_than_its_health_check,
                                is_killed_for_memory)  # fmt: skip
"""Rules that can tell why a service never came up, before any trial."""

IN_TIME = frozenset(
    rule.NAME
    for rule in (
        holds_connections_idle_in_transaction, waits_for_the_pool, holds_locks_long,
        grows_in_memory, leaks_file_descriptors, starts_slower_than_its_health_check,
        does_not_reconnect_after_failover, fails_health_when_the_database_does,
        collapses_past_the_knee, queues_without_bound,
    )
)  # fmt: skip
"""Rules whose numbers grow when all wait for the machine: how long something lasts, how many
requests are under way, what those hold, and checks that have a time-out."""

NEED_THE_PROCESSOR = frozenset({saturates_task_cpu.NAME, is_throttled.NAME})
"""Rules that see nothing in a task that did not get the processor it asked for."""

_HURT_ALL = (
    saturates_task_cpu.NAME,
    opens_a_connection_for_each_request.NAME,
    deadlocks_under_load.NAME,
    runs_out_of_file_descriptors.NAME,
)

CAUSES: dict[str, tuple[str, ...]] = {
    approaches_the_connection_limit.NAME: (opens_a_connection_for_each_request.NAME,),
    holds_connections_idle_in_transaction.NAME: (
        deadlocks_under_load.NAME,
        saturates_task_cpu.NAME,
    ),
    holds_locks_long.NAME: (deadlocks_under_load.NAME, holds_connections_idle_in_transaction.NAME),
    waits_for_the_pool.NAME: (
        deadlocks_under_load.NAME,
        saturates_task_cpu.NAME,
        holds_connections_idle_in_transaction.NAME,
        scans_a_table_for_a_few_rows.NAME,
        holds_locks_long.NAME,
    ),
    is_throttled.NAME: (saturates_task_cpu.NAME,),
    leaks_file_descriptors.NAME: (runs_out_of_file_descriptors.NAME,),
    grows_in_memory.NAME: (is_killed_for_memory.NAME,),
    starts_slower_than_its_health_check.NAME: (binds_localhost.NAME,),
    drops_requests_on_stop.NAME: _HURT_ALL,
    does_not_reconnect_after_failover.NAME: (caches_dns_past_failover.NAME, *_HURT_ALL),
    health_check_does_not_touch_the_database.NAME: _HURT_ALL,
    fails_health_when_the_database_does.NAME: (saturates_task_cpu.NAME,),
    retries_without_limit.NAME: (opens_a_connection_for_each_request.NAME,),
    collapses_past_the_knee.NAME: (*_HURT_ALL, waits_for_the_pool.NAME, is_killed_for_memory.NAME),
    queues_without_bound.NAME: (*_HURT_ALL, collapses_past_the_knee.NAME),
}
"""Rule → the rules whose findings explain what it sees: curing those cures it."""
