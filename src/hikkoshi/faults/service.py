"""What AWS says of a service and of a database: steady or not, and why not."""

from __future__ import annotations

from typing import Any

from hikkoshi.aws.access import Access, calling
from hikkoshi.aws.pages import pages
from hikkoshi.base.errors import BadInput
from hikkoshi.faults.model import NotTried, Place


def describe_service(place: Place) -> dict[str, Any]:
    ecs = place.access.client("ecs")
    name = place.needs_service()
    answer = calling(
        "ecs:DescribeServices", ecs.describe_services, cluster=place.cluster, services=[name]
    )
    found = [s for s in answer["services"] if s["status"] == "ACTIVE"]
    if not found:
        raise BadInput(
            f"there is no active service {name} in cluster {place.cluster}",
            where="--service",
            fix=f"aws ecs list-services --cluster {place.cluster}",
        )
    return dict(found[0])


def running_tasks(place: Place) -> list[dict[str, Any]]:
    """Oldest first."""
    return [t for t in tasks_of(place, "RUNNING") if t["lastStatus"] == "RUNNING"]


def tasks_of(place: Place, desired: str) -> list[dict[str, Any]]:
    ecs = place.access.client("ecs")
    listed = pages(
        "ecs:ListTasks", ecs, "list_tasks",
        cluster=place.cluster, serviceName=place.needs_service(), desiredStatus=desired,
    )  # fmt: skip
    arns = [arn for page in listed for arn in page["taskArns"]]
    found: list[dict[str, Any]] = []
    for start in range(0, len(arns), 100):
        answer = calling(
            "ecs:DescribeTasks",
            ecs.describe_tasks,
            cluster=place.cluster,
            tasks=arns[start : start + 100],
        )
        found += answer["tasks"]
    return sorted(found, key=lambda task: str(task.get("createdAt")))


def describe_task(place: Place, arn: str) -> dict[str, Any]:
    ecs = place.access.client("ecs")
    answer = calling("ecs:DescribeTasks", ecs.describe_tasks, cluster=place.cluster, tasks=[arn])
    return dict(answer["tasks"][0]) if answer["tasks"] else {}


def task_definition(access: Access, arn: str) -> dict[str, Any]:
    ecs = access.client("ecs")
    answer = calling("ecs:DescribeTaskDefinition", ecs.describe_task_definition, taskDefinition=arn)
    return dict(answer["taskDefinition"])


def unsteady_because(place: Place) -> str | None:
    """Why the service (and the database, if one is named) is not steady; None when all is."""
    if place.service is not None:
        service = describe_service(place)
        deployments = service["deployments"]
        if len(deployments) > 1 or deployments[0].get("rolloutState") not in (None, "COMPLETED"):
            return f"{len(deployments)} deployments are under way"
        if service["runningCount"] != service["desiredCount"]:
            return f"{service['runningCount']} of {service['desiredCount']} tasks run"
        why = _targets(place, service)
        if why is not None:
            return why
    if place.database is not None:
        status = describe_database(place)["Status"]
        if status != "available":
            return f"the database is {status}"
    return None


def _targets(place: Place, service: dict[str, Any]) -> str | None:
    elb = place.access.client("elbv2")
    for balancer in service.get("loadBalancers", []):
        if "targetGroupArn" not in balancer:
            continue
        # The tasks of a blue/green service are in one of two.
        advanced = balancer.get("advancedConfiguration") or {}
        groups = (balancer["targetGroupArn"], advanced.get("alternateTargetGroupArn"))
        healthy = 0
        for group in filter(None, groups):
            found = calling(
                "elbv2:DescribeTargetHealth", elb.describe_target_health, TargetGroupArn=group
            )["TargetHealthDescriptions"]
            healthy += sum(t["TargetHealth"]["State"] == "healthy" for t in found)
        if healthy < service["desiredCount"]:
            return f"{healthy} of {service['desiredCount']} targets are healthy"
    return None


def describe_database(place: Place) -> dict[str, Any]:
    rds = place.access.client("rds")
    found = calling(
        "rds:DescribeDBClusters",
        rds.describe_db_clusters,
        DBClusterIdentifier=place.needs_database(),
    )
    return dict(found["DBClusters"][0])


def writer_of(cluster: dict[str, Any]) -> str:
    members = cluster["DBClusterMembers"]
    found = [m["DBInstanceIdentifier"] for m in members if m["IsClusterWriter"]]
    if not found:
        raise NotTried(f"the cluster {cluster['DBClusterIdentifier']} has no writer")
    return str(found[0])


def short(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]
