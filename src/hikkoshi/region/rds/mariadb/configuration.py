"""The configuration of one MariaDB server, as text. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ADMIN = "rdsadmin"
REPLICATION = "rdsrepladmin"
ADMIN_DATABASE = "rdsadmin"
OURS = (ADMIN, REPLICATION)

# A committed transaction is with the kernel, not on the disk: a killed server, or a killed region,
# loses nothing. The doublewrite buffer stays on, since SIGKILL can cut a page's write short.
# Every binary log is kept: a reader is made from an empty server and the whole of them.
_FIXED: dict[str, str] = {
    "innodb_flush_log_at_trx_commit": "2",
    "innodb_flush_method": "nosync",
    "sync_binlog": "0",
    "innodb_log_file_size": "64M",
    "innodb_buffer_pool_size": "64M",
    "innodb_buffer_pool_dump_at_shutdown": "OFF",
    "innodb_log_buffer_size": "4M",
    "key_buffer_size": "1M",
    "aria_pagecache_buffer_size": "8M",
    "log_bin": "binlog",
    "relay_log": "relay",
    "log_slave_updates": "ON",
    "binlog_format": "ROW",
    "gtid_strict_mode": "ON",
    "expire_logs_days": "0",
    "skip_slave_start": "ON",
    "slave_net_timeout": "10",
    "rpl_semi_sync_master_wait_point": "AFTER_SYNC",
    "rpl_semi_sync_master_timeout": "86400000",
    "rpl_semi_sync_master_wait_no_slave": "ON",
    "skip_name_resolve": "ON",
    "feedback": "OFF",
    "extra_max_connections": "20",
    "innodb_print_all_deadlocks": "ON",
    "performance_schema": "ON",
    "performance_schema_consumer_events_statements_current": "ON",
    "performance_schema_consumer_events_statements_history_long": "ON",
    "performance_schema_consumer_events_transactions_current": "ON",
    "performance_schema_events_statements_history_long_size": "3000",
    "performance_schema_digests_size": "2000",
    "performance_schema_max_digest_length": "2048",
    "performance_schema_max_sql_text_length": "2048",
    "max_digest_length": "2048",
    "performance_schema_session_connect_attrs_size": "0",
    "performance_schema_events_waits_history_size": "1",
    "performance_schema_events_waits_history_long_size": "1",
    "performance_schema_events_stages_history_size": "1",
    "performance_schema_events_stages_history_long_size": "1",
    "performance_schema_events_statements_history_size": "1",
    "performance_schema_events_transactions_history_size": "1",
    "performance_schema_events_transactions_history_long_size": "1",
}
_INSTRUMENTS = ("transaction=ON", "wait/lock/metadata/sql/mdl=ON")

# What a cluster has when its parameter group says nothing, where that differs from MariaDB's.
_DEFAULTS: dict[str, str] = {
    "character_set_server": "utf8mb4",
    "collation_server": "utf8mb4_general_ci",
    "max_allowed_packet": "67108864",
    "log_output": "FILE",
}

_EXTRA_PORT = 33062


@dataclass(frozen=True, slots=True)
class Following:
    """The server is a reader of the one whose own door is at address:port."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class ServerConfiguration:
    """parameters: names and values from the parameter group, checked. server_id: of its data, never
    another's. awaits_readers: a commit waits until a reader has it."""

    name: str
    address: str
    port: int
    gateway: str
    directory: Path
    parameters: Mapping[str, str] = field(default_factory=dict)
    server_id: int = 1
    following: Following | None = None
    awaits_readers: bool = False

    @property
    def own_port(self) -> int:
        """For the region and for replication: what comes by it is not of max_connections, so that
        an exhausted server can still be watched."""
        return _EXTRA_PORT if self.port != _EXTRA_PORT else _EXTRA_PORT + 1


def is_fixed(parameter: str) -> bool:
    """Whether the region keeps this parameter to itself."""
    return parameter in _FIXED


def render_configuration(wanted: ServerConfiguration) -> str:
    """The option file. Paths are relative to the data where MariaDB allows it, since a volume
    moves from one instance's directory to another's."""
    directory = wanted.directory
    lines = _DEFAULTS | dict(wanted.parameters) | _FIXED
    lines |= {
        "datadir": str(directory / "data"),
        # Relative to the data: a socket's whole path may not be longer than 107 bytes.
        "socket": "mariadbd.sock",
        "pid_file": "mariadbd.pid",
        "tmpdir": str(directory / "tmp"),
        "log_error": str(directory / "log" / "error.log"),
        "slow_query_log_file": str(directory / "log" / "slow.log"),
        "general_log_file": str(directory / "log" / "general.log"),
        "plugin_load_add": "sql_errlog",
        "loose_sql_error_log_filename": str(directory / "log" / "sql_errors.log"),
        "loose_sql_error_log_size_limit": "1073741824",
        "loose_sql_error_log_warnings": "OFF",
        "init_file": str(directory / "accounts.sql"),
        "bind_address": wanted.address,
        "port": str(wanted.port),
        "extra_port": str(wanted.own_port),
        "server_id": str(wanted.server_id),
        "read_only": "ON" if wanted.following else "OFF",
        # A reader that ends drops from its log what no one has acknowledged; a writer keeps it,
        # since a reader may have it already.
        "rpl_semi_sync_slave_enabled": "ON" if wanted.following else "OFF",
        "rpl_semi_sync_master_enabled": "ON" if wanted.awaits_readers else "OFF",
    }
    text = "".join(f"{name} = {_value(value)}\n" for name, value in sorted(lines.items()))
    instruments = "".join(f"performance_schema_instrument = '{one}'\n" for one in _INSTRUMENTS)
    return f"[mariadbd]\n{text}{instruments}"


def render_accounts(gateway: str, admin: str, replication: str) -> str:
    """What a server runs at each start, before it answers; nothing of it is replicated. admin,
    replication: what MariaDB stores of the passwords. The region's account comes from the region
    only, and the accounts that mariadb-install-db makes are gone."""
    statements = (
        "SET SESSION sql_log_bin = 0",
        f"CREATE DATABASE IF NOT EXISTS {ADMIN_DATABASE}",
        f"CREATE TABLE IF NOT EXISTS {ADMIN_DATABASE}.heartbeat "
        "(id BIGINT AUTO_INCREMENT PRIMARY KEY)",
        "DELETE FROM mysql.global_priv WHERE User IN ('', 'root', 'mysql')",
        "DELETE FROM mysql.proxies_priv",
        "FLUSH PRIVILEGES",
        f"CREATE OR REPLACE USER {ADMIN}@{_text(gateway)} "
        f"IDENTIFIED VIA mysql_native_password USING {_text(admin)}",
        f"GRANT ALL PRIVILEGES ON *.* TO {ADMIN}@{_text(gateway)} WITH GRANT OPTION",
        f"CREATE OR REPLACE USER {REPLICATION}@'%' "
        f"IDENTIFIED VIA mysql_native_password USING {_text(replication)}",
        f"GRANT REPLICATION SLAVE ON *.* TO {REPLICATION}@'%'",
    )
    return "".join(f"{statement};\n" for statement in statements)


def _value(value: str) -> str:
    """Quoted where MariaDB would read a comment or blanks otherwise."""
    if value and not any(letter in value for letter in " #;'\"\\\n"):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
