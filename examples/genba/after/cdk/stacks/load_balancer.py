"""The load balancer, with the old home and the new one behind it."""

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_elasticloadbalancingv2_targets as targets
from aws_cdk import aws_s3 as s3
from constructs import Construct

import settings
from stacks.network import NetworkStack
from stacks.rules import acknowledge


class LoadBalancer(Construct):
    """`new_home` has the tasks, by address; `old_home` the instances. Weights part the requests."""

    def __init__(
        self, scope: Construct, id: str, *, network: NetworkStack, service: ecs.FargateService
    ) -> None:
        super().__init__(scope, id)
        self.new_home = self._new_home(network, service)
        self.old_home = self._old_home(network)
        self.balancer = self._balancer(network)
        self.balancer.add_listener(
            "Listener",
            # TLS needs a certificate: name one as `iac.certificate` in hikkoshi.yaml.
            port=settings.LISTENER_PORT,
            protocol=elbv2.ApplicationProtocol.HTTP,
            open=False,  # the network's stack says who may call
            default_action=self._weighted(),
        )
        cdk.CfnOutput(self, "Url", value=f"http://{self.balancer.load_balancer_dns_name}")

    def _new_home(
        self, network: NetworkStack, service: ecs.FargateService
    ) -> elbv2.ApplicationTargetGroup:
        return elbv2.ApplicationTargetGroup(
            self,
            "NewHome",
            target_group_name="genba",
            vpc=network.vpc,
            port=settings.CONTAINER_PORT,
            protocol=elbv2.ApplicationProtocol.HTTP,
            target_type=elbv2.TargetType.IP,
            targets=[
                service.load_balancer_target(
                    container_name=settings.CONTAINER, container_port=settings.CONTAINER_PORT
                )
            ],
            health_check=self._health_check(),
            deregistration_delay=cdk.Duration.seconds(30),
        )

    def _old_home(self, network: NetworkStack) -> elbv2.ApplicationTargetGroup:
        return elbv2.ApplicationTargetGroup(
            self,
            "OldHome",
            vpc=network.vpc,
            port=settings.OLD_PORT,
            protocol=elbv2.ApplicationProtocol.HTTP,
            target_type=elbv2.TargetType.INSTANCE,
            targets=[targets.InstanceIdTarget(instance) for instance in settings.OLD_INSTANCES],
            health_check=self._health_check(),
            deregistration_delay=cdk.Duration.seconds(30),
        )

    def _balancer(self, network: NetworkStack) -> elbv2.ApplicationLoadBalancer:
        balancer = elbv2.ApplicationLoadBalancer(
            self,
            "Balancer",
            vpc=network.vpc,
            internet_facing=True,
            security_group=network.balancer,
            drop_invalid_header_fields=True,
        )
        logs = s3.Bucket(
            self,
            "AccessLogs",
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            lifecycle_rules=[s3.LifecycleRule(expiration=cdk.Duration.days(90))],
        )
        balancer.log_access_logs(logs)
        acknowledge(
            logs,
            "AwsSolutions-S1",
            because="This bucket is the log; a log of the log helps nobody.",
        )
        return balancer

    def _weighted(self) -> elbv2.ListenerAction:
        context = self.node.try_get_context("new_home_weight")
        weight = settings.NEW_HOME_WEIGHT if context is None else int(context)
        return elbv2.ListenerAction.weighted_forward(
            [
                elbv2.WeightedTargetGroup(target_group=self.old_home, weight=100 - weight),
                elbv2.WeightedTargetGroup(target_group=self.new_home, weight=weight),
            ]
        )

    def _health_check(self) -> elbv2.HealthCheck:
        return elbv2.HealthCheck(
            path=settings.HEALTH_CHECK_PATH,
            interval=cdk.Duration.seconds(10),
            timeout=cdk.Duration.seconds(5),
            healthy_threshold_count=2,
            unhealthy_threshold_count=2,
            healthy_http_codes="200",
        )
