"""A control plane over doubles, on a clock that the test moves."""

from __future__ import annotations

from typing import Any

from ecs_doubles import DoubleBalancers, DoubleRuntime
from ecs_shapecheck import check_input, check_output, read_back

from hikkoshi.base.clock import FakeClock
from hikkoshi.model.timers import Timers
from hikkoshi.region.ecs.service import EcsService
from hikkoshi.region.front.port import AwsError, Caller

GROUP = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/web/73e2d6bc24d8a067"
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1", "subnet-2"]}}
BALANCED = [{"targetGroupArn": GROUP, "containerName": "app", "containerPort": 8080}]


class Rows:
    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[str, Any]]] = []

    def record(self, table: str, **columns: Any) -> None:
        self.rows.append((table, columns))


def definition(family: str = "web", image: str = "web:good", **container: Any) -> dict[str, Any]:
    return {
        "family": family,
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [
            {"name": "app", "image": image, "portMappings": [{"containerPort": 8080}], **container}
        ],
    }


class House:
    """call() checks input and answer against AWS's model; turn() is one beat of the world."""

    def __init__(self, timers: Timers | None = None, **options: Any) -> None:
        self.clock = FakeClock()
        self.runtime = DoubleRuntime(self.clock)
        self.balancers = DoubleBalancers({GROUP})
        self.recorder = Rows()
        self.ecs = EcsService(
            runtime=self.runtime, balancers=self.balancers, clock=self.clock,
            timers=timers or Timers.as_aws(), recorder=self.recorder, **options,
        )  # fmt: skip
        self.operations = self.ecs.operations()

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        check_input(operation, parameters)
        caller = Caller("123456789012", "ap-northeast-1", "test")
        answer = await self.operations[operation](parameters, caller)
        check_output(operation, answer)
        return read_back(operation, answer)

    async def refused(self, operation: str, **parameters: Any) -> AwsError:
        try:
            answer = await self.call(operation, **parameters)
        except AwsError as error:
            return error
        raise AssertionError(f"{operation} was answered: {answer}")

    async def open(self, *, image: str = "web:good", **container: Any) -> None:
        await self.call("CreateCluster", clusterName="genba")
        await self.call("RegisterTaskDefinition", **definition(image=image, **container))

    async def create(self, name: str = "web", desired: int = 2, **more: Any) -> dict[str, Any]:
        answer = await self.call(
            "CreateService", cluster="genba", serviceName=name, taskDefinition="web",
            desiredCount=desired, launchType="FARGATE", networkConfiguration=NETWORK, **more,
        )  # fmt: skip
        return answer["service"]

    async def service(self, name: str = "web") -> dict[str, Any]:
        answer = await self.call("DescribeServices", cluster="genba", services=[name])
        assert answer["failures"] == []
        return answer["services"][0]

    async def events(self, name: str = "web") -> list[str]:
        """The oldest first."""
        return [event["message"] for event in reversed((await self.service(name))["events"])]

    async def turn(self, seconds: float = 1.0) -> None:
        self.clock.advance(seconds)
        self.runtime.advance_all()
        self.balancers.settle()
        await self.ecs.scheduler.pass_once()

    async def turns(self, count: int, seconds: float = 1.0, drain: bool = True) -> None:
        for _ in range(count):
            await self.turn(seconds)
            if drain:
                self.balancers.drain()

    async def settle(self, name: str = "web", turns: int = 300, seconds: float = 1.0) -> None:
        """Until the service is stable, as boto3's waiter would say."""
        for _ in range(turns):
            service = await self.service(name)
            is_full = service["runningCount"] == service["desiredCount"]
            states = [d["rolloutState"] for d in service["deployments"]]
            if is_full and states == ["COMPLETED"]:
                return
            await self.turns(1, seconds)
        raise AssertionError(f"{name} is not stable: {await self.service(name)}")

    async def tasks(self, status: str = "RUNNING", **more: Any) -> list[dict[str, Any]]:
        arns = (await self.call("ListTasks", cluster="genba", desiredStatus=status, **more))[
            "taskArns"
        ]
        if not arns:
            return []
        answer = await self.call("DescribeTasks", cluster="genba", tasks=arns)
        return answer["tasks"]
