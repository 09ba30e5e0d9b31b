"""The network, and who may talk to whom in it."""

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct

import settings
from stacks.rules import acknowledge


class NetworkStack(cdk.Stack):
    """The VPC and the security groups: the load balancer's, the tasks' and the database's."""

    def __init__(self, scope: Construct, id: str, **kwargs) -> None:
        super().__init__(scope, id, **kwargs)
        self.vpc = self._network()
        self.balancer = ec2.SecurityGroup(
            self,
            "BalancerSecurityGroup",
            vpc=self.vpc,
            description="The load balancer: open to the world",
            allow_all_outbound=False,
        )
        self.tasks = ec2.SecurityGroup(
            self,
            "TasksSecurityGroup",
            vpc=self.vpc,
            description="The tasks: they go out for images, secrets, logs and traces",
        )
        self.database = ec2.SecurityGroup(
            self,
            "DatabaseSecurityGroup",
            vpc=self.vpc,
            description="The database: open to the tasks only",
            allow_all_outbound=False,
        )
        self._open_doors()

    def _network(self) -> ec2.IVpc:
        vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=2,
            nat_gateways=1,  # one is cheaper, two outlive the loss of a zone
            subnet_configuration=[
                ec2.SubnetConfiguration(name="public", subnet_type=ec2.SubnetType.PUBLIC),
                ec2.SubnetConfiguration(
                    name="tasks", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS
                ),
                ec2.SubnetConfiguration(
                    name="database", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED
                ),
            ],
        )
        vpc.add_flow_log(
            "FlowLog",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(
                logs.LogGroup(
                    self,
                    "FlowLogs",
                    retention=logs.RetentionDays.ONE_MONTH,
                    removal_policy=cdk.RemovalPolicy.DESTROY,
                )
            ),
            traffic_type=ec2.FlowLogTrafficType.REJECT,
        )
        # Layers of images come from S3: by this door they cost nothing and pass no NAT gateway.
        vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        return vpc

    def _open_doors(self) -> None:
        self.balancer.add_ingress_rule(
            ec2.Peer.any_ipv4(), ec2.Port.tcp(settings.LISTENER_PORT), "everyone"
        )
        self.tasks.connections.allow_from(
            self.balancer, ec2.Port.tcp(settings.CONTAINER_PORT), "the load balancer"
        )
        if settings.OLD_INSTANCES:
            self.balancer.add_egress_rule(
                ec2.Peer.ipv4(self.vpc.vpc_cidr_block),
                ec2.Port.tcp(settings.OLD_PORT),
                "the instances of the old home",
            )
        database_port = ec2.Port.tcp(5432)
        self.database.connections.allow_from(self.tasks, database_port, "the tasks")
        acknowledge(
            self.balancer,
            "AwsSolutions-EC23",
            because="A public load balancer is open to everyone.",
        )
