"""Fail the Aurora cluster over to its reader, as `aws rds failover-db-cluster` does."""

from __future__ import annotations

from typing import Any

from hikkoshi.aws.access import calling
from hikkoshi.trials.context import Context
from hikkoshi.trials.faults import NotPossible


class Failover:
    name = "failover"
    title = "the database fails over to its reader (FailoverDBCluster)"
    is_over_when_answered = True
    _rds: Any
    _cluster: str
    _writer: str

    def prepare(self, context: Context) -> NotPossible | None:
        if context.home.database is None:
            return NotPossible("the service has no database in hikkoshi.yaml")
        self._rds = context.home.access.client("rds")
        self._cluster = context.home.database.identifier
        if len(self._describe()["DBClusterMembers"]) < 2:
            return NotPossible("the cluster has no reader to fail over to; set `instances: 2`")
        self._writer = self._find_writer()
        return None

    def inject(self) -> None:
        calling(
            "rds:FailoverDBCluster",
            self._rds.failover_db_cluster,
            DBClusterIdentifier=self._cluster,
        )

    def proof(self) -> str | None:
        now = self._find_writer()
        return f"the writer was {self._writer} and is {now}" if now != self._writer else None

    def t_detected(self, t_injected: float) -> float | None:
        events = calling(
            "rds:DescribeEvents",
            self._rds.describe_events,
            SourceIdentifier=self._cluster,
            SourceType="db-cluster",
            Duration=60,
        )["Events"]
        times: list[float] = [
            e["Date"].timestamp()
            for e in events
            if "failover" in e["Message"].lower() and e["Date"].timestamp() >= t_injected - 0.001
        ]
        return min(times, default=None)

    def is_over(self) -> bool:
        cluster = self._describe()
        return bool(cluster["Status"] == "available")

    def most_failures(self, context: Context, sent: int) -> int:
        return int(sent * context.limits.errors_through_faults)

    def _describe(self) -> dict[str, Any]:
        found = calling(
            "rds:DescribeDBClusters",
            self._rds.describe_db_clusters,
            DBClusterIdentifier=self._cluster,
        )
        return dict(found["DBClusters"][0])

    def _find_writer(self) -> str:
        members = self._describe()["DBClusterMembers"]
        return next((m["DBInstanceIdentifier"] for m in members if m["IsClusterWriter"]), "")
