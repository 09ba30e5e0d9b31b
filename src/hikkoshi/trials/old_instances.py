"""The old home in the region: its instances, as tasks that are kept running as systemd does it.

An instance is a standalone task whose first process is a loop that restarts the service. What ssh
would run on it is run in it. EC2 knows it as an instance with the task's address.
"""

from __future__ import annotations

import shlex
from typing import Any

from hikkoshi.aws.access import calling, wait_until
from hikkoshi.base.errors import AwsRefused, DeadlinePassed
from hikkoshi.model.project import LoadBalancer, OldHome, Project
from hikkoshi.trials.balancer import create_listener, create_target_group, door_of
from hikkoshi.trials.context import Context
from hikkoshi.trials.home import NewHome
from hikkoshi.trials.watch import is_whole

CONTAINER = "instance"
NETWORK = "10.0.0.0/16"
"""The region's own, from which tasks have their addresses."""


def find_old_home(project: Project) -> tuple[Project, OldHome] | None:
    for each in (project, project.old_home):
        if each is not None and each.settings.old_home is not None:
            return each, each.settings.old_home
    return None


def supervise(command: tuple[str, ...], restart_delay_s: float) -> str:
    """A shell loop that keeps the command running, as `Restart=always` does."""
    run = shlex.join(command)
    return (
        "trap 'kill $pid 2>/dev/null; exit 0' TERM\n"
        f"while :; do if [ -e /tmp/stopped ]; then sleep 0.05; continue; fi\n"
        f"{run} & pid=$!; echo $pid >/tmp/pid; wait $pid\n"
        f"[ -e /tmp/stopped ] || sleep {restart_delay_s:g}; done"
    )


def swap_commands(binary: str) -> str:
    """What the deploy script runs on the instance: copy, stop, install, start."""
    name = shlex.quote(binary)
    return (
        f"cp -p {name} /tmp/new && touch /tmp/stopped && kill $(cat /tmp/pid) && "
        "while kill -0 $(cat /tmp/pid) 2>/dev/null; do sleep 0.02; done; "
        f"{{ cp -p /tmp/new {name} 2>/dev/null || cp -p /tmp/new /tmp/installed; }}; "
        "rm -f /tmp/stopped"
    )


