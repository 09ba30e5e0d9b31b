"""The tasks of a shared load in ECS: started, looked at, stopped, and nothing of them left."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hikkoshi.aws.access import Access, calling, wait_until
from hikkoshi.base.errors import AwsRefused, BadInput
from hikkoshi.load.tasks.plan import PLACE_VARIABLE, SHARE_VARIABLE, Bucket

# DescribeTasks takes so many:
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
_AT_ONCE = 100
_STOPPED_WITHIN_S = 180.0
OWN_FAMILY, OWN_CONTAINER = "hikkoshi-load", "load"


@dataclass(frozen=True, slots=True)
class Wish:
    """Where and as what the tasks run. definition: an existing one, whose container runs
    `hikkoshi load share`; or image: of one that is registered for this load and removed after it.
    subnets: none means the default VPC's, with public addresses."""

    cluster: str = "default"
    definition: str | None = None
    container: str | None = None
    image: str | None = None
    cpu: str = "1024"
    memory: str = "2048"
    task_role: str | None = None
    execution_role: str | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    has_public_address: bool = False


@dataclass(frozen=True, slots=True)
class TaskState:
    """status: ECS's lastStatus. reason: why it stopped, when it did."""

    task: int
    arn: str
    status: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ground:
    """What was found in the account before anything was started."""

    definition: str | None
    container: str
    variables: frozenset[str]
    network: dict[str, Any] = field(default_factory=dict)


def look(access: Access, wish: Wish) -> Ground:
    """Only reads. BadInput when the cluster, the definition, its container or a network is not
    there."""
    ecs = access.client("ecs")
    answer = calling("ecs:DescribeClusters", ecs.describe_clusters, clusters=[wish.cluster])
    if not any(cluster["status"] == "ACTIVE" for cluster in answer["clusters"]):
        raise BadInput(
            f"there is no cluster {wish.cluster}", where="--cluster",
            fix="`aws ecs list-clusters` lists them",
        )  # fmt: skip
    network = _network(access, wish)
    if wish.image is not None:
        return Ground(None, OWN_CONTAINER, frozenset(), network)
    assert wish.definition is not None
    try:
        answer = calling(
            "ecs:DescribeTaskDefinition", ecs.describe_task_definition,
            taskDefinition=wish.definition,
        )  # fmt: skip
    except AwsRefused as error:
        # ECS says the same for a name that is wrong and for one that is not there.
        if "Unable to describe task definition" not in error.what:
            raise
        raise BadInput(
            f"there is no task definition {wish.definition}", where="--task-definition",
            fix="`aws ecs list-task-definitions` lists them",
        ) from error  # fmt: skip
    definition = answer["taskDefinition"]
    container = _container(definition["containerDefinitions"], wish.container)
    given = [*container.get("environment", []), *container.get("secrets", [])]
    variables = frozenset(str(each["name"]) for each in given)
    if not definition.get("taskRoleArn") and "AWS_ACCESS_KEY_ID" not in variables:
        raise BadInput(
            f"{wish.definition} has no taskRoleArn: its tasks could not reach the bucket",
            where="--task-definition",
            fix="give it a role that may s3:ListBucket, s3:GetObject and s3:PutObject there",
        )
    return Ground(definition["taskDefinitionArn"], container["name"], variables, network)


def _container(containers: Sequence[dict[str, Any]], name: str | None) -> dict[str, Any]:
    found = [each for each in containers if name in (None, each["name"])]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(str(each["name"]) for each in containers)
    what = f"there is no container {name}" if name else f"{len(containers)} containers"
    raise BadInput(what, where="--container", fix=f"name one of {listed}")


def _network(access: Access, wish: Wish) -> dict[str, Any]:
    subnets, is_public = list(wish.subnets), wish.has_public_address
    if not subnets:
        ec2 = access.client("ec2")
        filters = [{"Name": "default-for-az", "Values": ["true"]}]
        answer = calling("ec2:DescribeSubnets", ec2.describe_subnets, Filters=filters)
        subnets, is_public = [each["SubnetId"] for each in answer["Subnets"]], True
    if not subnets:
        raise BadInput("no subnets, and no default VPC", where="--subnets", fix="give --subnets")
    settings: dict[str, Any] = {
        "subnets": subnets[:16],
        "assignPublicIp": "ENABLED" if is_public else "DISABLED",
    }
    if wish.security_groups:
        settings["securityGroups"] = list(wish.security_groups)
    return {"awsvpcConfiguration": settings}


