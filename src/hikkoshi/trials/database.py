"""The database cluster of a new home: created by RDS's API, filled with schema and data."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from hikkoshi.aws.access import Access, calling, wait_until
from hikkoshi.base.errors import CannotRun
from hikkoshi.database.client import FAMILIES, PORTS, POSTGRESQL, Client, connect
from hikkoshi.model.project import Database, Project


@dataclass(frozen=True)
class DatabaseHome:
    """The cluster as it stands. `door`: host:port on this machine that leads to its writer."""

    identifier: str
    endpoint: str
    port: int
    name: str
    user: str
    password: str = field(repr=False)
    door: str = ""
    engine: str = POSTGRESQL

    def connect(self) -> Client:
        """Raises CannotRun."""
        host, _, port = self.door.rpartition(":")
        return connect(self.engine, host, int(port), self.name, self.user, self.password)

    def fill(self, template: str) -> str:
        """{user}, {password}, {endpoint}, {port}, {name} and {generated} in a template."""
        return (
            template.replace("{user}", self.user)
            .replace("{password}", self.password)
            .replace("{endpoint}", self.endpoint)
            .replace("{port}", str(self.port))
            .replace("{name}", self.name)
        )


def create_database(access: Access, settings: Database) -> DatabaseHome:
    rds = access.client("rds")
    password = secrets.token_urlsafe(18)
    group = f"{settings.cluster}-parameters"
    if settings.parameters:
        calling(
            "rds:CreateDBClusterParameterGroup",
            rds.create_db_cluster_parameter_group,
            DBClusterParameterGroupName=group,
            DBParameterGroupFamily=FAMILIES[settings.engine],
            Description="what hikkoshi.yaml asks for",
        )
        calling(
            "rds:ModifyDBClusterParameterGroup",
            rds.modify_db_cluster_parameter_group,
            DBClusterParameterGroupName=group,
            Parameters=[
                {"ParameterName": n, "ParameterValue": v, "ApplyMethod": "pending-reboot"}
                for n, v in settings.parameters.items()
            ],
        )
    extra = {"DBClusterParameterGroupName": group} if settings.parameters else {}
    made = calling(
        "rds:CreateDBCluster",
        rds.create_db_cluster,
        DBClusterIdentifier=settings.cluster,
        Engine=settings.engine,
        DatabaseName=settings.name,
        MasterUsername=settings.user,
        MasterUserPassword=password,
        **extra,
    )["DBCluster"]
    for number in range(1, settings.instances + 1):
        calling(
            "rds:CreateDBInstance",
            rds.create_db_instance,
            DBInstanceIdentifier=f"{settings.cluster}-{number}",
            DBInstanceClass="db.r6g.large",
            Engine=settings.engine,
            DBClusterIdentifier=settings.cluster,
        )
    wait_for_database(rds, settings.cluster)
    door = access.ask("doors")["databases"].get(made["Endpoint"])
    if door is None:
        raise CannotRun(f"the region opened no door to {made['Endpoint']}")
    return DatabaseHome(
        settings.cluster,
        made["Endpoint"],
        int(made.get("Port") or PORTS[settings.engine]),
        settings.name,
        settings.user,
        password,
        door,
        settings.engine,
    )


def wait_for_database(rds: Any, cluster: str, deadline_s: float = 60.0) -> None:
    def statuses() -> list[str]:
        found = calling(
            "rds:DescribeDBClusters", rds.describe_db_clusters, DBClusterIdentifier=cluster
        )["DBClusters"][0]
        names = [m["DBInstanceIdentifier"] for m in found["DBClusterMembers"]]
        instances = [
            calling("rds:DescribeDBInstances", rds.describe_db_instances, DBInstanceIdentifier=n)[
                "DBInstances"
            ][0]["DBInstanceStatus"]
            for n in names
        ]
        return [found["Status"], *instances]

    def is_available() -> bool:
        now = statuses()
        if "failed" in now:
            raise CannotRun(
                f"the database cluster {cluster} failed: {', '.join(_failures(rds))}",
                fix="is there room on the disk? the region's log has more: "
                "records/region/region.log of the run",
            )
        return set(now) == {"available"}

    wait_until(
        f"database cluster {cluster} available",
        is_available,
        deadline_s,
        explain=lambda: f"statuses are {', '.join(statuses())}",
    )


def _failures(rds: Any) -> list[str]:
    """What RDS's events of the last hour say of it."""
    events = calling("rds:DescribeEvents", rds.describe_events)["Events"]
    return [e["Message"] for e in events if "failure" in e.get("EventCategories", ())] or [
        "no event says why"
    ]


def load_schema(project: Project, database: DatabaseHome) -> None:
    assert project.settings.database is not None
    with database.connect() as client:
        for name in project.settings.database.schema:
            client.run_file(project.directory / name)
        client.finish()
