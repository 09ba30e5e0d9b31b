"""Faults of the database: failed over, rebooted, out of connections."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import psycopg

from hikkoshi.aws.access import calling
from hikkoshi.faults.model import NotTried, Place, Plain
from hikkoshi.faults.service import describe_database, writer_of

MOST_CONNECTIONS = 5000
LONGEST_S = 60.0


def speaks_mysql(url: str) -> bool:
    return url.startswith(("mysql", "mariadb"))


class FailoverDatabase(Plain):
    def __init__(self, place: Place) -> None:
        self._place = place
        self._writer = ""

    def prepare(self) -> None:
        cluster = describe_database(self._place)
        if len(cluster["DBClusterMembers"]) < 2:
            raise NotTried("the cluster has no reader to fail over to")
        if cluster["Status"] != "available":
            raise NotTried(f"the cluster is {cluster['Status']}")
        self._writer = writer_of(cluster)

    def inject(self) -> None:
        rds = self._place.access.client("rds")
        calling(
            "rds:FailoverDBCluster",
            rds.failover_db_cluster,
            DBClusterIdentifier=self._place.needs_database(),
        )

    def proof(self) -> str | None:
        now = writer_of(describe_database(self._place))
        return f"the writer was {self._writer} and is {now}" if now != self._writer else None

    def is_over(self) -> bool:
        return bool(describe_database(self._place)["Status"] == "available")


class RebootDatabase(Plain):
    """The writer's instance restarts."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._instance = ""
        self._known: set[tuple[str, str]] = set()
        self._was_seen = False

    def prepare(self) -> None:
        self._instance = writer_of(describe_database(self._place))
        if self._status() != "available":
            raise NotTried(f"{self._instance} is {self._status()}")
        self._known = set(self._events())

    def inject(self) -> None:
        rds = self._place.access.client("rds")
        calling("rds:RebootDBInstance", rds.reboot_db_instance, DBInstanceIdentifier=self._instance)

    def proof(self) -> str | None:
        self._was_seen = self._was_seen or self._status() == "rebooting"
        told = [text for key, text in self._events() if (key, text) not in self._known]
        restarted = [text for text in told if "restart" in text.lower()]
        if restarted:
            return f"{self._instance}: {restarted[0]}"
        return f"{self._instance} was rebooting" if self._was_seen else None

    def is_over(self) -> bool:
        return self._status() == "available"

    def _status(self) -> str:
        rds = self._place.access.client("rds")
        found = calling(
            "rds:DescribeDBInstances",
            rds.describe_db_instances,
            DBInstanceIdentifier=self._instance,
        )["DBInstances"]
        return str(found[0]["DBInstanceStatus"])

    def _events(self) -> list[tuple[str, str]]:
        rds = self._place.access.client("rds")
        found = calling(
            "rds:DescribeEvents",
            rds.describe_events,
            SourceIdentifier=self._instance,
            SourceType="db-instance",
            Duration=60,
        )["Events"]
        return [(str(event["Date"]), str(event["Message"])) for event in found]


class ConnectionExhaustion(Plain):
    """Opens connections, and keeps them, until the database refuses another."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._open: list[psycopg.Connection[Any]] = []
        self._refusal: str | None = None

    def prepare(self) -> None:
        if self._place.database_url is None:
            raise NotTried(
                "how this machine reaches the database is not known",
                fix="set DATABASE_URL=postgresql://user:password@host:port/name",
            )
        if speaks_mysql(self._place.database_url):
            raise NotTried("exhausting the connections of a MySQL database is not implemented")
        try:
            self._connect().close()
        except psycopg.Error as error:
            raise NotTried(f"the database cannot be reached: {_plain(error)}") from error

    def inject(self) -> None:
        deadline = time.monotonic() + LONGEST_S
        while self._refusal is None:
            if len(self._open) >= MOST_CONNECTIONS or time.monotonic() > deadline:
                raise NotTried(f"{len(self._open)} connections did not exhaust it")
            try:
                self._open.append(self._connect())
            except psycopg.OperationalError as error:
                self._refusal = _plain(error)

    def proof(self) -> str | None:
        if self._refusal is None:
            return None
        return f"after {len(self._open)} connections: {self._refusal}"

    def is_held(self) -> bool:
        return True

    def undo(self) -> None:
        while self._open:
            with contextlib.suppress(psycopg.Error):
                self._open.pop().close()

    def is_over(self) -> bool:
        return not self._open

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self._place.database_url or "",
            connect_timeout=5,
            application_name="hikkoshi fault",
            autocommit=True,
        )


def _plain(error: psycopg.Error) -> str:
    """PostgreSQL's own words: libpq's have host and port before them, never the password."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rpartition("FATAL:")[2].strip() or lines[0]
