"""The service: cluster, tasks, the load balancer before them, and what watches over them."""

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from constructs import Construct

import settings
from stacks.database import DatabaseStack
from stacks.images import ImagesStack
from stacks.load_balancer import LoadBalancer
from stacks.network import NetworkStack
from stacks.task import Task
from stacks.watch import Watch


class ServiceStack(cdk.Stack):
    """What a deploy changes. It ends when the new tasks serve, or with the old ones back."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        network: NetworkStack,
        images: ImagesStack,
        database: DatabaseStack,
        **kwargs,
    ) -> None:
        super().__init__(scope, id, **kwargs)
        cluster = ecs.Cluster(
            self,
            "Cluster",
            cluster_name=settings.CLUSTER,
            vpc=network.vpc,
            container_insights_v2=ecs.ContainerInsights.ENHANCED,
        )
        task = Task(self, "Task", images=images, database=database)
        self.service = ecs.FargateService(
            self,
            "Service",
            service_name=settings.SERVICE,
            cluster=cluster,
            task_definition=task.definition,
            platform_version=ecs.FargatePlatformVersion.VERSION1_4,
            min_healthy_percent=100,
            max_healthy_percent=200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            health_check_grace_period=cdk.Duration.seconds(5),
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
            # No desired_count: a deploy would set it back in the middle of a peak. Autoscaling
            # keeps it between its minimum and its maximum.
            security_groups=[network.tasks],
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
        )
        balancer = LoadBalancer(self, "LoadBalancer", network=network, service=self.service)
        self._scale(balancer)
        Watch(self, "Watch", service=self.service, balancer=balancer)

    def _scale(self, balancer: LoadBalancer) -> None:
        scaling = self.service.auto_scale_task_count(
            min_capacity=settings.MINIMUM_TASKS, max_capacity=settings.MAXIMUM_TASKS
        )
        # Out at once, in slowly: a task too many costs cents, a task too few costs requests.
        scaling.scale_on_cpu_utilization(
            "Cpu",
            target_utilization_percent=60,
            scale_out_cooldown=cdk.Duration.seconds(60),
            scale_in_cooldown=cdk.Duration.minutes(5),
        )
        # Half of what the rehearsal sent to each task: 120 a second over 2 tasks.
        scaling.scale_on_request_count(
            "Requests",
            requests_per_target=1800,
            target_group=balancer.new_home,
            scale_out_cooldown=cdk.Duration.seconds(60),
            scale_in_cooldown=cdk.Duration.minutes(5),
        )