class OldInstances:
    """The instances of the old home in the region, a target group of them, and a listener that
    leads there. An instance is a task that EC2 knows by the address it has."""

    def __init__(self, context: Context, project: Project, old: OldHome, port: int) -> None:
        """port: of the listener that is opened on the new home's load balancer."""
        self._port = port
        self._home: NewHome = context.home
        self._context = context
        self._project = project
        self._old = old
        self.tasks: list[str] = []
        self._instances: list[str] = []
        self.group = ""
        self.listener = ""

    def bring_up(self) -> str:
        """host:port that leads to them, once all are healthy."""
        access, ecs = self._home.access, self._home.access.client("ecs")
        balancer = self._home.balancer
        assert balancer is not None
        settings = self._project.settings.load_balancer or LoadBalancer("old-home")
        self.group = create_target_group(
            access, settings, "hikkoshi-old-home", self._old.port, "instance"
        )
        self.listener = create_listener(access, balancer.load_balancer_arn, self._port, self.group)
        made = calling(
            "ecs:RegisterTaskDefinition", ecs.register_task_definition, **self._definition()
        )
        started = calling(
            "ecs:RunTask",
            ecs.run_task,
            cluster=self._home.cluster,
            launchType="FARGATE",
            taskDefinition=made["taskDefinition"]["taskDefinitionArn"],
            count=self._old.instances,
            networkConfiguration={
                "awsvpcConfiguration": {
                    "subnets": balancer.subnets,
                    "securityGroups": balancer.security_groups,
                }
            },
        )
        self.tasks = [t["taskArn"] for t in started["tasks"]]
        wait_until("the old home's instances running", self._are_running, 30)
        elb = access.client("elbv2")
        calling(
            "elbv2:RegisterTargets",
            elb.register_targets,
            TargetGroupArn=self.group,
            Targets=[{"Id": each, "Port": self._old.port} for each in self._make_instances()],
        )
        self.wait_healthy()
        return door_of(access, self.listener)

    def _make_instances(self) -> list[str]:
        """EC2's records of the tasks' addresses, in a VPC of the region's own network; their ids.
        EC2 is a record here: nothing but the task runs."""
        ec2 = self._home.access.client("ec2")
        vpc = calling("ec2:CreateVpc", ec2.create_vpc, CidrBlock=NETWORK)["Vpc"]["VpcId"]
        subnet = calling("ec2:CreateSubnet", ec2.create_subnet, VpcId=vpc, CidrBlock=NETWORK)[
            "Subnet"
        ]["SubnetId"]
        for address in self._addresses():
            made = calling(
                "ec2:RunInstances",
                ec2.run_instances,
                ImageId="ami-00000000000000000",
                InstanceType="t3.small",
                MinCount=1,
                MaxCount=1,
                SubnetId=subnet,
                PrivateIpAddress=address,
            )
            self._instances.append(made["Instances"][0]["InstanceId"])
        return self._instances

    def _definition(self) -> dict[str, Any]:
        old, database = self._old, self._home.database
        environment = {
            name: database.fill(value) if database else value
            for name, value in old.environment.items()
        }
        return {
            "family": "hikkoshi-old-home",
            "networkMode": "awsvpc",
            "cpu": "1024",
            "memory": "2048",
            "executionRoleArn": self._home.task_definition.get("executionRoleArn")
            or "arn:aws:iam::123456789012:role/hikkoshi-rehearsal",
            "requiresCompatibilities": ["FARGATE"],
            "containerDefinitions": [
                {
                    "name": CONTAINER,
                    "image": old.image,
                    "essential": True,
                    "entryPoint": ["sh", "-c"],
                    "command": [supervise(old.command, old.restart_delay)],
                    "environment": [{"name": n, "value": v} for n, v in environment.items()],
                }
            ],
        }

    def swap(self, task_arn: str) -> str:
        """What shows that the instance's process was replaced. Raises AwsRefused if it was not."""
        before = self._run(task_arn, "cat /tmp/pid")
        self._run(task_arn, swap_commands(self._old.binary))
        wait_until(
            "the old home's new process",
            lambda: self._run(task_arn, "cat /tmp/pid") != before,
            15,
            every_s=0.02,
        )
        return f"process {before} of {task_arn.rsplit('/', 1)[-1][:8]} was replaced"

    def _run(self, task_arn: str, script: str) -> str:
        """What ssh would run on the instance; its output."""
        answer = self._home.access.ask(
            "execute",
            {
                "task": task_arn,
                "container": CONTAINER,
                "command": ["sh", "-c", script],
                "timeout_s": 15,
            },
        )
        if answer["code"] != 0:
            raise AwsRefused(
                f"the old home's deploy ended with {answer['code']}: {answer['output'].strip()}"
            )
        return str(answer["output"]).strip()

    def wait_healthy(self) -> None:
        elb = self._home.access.client("elbv2")

        def states() -> list[str]:
            found = calling(
                "elbv2:DescribeTargetHealth", elb.describe_target_health, TargetGroupArn=self.group
            )["TargetHealthDescriptions"]
            return [t["TargetHealth"]["State"] for t in found]

        wait_until(
            "the old home healthy",
            lambda: set(states()) == {"healthy"},
            30,
            explain=lambda: ", ".join(states()),
        )

    def remove(self) -> None:
        access = self._home.access
        ecs, elb = access.client("ecs"), access.client("elbv2")
        if self.listener:
            calling("elbv2:DeleteListener", elb.delete_listener, ListenerArn=self.listener)
        if self.group:
            calling("elbv2:DeleteTargetGroup", elb.delete_target_group, TargetGroupArn=self.group)
        if self._instances:
            ec2 = access.client("ec2")
            calling("ec2:TerminateInstances", ec2.terminate_instances, InstanceIds=self._instances)
        for arn in self.tasks:
            calling(
                "ecs:StopTask",
                ecs.stop_task,
                cluster=self._home.cluster,
                task=arn,
                reason="hikkoshi rehearsal: comparison over",
            )
        try:
            wait_until("the service whole", lambda: is_whole(self._home), 10)
        except DeadlinePassed as error:
            self._context.progress.say(str(error))

    def _describe(self) -> list[dict[str, Any]]:
        ecs = self._home.access.client("ecs")
        return list(
            calling(
                "ecs:DescribeTasks",
                ecs.describe_tasks,
                cluster=self._home.cluster,
                tasks=self.tasks,
            )["tasks"]
        )

    def _are_running(self) -> bool:
        return all(t["lastStatus"] == "RUNNING" for t in self._describe())

    def _addresses(self) -> list[str]:
        return [
            c["networkInterfaces"][0]["privateIpv4Address"]
            for t in self._describe()
            for c in t["containers"]
        ]
