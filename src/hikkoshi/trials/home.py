"""The new home, brought up by the calls that bring it up in AWS."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psycopg

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.model.project import Database, LoadBalancer, Project
from hikkoshi.trials.access import Access, calling, wait_until
from hikkoshi.trials.adapt import (
    adapt_service_definition,
    adapt_task_definition,
    application_container,
)

BRING_UP_DEADLINE_S = 120.0


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

    def connect(self) -> psycopg.Connection[Any]:
        host, _, port = self.door.rpartition(":")
        return psycopg.connect(
            host=host,
            port=int(port),
            dbname=self.name,
            user=self.user,
            password=self.password,
            connect_timeout=5,
            application_name="hikkoshi",
            autocommit=True,
        )

    def fill(self, template: str) -> str:
        """{user}, {password}, {endpoint}, {port}, {name} and {generated} in a template."""
        return (
            template.replace("{user}", self.user)
            .replace("{password}", self.password)
            .replace("{endpoint}", self.endpoint)
            .replace("{port}", str(self.port))
            .replace("{name}", self.name)
        )


@dataclass(frozen=True)
class BalancerHome:
    load_balancer_arn: str
    target_group_arn: str
    listener_arn: str
    door: str
    subnets: list[str]
    security_groups: list[str]


@dataclass(frozen=True)
class NewHome:
    """A service that is up. `task_definition` is the adapted one, as it was registered."""

    access: Access
    project: Project
    cluster: str
    service: str
    task_definition: dict[str, Any]
    task_definition_arn: str
    container: str
    database: DatabaseHome | None
    balancer: BalancerHome | None
    adapted: tuple[str, ...]

    @property
    def base_url(self) -> str:
        if self.balancer is None:
            raise CannotRun("the service has no load balancer, so nothing can be sent to it")
        return f"http://{self.balancer.door}"


def bring_up(access: Access, project: Project, say: Callable[[str], None]) -> NewHome:
    """Database, secrets, load balancer, task definition, service; returns when it is steady.

    Raises AwsRefused, CannotRun or DeadlinePassed, each with the reason that ECS gives.
    """
    settings = project.settings
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="bring-up") as pool:
        making = (
            pool.submit(create_database, access, settings.database) if settings.database else None
        )
        balancer = None
        if settings.load_balancer is not None:
            say("load balancer, target group, listener")
            balancer = create_balancer(access, settings.load_balancer)
        say("database cluster")
        database = making.result() if making else None
    if database is not None and settings.database is not None and settings.database.schema:
        say("schema and data")
        load_schema(project, database)
    say("secrets")
    arns = create_secrets(access, project, database)
    task_definition, adapted = adapt_task_definition(project.task_definition, arns)
    network = balancer or default_network(access)
    service, more = adapt_service_definition(
        project.service_definition,
        target_group_arn=balancer.target_group_arn if balancer else None,
        subnets=network.subnets,
        security_groups=network.security_groups,
    )
    ecs = access.client("ecs")
    calling("ecs:CreateCluster", ecs.create_cluster, clusterName=settings.cluster)
    registered = calling(
        "ecs:RegisterTaskDefinition", ecs.register_task_definition, **task_definition
    )["taskDefinition"]["taskDefinitionArn"]
    service["taskDefinition"] = registered
    service["cluster"] = settings.cluster
    service["serviceName"] = project.service
    say("service")
    calling("ecs:CreateService", ecs.create_service, **service)
    home = NewHome(
        access,
        project,
        settings.cluster,
        project.service,
        task_definition,
        registered,
        application_container(task_definition, service),
        database,
        balancer,
        tuple([*adapted, *more]),
    )
    wait_steady(home, BRING_UP_DEADLINE_S)
    return home


def create_database(access: Access, settings: Database) -> DatabaseHome:
    rds = access.client("rds")
    password = secrets.token_urlsafe(18)
    group = f"{settings.cluster}-parameters"
    if settings.parameters:
        calling(
            "rds:CreateDBClusterParameterGroup",
            rds.create_db_cluster_parameter_group,
            DBClusterParameterGroupName=group,
            DBParameterGroupFamily="aurora-postgresql17",
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
        int(made.get("Port") or 5432),
        settings.name,
        settings.user,
        password,
        door,
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

    wait_until(
        f"database cluster {cluster} available",
        lambda: set(statuses()) == {"available"},
        deadline_s,
        explain=lambda: f"statuses are {', '.join(statuses())}",
    )


def load_schema(project: Project, database: DatabaseHome) -> None:
    assert project.settings.database is not None
    with database.connect() as connection:
        for name in project.settings.database.schema:
            path = project.directory / name
            try:
                # No parameters: the simple protocol takes a whole file of statements.
                connection.execute(path.read_text("utf-8").encode())
            except psycopg.Error as error:
                line = ""
                position = error.diag.statement_position
                if position:
                    line = f":{path.read_text('utf-8').count(chr(10), 0, int(position)) + 1}"
                raise BadInput(
                    f"PostgreSQL refuses this: {str(error).splitlines()[0]}", where=f"{path}{line}"
                ) from error
        with contextlib.suppress(psycopg.Error):
            connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")


def create_secrets(
    access: Access, project: Project, database: DatabaseHome | None
) -> dict[str, str]:
    """Name → ARN (Secrets Manager) or name (SSM, for names that start with /)."""
    made: dict[str, str] = {}
    manager, parameters = access.client("secretsmanager"), access.client("ssm")
    for name, template in project.settings.secrets.items():
        value = template.replace("{generated}", secrets.token_hex(16))
        if database is not None:
            value = database.fill(value)
        if name.startswith("/"):
            calling(
                "ssm:PutParameter",
                parameters.put_parameter,
                Name=name,
                Value=value,
                Type="SecureString",
                Overwrite=True,
            )
            made[name] = name
        else:
            made[name] = calling(
                "secretsmanager:CreateSecret", manager.create_secret, Name=name, SecretString=value
            )["ARN"]
    return made


def default_network(access: Access) -> BalancerHome:
    ec2 = access.client("ec2")
    subnets = calling("ec2:DescribeSubnets", ec2.describe_subnets)["Subnets"]
    groups = calling("ec2:DescribeSecurityGroups", ec2.describe_security_groups)["SecurityGroups"]
    return BalancerHome(
        "",
        "",
        "",
        "",
        [s["SubnetId"] for s in subnets[:2]],
        [g["GroupId"] for g in groups if g["GroupName"] == "default"][:1],
    )


def create_balancer(access: Access, settings: LoadBalancer) -> BalancerHome:
    network = default_network(access)
    elb = access.client("elbv2")
    balancer = calling(
        "elbv2:CreateLoadBalancer",
        elb.create_load_balancer,
        Name=settings.target_group,
        Subnets=network.subnets,
        SecurityGroups=network.security_groups,
        Scheme="internal",
    )["LoadBalancers"][0]
    group = create_target_group(access, settings, settings.target_group)
    listener = create_listener(access, balancer["LoadBalancerArn"], settings.listener_port, group)
    return BalancerHome(
        balancer["LoadBalancerArn"],
        group,
        listener,
        door_of(access, listener),
        network.subnets,
        network.security_groups,
    )


def create_target_group(access: Access, settings: LoadBalancer, name: str, port: int = 80) -> str:
    elb = access.client("elbv2")
    check = settings.health_check
    group = calling(
        "elbv2:CreateTargetGroup",
        elb.create_target_group,
        Name=name,
        Protocol="HTTP",
        Port=port,
        VpcId=default_vpc(access),
        TargetType="ip",
        HealthCheckPath=check.path,
        HealthCheckIntervalSeconds=round(check.interval),
        HealthCheckTimeoutSeconds=round(check.timeout),
        HealthyThresholdCount=check.healthy_threshold,
        UnhealthyThresholdCount=check.unhealthy_threshold,
        Matcher={"HttpCode": check.matcher},
    )["TargetGroups"][0]["TargetGroupArn"]
    calling(
        "elbv2:ModifyTargetGroupAttributes",
        elb.modify_target_group_attributes,
        TargetGroupArn=group,
        Attributes=[
            {
                "Key": "deregistration_delay.timeout_seconds",
                "Value": str(round(settings.deregistration_delay)),
            }
        ],
    )
    return str(group)


def create_listener(access: Access, balancer_arn: str, port: int, group_arn: str) -> str:
    elb = access.client("elbv2")
    made = calling(
        "elbv2:CreateListener",
        elb.create_listener,
        LoadBalancerArn=balancer_arn,
        Protocol="HTTP",
        Port=port,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group_arn}],
    )
    return str(made["Listeners"][0]["ListenerArn"])


def door_of(access: Access, listener_arn: str) -> str:
    door = access.ask("doors")["listeners"].get(listener_arn)
    if door is None:
        raise CannotRun(f"the region opened no door to listener {listener_arn}")
    return str(door)


def default_vpc(access: Access) -> str:
    ec2 = access.client("ec2")
    return str(calling("ec2:DescribeVpcs", ec2.describe_vpcs)["Vpcs"][0]["VpcId"])


def describe(home: NewHome) -> dict[str, Any]:
    ecs = home.access.client("ecs")
    answer = calling(
        "ecs:DescribeServices", ecs.describe_services, cluster=home.cluster, services=[home.service]
    )
    return dict(answer["services"][0])


def is_steady(service: dict[str, Any]) -> bool:
    """As the waiter ServicesStable sees it, and the deployment says completed."""
    deployments = service["deployments"]
    return (
        len(deployments) == 1
        and service["runningCount"] == service["desiredCount"]
        and deployments[0].get("rolloutState") == "COMPLETED"
    )


def wait_steady(home: NewHome, deadline_s: float) -> float:
    """Seconds until the service was steady. Gives up early when ECS says the deployment failed."""
    ecs = home.access.client("ecs")

    def is_so() -> bool:
        service = describe(home)
        if any(d.get("rolloutState") == "FAILED" for d in service["deployments"]):
            raise CannotRun(
                f"the deployment of {home.service} failed: {explain_tasks(ecs, home)}",
                fix="the container's own last lines are in the run's logs directory",
            )
        return is_steady(service)

    return wait_until(
        f"service {home.service} steady",
        is_so,
        deadline_s,
        every_s=0.15,
        explain=lambda: explain_tasks(ecs, home),
    )


def explain_tasks(ecs: Any, home: NewHome) -> str:
    """Why tasks stopped, in ECS's words; else the service's last events."""
    with contextlib.suppress(Exception):
        arns = ecs.list_tasks(
            cluster=home.cluster, serviceName=home.service, desiredStatus="STOPPED"
        )["taskArns"]
        if arns:
            tasks = ecs.describe_tasks(cluster=home.cluster, tasks=arns[:5])["tasks"]
            return "; ".join(sorted({_say_task(t) for t in tasks}))
        return "; ".join(e["message"] for e in describe(home)["events"][:3])
    return "and ECS does not say why"


def _say_task(task: dict[str, Any]) -> str:
    parts = [task.get("stoppedReason", "stopped")]
    for container in task.get("containers", []):
        if container.get("exitCode"):
            parts.append(f"{container['name']} exited with {container['exitCode']}")
        if container.get("reason"):
            parts.append(f"{container['name']}: {container['reason']}")
    return ", ".join(parts)


def running_tasks(home: NewHome) -> list[dict[str, Any]]:
    ecs = home.access.client("ecs")
    arns = calling("ecs:ListTasks", ecs.list_tasks, cluster=home.cluster, serviceName=home.service)[
        "taskArns"
    ]
    if not arns:
        return []
    tasks = calling("ecs:DescribeTasks", ecs.describe_tasks, cluster=home.cluster, tasks=arns)
    return [t for t in tasks["tasks"] if t["lastStatus"] == "RUNNING"]


def healthy_targets(home: NewHome) -> int:
    if home.balancer is None:
        return len(running_tasks(home))
    elb = home.access.client("elbv2")
    found = calling(
        "elbv2:DescribeTargetHealth",
        elb.describe_target_health,
        TargetGroupArn=home.balancer.target_group_arn,
    )["TargetHealthDescriptions"]
    return sum(t["TargetHealth"]["State"] == "healthy" for t in found)


def is_whole(home: NewHome) -> bool:
    """Steady, with every desired task behind the load balancer and healthy there."""
    service = describe(home)
    return is_steady(service) and healthy_targets(home) >= service["desiredCount"]
