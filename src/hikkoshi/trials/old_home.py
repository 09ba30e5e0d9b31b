"""The deploy of the old home, for comparison: copy by scp, stop, start, one instance after another.

An instance is a standalone task whose first process is a loop that restarts the service, as systemd
does. What ssh would run on it is run in it. Its downtime is set beside the rolling deploy's.
"""

from __future__ import annotations

import shlex
import time
from typing import Any

from hikkoshi.aws.access import calling, wait_until
from hikkoshi.base.errors import AwsRefused, DeadlinePassed
from hikkoshi.base.units import format_duration
from hikkoshi.model.project import LoadBalancer, OldHome, Project
from hikkoshi.model.trials import Measure, Outcome, TrialResult
from hikkoshi.trials import measures
from hikkoshi.trials.balancer import create_listener, create_target_group, door_of
from hikkoshi.trials.context import Context, result
from hikkoshi.trials.home import NewHome
from hikkoshi.trials.sending import send
from hikkoshi.trials.watch import is_whole

NAME = "scp-swap"
TITLE = "for comparison: the old home's deploy by scp"
LISTENER_PORT = 8081
CONTAINER = "instance"


def find_old_home(project: Project) -> tuple[Project, OldHome] | None:
    for each in (project, project.old_home):
        if each is not None and each.settings.old_home is not None:
            return each, each.settings.old_home
    return None


def try_scp_swap(context: Context) -> TrialResult:
    """Held means measured: this trial is a comparison, its downtime is no fault of the new home."""
    t_start = time.time()
    found = find_old_home(context.project)
    if found is None or context.home.balancer is None:
        why = "hikkoshi.yaml has no `old_home:` and no `compare_with:`"
        return result(NAME, TITLE, t_start, Outcome.NOT_TRIED, why)
    instances = _OldInstances(context, *found)
    try:
        door = instances.bring_up()
        sending = send(
            context,
            NAME,
            context.pace.deploy_deadline_s,
            base_url=f"http://{door}",
            reads_only=True,
        )
        with sending:
            sending.pass_time(context.pace.warm_s)
            t_swap = time.time()
            proofs = []
            for arn in instances.tasks:
                proofs.append(instances.swap(arn))
                sending.show()
            instances.wait_healthy()
            sending.pass_time(context.pace.cool_s)
            t_done = time.time()
        proof = "; ".join(proofs)
        return _judge(context, sending.requests(), (t_start, t_swap, t_done), proof)
    finally:
        instances.remove()


def _judge(
    context: Context,
    requests: list[measures.Sent],
    times: tuple[float, float, float],
    proof: str,
) -> TrialResult:
    t_start, t_swap, t_done = times
    summary = measures.summarise(r for r in requests if r.t_ended >= t_swap)
    unanswered = [r for r in requests if r.is_failed and r.status in (0, 502, 503, 504)]
    down_s = downtime(sorted(r.t_ended for r in unanswered if r.t_ended >= t_swap))
    context.recorder.record(
        "faults",
        trial=NAME,
        name=TITLE,
        t_injected=t_swap,
        t_undone=t_done,
        t_detected=summary.t_first_failure,
        t_recovered=summary.t_last_failure,
        proof=proof,
    )
    return result(
        NAME,
        TITLE,
        t_start,
        Outcome.HELD,
        f"{len(unanswered)} of {summary.sent} requests got no answer, "
        f"{format_duration(down_s)} of downtime",
        [
            Measure("downtime", down_s, "s"),
            Measure("requests without an answer", float(len(unanswered)), ""),
            Measure("requests sent", float(summary.sent), ""),
        ],
        [f"failures: {measures.say_causes(summary)}"] if summary.failed else [],
    )


def downtime(failures: list[float], gap_s: float = 0.5) -> float:
    """Seconds in which requests failed: stretches of failures no further apart than `gap_s`."""
    total, began, last = 0.0, None, 0.0
    for t in failures:
        if began is None or t - last > gap_s:
            if began is not None:
                total += last - began
            began = t
        last = t
    return total + (last - began if began is not None else 0.0)


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


class _OldInstances:
    """The instances of the old home in the region: tasks, a target group, a listener."""

    def __init__(self, context: Context, project: Project, old: OldHome) -> None:
        self._home: NewHome = context.home
        self._context = context
        self._project = project
        self._old = old
        self.tasks: list[str] = []
        self._group = ""
        self._listener = ""

    def bring_up(self) -> str:
        """host:port that leads to them, once all are healthy."""
        access, ecs = self._home.access, self._home.access.client("ecs")
        balancer = self._home.balancer
        assert balancer is not None
        settings = self._project.settings.load_balancer or LoadBalancer("old-home")
        self._group = create_target_group(access, settings, "hikkoshi-old-home", self._old.port)
        self._listener = create_listener(
            access, balancer.load_balancer_arn, LISTENER_PORT, self._group
        )
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
            TargetGroupArn=self._group,
            Targets=[{"Id": a, "Port": self._old.port} for a in self._addresses()],
        )
        self.wait_healthy()
        return door_of(access, self._listener)

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
                "elbv2:DescribeTargetHealth", elb.describe_target_health, TargetGroupArn=self._group
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
        if self._listener:
            calling("elbv2:DeleteListener", elb.delete_listener, ListenerArn=self._listener)
        if self._group:
            calling("elbv2:DeleteTargetGroup", elb.delete_target_group, TargetGroupArn=self._group)
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
