"""Aurora, and the one secret by which the service finds it."""

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

import settings
from stacks.network import NetworkStack
from stacks.rules import acknowledge


class DatabaseStack(cdk.Stack):
    """A writer and its readers, in subnets that lead nowhere."""

    def __init__(self, scope: Construct, id: str, *, network: NetworkStack, **kwargs) -> None:
        super().__init__(scope, id, **kwargs)
        engine = rds.DatabaseClusterEngine.aurora_postgres(
            version=rds.AuroraPostgresEngineVersion.of("16.8", "16")
        )
        size = ec2.InstanceType.of(ec2.InstanceClass.T4G, ec2.InstanceSize.MEDIUM)
        self.cluster = rds.DatabaseCluster(
            self,
            "Cluster",
            cluster_identifier=settings.DATABASE_CLUSTER,
            engine=engine,
            parameter_group=rds.ParameterGroup(
                self,
                "Parameters",
                engine=engine,
                description=f"What {settings.SERVICE} asks of Aurora",
                parameters=settings.DATABASE_PARAMETERS,
            ),
            writer=rds.ClusterInstance.provisioned("Writer", instance_type=size),
            readers=[
                rds.ClusterInstance.provisioned(f"Reader{number}", instance_type=size)
                for number in range(1, settings.DATABASE_READERS + 1)
            ],
            vpc=network.vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            security_groups=[network.database],
            default_database_name=settings.DATABASE_NAME,
            # The password goes into a URL: no character of it may mean something there.
            credentials=rds.Credentials.from_generated_secret(
                settings.DATABASE_USER, exclude_characters=" %+~`#$&*()|[]{}:;<>?!'/@\"\\^,=-."
            ),
            iam_authentication=True,
            storage_encrypted=True,
            deletion_protection=True,
            backup=rds.BackupProps(retention=cdk.Duration.days(14)),
            cloudwatch_logs_exports=["postgresql"],
            removal_policy=cdk.RemovalPolicy.SNAPSHOT,
        )
        self.database_url = self._url(
            "DatabaseUrl",
            "genba/database-url",
            "postgresql://{user}:{password}@{endpoint}:{port}/{name}",
        )
        self._acknowledge()

    def _url(self, id: str, name: str, shape: str) -> secretsmanager.Secret:
        """The secret by which a container finds the database.

        The password in it is a reference that CloudFormation resolves; no template holds it."""
        master = self.cluster.secret
        url = shape.format(
            user=settings.DATABASE_USER,
            password=master.secret_value_from_json("password").unsafe_unwrap(),
            endpoint=self.cluster.cluster_endpoint.hostname,
            port=cdk.Token.as_string(self.cluster.cluster_endpoint.port),
            name=settings.DATABASE_NAME,
        )
        return secretsmanager.Secret(
            self,
            id,
            secret_name=name,
            description=f"How {settings.SERVICE} reaches its database",
            secret_string_value=cdk.SecretValue.unsafe_plain_text(url),
        )

    def _acknowledge(self) -> None:
        acknowledge(
            self,
            "AwsSolutions-SMG4",
            because="The service reads its URL when a task starts: rotation would cut it off.",
        )
        acknowledge(
            self,
            "AwsSolutions-RDS11",
            because="The port is no secret: the security group lets only the tasks in.",
        )