class Fleet:
    """N tasks; `close` stops what still runs, waits for its end, and removes the definition that
    was made for them."""

    def __init__(self, access: Access, wish: Wish, ground: Ground, bucket: Bucket) -> None:
        self._ecs = access.client("ecs")
        self._wish, self._ground, self._bucket = wish, ground, bucket
        self._definition = ground.definition
        self._arns: list[str] = []
        self._pause_s = 0.25 if access.is_local else 1.0

    def start(self, count: int) -> None:
        """AwsRefused when ECS does not take one of them; those before it are `close`'s."""
        if self._definition is None:
            self._definition = self._register()
        for task in range(count):
            answer = calling(
                "ecs:RunTask", self._ecs.run_task,
                cluster=self._wish.cluster, taskDefinition=self._definition, count=1,
                launchType="FARGATE", networkConfiguration=self._ground.network,
                startedBy="hikkoshi-load", clientToken=secrets.token_hex(16),
                overrides={"containerOverrides": [{
                    "name": self._ground.container,
                    "environment": [
                        {"name": PLACE_VARIABLE, "value": str(self._bucket)},
                        {"name": SHARE_VARIABLE, "value": f"{task}/{count}"},
                    ],
                }]},
            )  # fmt: skip
            self._arns += [each["taskArn"] for each in answer["tasks"]]
            if failures := answer.get("failures"):
                raise AwsRefused(
                    f"ecs:RunTask did not place task {task} of {count}: {failures[0]['reason']}",
                    fix="ask for fewer tasks, or raise the account's Fargate quota",
                )

    def _register(self) -> str:
        wish = self._wish
        roles = {"taskRoleArn": wish.task_role, "executionRoleArn": wish.execution_role}
        answer = calling(
            "ecs:RegisterTaskDefinition", self._ecs.register_task_definition,
            family=OWN_FAMILY, networkMode="awsvpc", requiresCompatibilities=["FARGATE"],
            cpu=wish.cpu, memory=wish.memory,
            containerDefinitions=[{
                "name": OWN_CONTAINER, "image": wish.image, "essential": True,
                "entryPoint": ["hikkoshi"], "command": ["load", "share"], "stopTimeout": 60,
                "ulimits": [{"name": "nofile", "softLimit": 65536, "hardLimit": 65536}],
            }],
            **{name: arn for name, arn in roles.items() if arn is not None},
        )  # fmt: skip
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def states(self) -> list[TaskState]:
        found: dict[str, dict[str, Any]] = {}
        for at in range(0, len(self._arns), _AT_ONCE):
            answer = calling(
                "ecs:DescribeTasks", self._ecs.describe_tasks,
                cluster=self._wish.cluster, tasks=self._arns[at : at + _AT_ONCE],
            )  # fmt: skip
            found |= {each["taskArn"]: each for each in answer["tasks"]}
        return [
            TaskState(task, arn, *_status(found.get(arn))) for task, arn in enumerate(self._arns)
        ]

    def stop(self) -> None:
        """Asks ECS to end those that run; they have their stopTimeout to leave their results."""
        for state in self.states():
            if state.status != "STOPPED":
                calling(
                    "ecs:StopTask", self._ecs.stop_task, cluster=self._wish.cluster,
                    task=state.arn, reason="no longer needed by hikkoshi load",
                )  # fmt: skip

    def close(self) -> None:
        try:
            if self._arns:
                self.stop()
                wait_until(
                    "the end of the load's tasks",
                    lambda: all(each.status == "STOPPED" for each in self.states()),
                    _STOPPED_WITHIN_S, every_s=self._pause_s,
                )  # fmt: skip
        finally:
            if self._wish.image is not None and self._definition is not None:
                self._deregister(self._definition)

    def _deregister(self, definition: str) -> None:
        calling(
            "ecs:DeregisterTaskDefinition", self._ecs.deregister_task_definition,
            taskDefinition=definition,
        )  # fmt: skip
        calling(
            "ecs:DeleteTaskDefinitions", self._ecs.delete_task_definitions,
            taskDefinitions=[definition],
        )  # fmt: skip

    def pause(self) -> None:
        """Between two looks."""
        time.sleep(self._pause_s)


def _status(task: dict[str, Any] | None) -> tuple[str, str]:
    if task is None:
        # DescribeTasks keeps a stopped task for about an hour.
        return "STOPPED", "ECS does not know it any more"
    if task["lastStatus"] != "STOPPED":
        return str(task["lastStatus"]), ""
    reasons = [str(task.get("stoppedReason", ""))]
    for container in task.get("containers", []):
        if container.get("exitCode") not in (None, 0):
            reasons.append(f"{container['name']} ended with {container['exitCode']}")
        if container.get("reason"):
            reasons.append(f"{container['name']}: {container['reason']}")
    return "STOPPED", "; ".join(each for each in reasons if each)
