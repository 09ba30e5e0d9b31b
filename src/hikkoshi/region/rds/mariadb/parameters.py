"""Cluster parameters of Aurora MySQL that MariaDB has too, and what RDS lets one set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hikkoshi.region.rds.engine import Run
from hikkoshi.region.rds.mariadb.programs import Programs
from hikkoshi.region.rds.parameters import evaluate, is_formula

# Kept and described; the server keeps its own, since the value is meant for AWS's machine or for
# what the region does itself.
NOT_APPLIED = frozenset({
    "innodb_buffer_pool_size", "innodb_flush_log_at_trx_commit", "innodb_print_all_deadlocks",
    "performance_schema", "binlog_format", "sync_binlog", "log_output",
})  # fmt: skip

DEFAULT_MAX_CONNECTIONS = (
    "GREATEST({log(DBInstanceClassMemory/805306368,2)*45},"
    "{log(DBInstanceClassMemory/8187281408,2)*1000})"
)
# What that comes to, by size. Source: Aurora's page "Maximum connections to an Aurora MySQL DB
# instance".
_MAX_CONNECTIONS = {
    "xlarge": 2000, "2xlarge": 3000, "4xlarge": 4000, "8xlarge": 5000, "12xlarge": 6000,
    "16xlarge": 6000, "24xlarge": 7000,
}  # fmt: skip

# MariaDB's name where it is not MySQL's: of the option, and of the variable.
OPTIONS = {"tx_isolation": "transaction_isolation"}
VARIABLES = {"transaction_isolation": "tx_isolation"}


@dataclass(frozen=True, slots=True)
class Known:
    """One parameter: as AWS's family aurora-mysql8.0 has it, and as MariaDB takes it."""

    name: str
    data_type: str
    default: str
    allowed: str | None
    is_static: bool
    is_modifiable: bool
    description: str


_TABLE = """
autocommit                              boolean 1           0,1
back_log                                integer 80          1-65535        static
character_set_server                    string  utf8mb4
collation_server                        string  utf8mb4_general_ci
connect_timeout                         integer 10          2-31536000
default_week_format                     integer 0           0-7
eq_range_index_dive_limit               integer 200         0-4294967295
event_scheduler                         string  OFF         ON,OFF
explicit_defaults_for_timestamp         boolean 1           0,1
general_log                             boolean 0           0,1
group_concat_max_len                    integer 1048576     4-4294967295
init_connect                            string
innodb_autoinc_lock_mode                integer 1           0,1,2          static
innodb_deadlock_detect                  boolean 1           0,1
innodb_lock_wait_timeout                integer 50          1-1073741824
innodb_rollback_on_timeout              boolean 0           0,1            static
innodb_stats_persistent                 boolean 1           0,1
innodb_stats_persistent_sample_pages    integer 20          1-4294967295
interactive_timeout                     integer 28800       1-31536000
join_buffer_size                        integer 262144      128-4294967295
local_infile                            boolean 1           0,1
lock_wait_timeout                       integer 86400       1-31536000
log_bin_trust_function_creators         boolean 0           0,1
log_queries_not_using_indexes           boolean 0           0,1
long_query_time                         float   10          0-31536000
max_allowed_packet                      integer 67108864    1024-1073741824
max_connect_errors                      integer 100         1-4294967295
max_connections                         integer {max}       1-16000
max_heap_table_size                     integer 16777216    16384-4294967295
max_prepared_stmt_count                 integer 16382       0-1048576
max_user_connections                    integer 0           0-4294967295
min_examined_row_limit                  integer 0           0-4294967295
net_read_timeout                        integer 30          1-31536000
net_write_timeout                       integer 60          1-31536000
read_buffer_size                        integer 131072      8200-2147479552
slow_query_log                          boolean 0           0,1
sort_buffer_size                        integer 2097152     32768-4294967295
sql_mode                                string
table_definition_cache                  integer 400         400-524288
table_open_cache                        integer 2000        1-524288
thread_cache_size                       integer 256         0-16384
time_zone                               string  SYSTEM
tmp_table_size                          integer 16777216    1024-4294967295
transaction_isolation                   string  REPEATABLE-READ
tx_isolation                            string  REPEATABLE-READ
wait_timeout                            integer 28800       1-31536000
binlog_format                           string  ROW         ROW,STATEMENT,MIXED static
innodb_buffer_pool_size                 integer 67108864
innodb_flush_log_at_trx_commit          integer 1           0,1,2
innodb_print_all_deadlocks              boolean 1           0,1
log_output                              string  FILE        TABLE,FILE,NONE
performance_schema                      boolean 1           0,1            static
sync_binlog                             integer 0
"""


