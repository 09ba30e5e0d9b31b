"""The task: the application, and each of its sidecars as a unit of its own."""

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

import settings
from stacks.database import DatabaseStack
from stacks.images import ImagesStack
from stacks.rules import acknowledge


class Task(Construct):
    """`definition` says what ecs-task-def.json says; what it leaves open is decided here.

    Its two roles may do what is granted here and nothing else: the execution role pulls these
    images and reads these secrets, the task role is the application's own."""

    def __init__(
        self, scope: Construct, id: str, *, images: ImagesStack, database: DatabaseStack
    ) -> None:
        super().__init__(scope, id)
        self.definition = ecs.FargateTaskDefinition(
            self,
            "Definition",
            family="genba",
            cpu=512,
            memory_limit_mib=1024,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.X86_64,
                operating_system_family=ecs.OperatingSystemFamily.LINUX,
            ),
        )
        # What a container says about itself when it has no log driver of its own: without it, a
        # router or a daemon that fails does so in silence.
        own_words = logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/ecs/{settings.SERVICE}",
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        datadog_api_key = secretsmanager.Secret.from_secret_name_v2(
            self,
            "DatadogApiKey",
            "genba/datadog-api-key",
        )
        genba = self.definition.add_container(
            "genba",
            image=images.image("genba"),
            stop_timeout=cdk.Duration.seconds(30),
            port_mappings=[ecs.PortMapping(container_port=8080)],
            environment={
                "PORT": "8080",
                "DB_MAX_OPEN": "8",
                "DB_MAX_IDLE_S": "60",
                "DB_MAX_LIFETIME_S": "900",
                "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
            },
            secrets={"DATABASE_URL": ecs.Secret.from_secrets_manager(database.database_url)},
            ulimits=[ecs.Ulimit(name=ecs.UlimitName.NOFILE, soft_limit=4096, hard_limit=4096)],
            logging=ecs.LogDrivers.firelens(
                options={
                    "Name": "datadog",
                    "Host": "http-intake.logs.ap1.datadoghq.com",
                    "TLS": "on",
                    "dd_service": "genba",
                    "dd_source": "python",
                    "dd_tags": "env:production",
                    "provider": "ecs",
                },
                secret_options={"apikey": ecs.Secret.from_secrets_manager(datadog_api_key)},
            ),
        )

        # FireLens: the application writes to stdout, this router decides what becomes of it.
        log_router = self.definition.add_firelens_log_router(
            "log-router",
            image=images.image("genba-log-router"),
            essential=False,
            memory_reservation_mib=64,
            enable_restart_policy=True,
            restart_attempt_period=cdk.Duration.seconds(60),
            logging=ecs.LogDrivers.aws_logs(stream_prefix="log-router", log_group=own_words),
            firelens_config=ecs.FirelensConfig(
                type=ecs.FirelensLogRouterType.FLUENTBIT,
                options=ecs.FirelensOptions(
                    enable_ecs_log_metadata=True,
                    config_file_type=ecs.FirelensConfigFileType.FILE,
                    config_file_value="/fluent-bit/configs/genba.conf",
                ),
            ),
        )

        # X-Ray's daemon: takes the spans by UDP and sends them on in batches.
        self.definition.add_container(
            "xray-daemon",
            image=ecs.ContainerImage.from_registry("public.ecr.aws/xray/aws-xray-daemon:3.x"),
            essential=False,
            memory_reservation_mib=64,
            port_mappings=[ecs.PortMapping(container_port=2000, protocol=ecs.Protocol.UDP)],
            logging=ecs.LogDrivers.aws_logs(stream_prefix="xray-daemon", log_group=own_words),
        )

        genba.add_container_dependencies(
            ecs.ContainerDependency(
                container=log_router,
                condition=ecs.ContainerDependencyCondition.START,
            ),
        )

        # X-Ray knows no resources: whoever may write traces may write them all.
        self.definition.add_to_task_role_policy(
            iam.PolicyStatement(
                actions=[
                    "xray:PutTraceSegments",
                    "xray:PutTelemetryRecords",
                    "xray:GetSamplingRules",
                    "xray:GetSamplingTargets",
                    "xray:GetSamplingStatisticSummaries",
                ],
                resources=["*"],
            )
        )
        self._acknowledge()

    def _acknowledge(self) -> None:
        acknowledge(
            self,
            "AwsSolutions-ECS2",
            because="The environment holds addresses and sizes; secrets are under `secrets`.",
        )
        acknowledge(
            self,
            "AwsSolutions-IAM5[Resource::*]",
            because="ecr:GetAuthorizationToken and X-Ray's actions take no resource.",
        )
