"""The configuration of one PostgreSQL server, as text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ADMIN = "rdsadmin"
REPLICATION = "rdsrepladmin"
ADMIN_DATABASE = "rdsadmin"
OUR_APPLICATION = "hikkoshi"

# fsync off: a killed server, or a killed region, loses nothing that it wrote; a machine that loses
# its power may, and the region's data are no one's only copy. full_page_writes stays on, since
# pg_rewind refuses to work without.
_FIXED: dict[str, str] = {
    "fsync": "off",
    "full_page_writes": "on",
    "wal_log_hints": "on",
    "wal_level": "replica",
    "wal_keep_size": "512MB",
    "max_wal_senders": "20",
    "max_replication_slots": "10",
    "wal_retrieve_retry_interval": "100ms",
    "hot_standby": "on",
    "hot_standby_feedback": "on",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "logging_collector": "on",
    "log_destination": "jsonlog",
    "log_filename": "postgresql.log",
    "log_rotation_age": "0",
    "log_rotation_size": "0",
    "log_file_mode": "0640",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "cluster_name": "",
}

# What a cluster has when its parameter group says nothing, where that differs from PostgreSQL's.
_DEFAULTS: dict[str, str] = {
    "shared_preload_libraries": "pg_stat_statements",
    "log_lock_waits": "on",
    "deadlock_timeout": "1s",
    "max_standby_streaming_delay": "14s",
    "shared_buffers": "64MB",
    "pg_stat_statements.max": "5000",
    "pg_stat_statements.track": "top",
}


@dataclass(frozen=True, slots=True)
class Following:
    """The server is a standby of the one at address:port."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class ServerConfiguration:
    """parameters: names and values from the parameter group, checked. sync: the standbys that must
    have a commit before it is acknowledged, by name."""

    name: str
    address: str
    port: int
    gateway: str
    directory: Path
    parameters: Mapping[str, str] = field(default_factory=dict)
    following: Following | None = None
    sync: Sequence[str] = ()


def is_fixed(parameter: str) -> bool:
    """Whether the region keeps this parameter to itself."""
    return parameter in _FIXED or parameter in {
        "listen_addresses",
        "port",
        "hba_file",
        "ident_file",
        "config_file",
        "data_directory",
        "log_directory",
        "primary_conninfo",
        "primary_slot_name",
        "synchronous_standby_names",
        "restore_command",
        "archive_command",
        "archive_mode",
        "archive_library",
        "external_pid_file",
        "ssl",
        "log_line_prefix",
        "include",
    }


def with_defaults(parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters in force: pg_stat_statements is always among the libraries."""
    found = _DEFAULTS | dict(parameters)
    libraries = [part.strip() for part in found["shared_preload_libraries"].split(",")]
    if "pg_stat_statements" not in libraries:
        libraries.append("pg_stat_statements")
    found["shared_preload_libraries"] = ",".join(part for part in libraries if part)
    return found


def render_configuration(wanted: ServerConfiguration) -> str:
    """postgresql.conf."""
    lines = with_defaults(wanted.parameters) | _FIXED
    lines["listen_addresses"] = wanted.address
    lines["port"] = str(wanted.port)
    lines["hba_file"] = str(wanted.directory / "pg_hba.conf")
    lines["log_directory"] = str(wanted.directory / "log")
    lines["synchronous_standby_names"] = sync_names(wanted.sync)
    if wanted.following is not None:
        lines["primary_conninfo"] = conninfo(wanted.following, wanted.name)
    return "".join(f"{name} = {_quoted(value)}\n" for name, value in sorted(lines.items()))


def render_hba(gateway: str) -> str:
    """pg_hba.conf: the region's own role comes from the region only."""
    rules = (
        f"host replication {REPLICATION} all scram-sha-256",
        f"host all {ADMIN} {gateway}/32 scram-sha-256",
        f"host all {ADMIN} all reject",
        "host all all all scram-sha-256",
    )
    return "\n".join(rules) + "\n"


def sync_names(standbys: Sequence[str]) -> str:
    """synchronous_standby_names: every one of them, so that whichever is promoted has all that was
    acknowledged, as Aurora's shared storage has."""
    if not standbys:
        return ""
    return f"{len(standbys)} ({', '.join(_identifier(name) for name in standbys)})"


def conninfo(following: Following, name: str) -> str:
    """For primary_conninfo and pg_rewind; the password comes by the environment."""
    pairs = {
        "host": following.address,
        "port": str(following.port),
        "user": REPLICATION,
        "dbname": ADMIN_DATABASE,
        "application_name": name,
        "connect_timeout": "3",
        "sslmode": "disable",
    }
    return " ".join(f"{key}={value}" for key, value in pairs.items())


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