# Of the family aurora-mysql8.0, by AWS's page "Aurora MySQL configuration parameters": what begins
# thus, and single names.
_OF_AWS_BEGIN = (
    "aurora_", "aws_", "binlog_", "character_set_", "collation_", "server_audit_", "innodb_",
    "optimizer_", "performance_schema_", "replica_", "slave_", "ssl_", "tls_", "lower_case_",
    "internal_tmp_", "temptable_", "ft_", "ngram_", "query_", "range_", "max_", "gtid",
)  # fmt: skip
_OF_AWS_TEXT = """
auto_increment_increment auto_increment_offset allow-suspicious-udfs auto_generate_certs
bulk_insert_buffer_size completion_type concurrent_insert default_authentication_plugin
default_password_lifetime default_tmp_storage_engine delay_key_write div_precision_increment
end_markers_in_json enforce_gtid_consistency flush flush_time host_cache_size init_file
key_buffer_size key_cache_block_size lc_time_names log_bin_use_v1_row_events
log_error_verbosity log_error_suppression_list log_slow_admin_statements log_slow_extra
log_throttle_queries_not_using_indexes low_priority_updates min_examined_row_limit
net_buffer_length net_retry_count new old_passwords open_files_limit partial_revokes port
preload_buffer_size print_identified_with_as_hex profiling_history_size read_only
read_rnd_buffer_size require_secure_transport safe-user-create secure_file_priv server_id
session_track_gtids show_create_table_verbosity skip-character-set-client-handshake
skip_name_resolve skip_show_database slow_launch_time socket sql_select_limit
stored_program_cache super_read_only sync_frm table_open_cache_instances temp-pool
thread_handling thread_stack timed_mutexes tmpdir transaction_alloc_block_size
transaction_prealloc_size transaction_read_only unique_checks updatable_views_with_limit
validate-password windowing_use_high_precision
"""
_OF_AWS = frozenset(_OF_AWS_TEXT.split())


def known_parameters() -> dict[str, Known]:
    found = {}
    for line in _TABLE.strip().splitlines():
        name, data_type, *rest = line.split()
        is_static = "static" in rest
        values = [one for one in rest if one != "static"]
        default = values[0] if values else ""
        told = "MariaDB's parameter of this name"
        if name in NOT_APPLIED:
            told = "Kept, but not applied by the local region"
        found[name] = Known(
            name, data_type, DEFAULT_MAX_CONNECTIONS if default == "{max}" else default,
            values[1] if len(values) > 1 else None, is_static, True, told,
        )  # fmt: skip
    return found


def names_a_parameter_of_aws(name: str) -> bool:
    return name in _OF_AWS or name.startswith(_OF_AWS_BEGIN)


class MariadbParameters:
    """As the protocol Parameters says."""

    def __init__(self, programs: Programs, run: Run) -> None:
        self.known: Mapping[str, Known] = known_parameters()
        self._programs = programs
        self._run = run

    def find(self, name: str) -> Known | None:
        return self.known.get(name)

    def is_of_aws(self, name: str) -> bool:
        return names_a_parameter_of_aws(name)

    async def complaint(self, values: Mapping[str, str]) -> str | None:
        """Let MariaDB itself judge: it reads its options, tells of them and starts nothing."""
        for name, value in values.items():
            said = complaint_of_kind(self.known[name], value)
            if said is not None:
                return said
        options = [
            f"--{OPTIONS.get(name, name).replace('_', '-')}={value}"
            for name, value in values.items()
            if name not in NOT_APPLIED
        ]
        argv = [self._programs.server, "--no-defaults", *options, "--help", "--verbose"]
        code, output = await self._run(argv)
        lines = [line for line in output.splitlines() if "[ERROR]" in line]
        lines += [line for line in output.splitlines() if " adjusted to " in line]
        if code == 0 and not lines:
            return None
        words = lines[0] if lines else (output.strip().splitlines() or ["no reason given"])[0]
        return words.rpartition("] ")[2].removeprefix(f"{self._programs.server}: ")


def complaint_of_kind(known: Known, value: str) -> str | None:
    """Pure: MariaDB takes the digits that a number begins with, and any word for a boolean."""
    if known.data_type == "boolean" and value.upper() not in ("0", "1", "ON", "OFF"):
        return f"{value} for: {known.name} allowed values are: {known.allowed}"
    if known.data_type in ("integer", "float"):
        try:
            number = float(value)
        except ValueError:
            return f"{value} for: {known.name} is no number"
        low, dash, high = (known.allowed or "").partition("-")
        if dash and not float(low) <= number <= float(high):
            return f"{value} for: {known.name} allowed values are: {known.allowed}"
    return None


def default_max_connections(instance_class: str, memory_bytes: int) -> int:
    size = instance_class.rpartition(".")[2]
    if instance_class.startswith("db.t"):
        return 135 if size == "large" else 90
    if size in _MAX_CONNECTIONS:
        return _MAX_CONNECTIONS[size]
    # Serverless, by its most memory; a large one otherwise.
    return 1000 if memory_bytes >= 16 << 30 else 90


def effective(values: Mapping[str, str], instance_class: str, memory_bytes: int) -> dict[str, str]:
    """A group's values as the server is to have them: formulas worked out, what is not applied
    left out; max_connections by the class unless the group says it."""
    found = {"max_connections": str(default_max_connections(instance_class, memory_bytes))}
    for name, value in values.items():
        if name not in NOT_APPLIED:
            option = OPTIONS.get(name, name)
            found[option] = evaluate(value, memory_bytes) if is_formula(value) else value
    return found
