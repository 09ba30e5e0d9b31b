"""What rings, and what is looked at when it has rung."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

import settings
from stacks.load_balancer import LoadBalancer

MINUTE = cdk.Duration.minutes(1)


class Watch(Construct):
    """Alarms for what users feel and for what runs out; one dashboard with all of it."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        service: ecs.FargateService,
        balancer: LoadBalancer,
    ) -> None:
        super().__init__(scope, id)
        self.topic = sns.Topic(self, "Topic", enforce_ssl=True)
        if settings.ALARM_EMAIL:
            self.topic.add_subscription(subscriptions.EmailSubscription(settings.ALARM_EMAIL))
        self._alarms: list[cloudwatch.Alarm] = []
        rows = [
            self._watch_requests(balancer),
            self._watch_tasks(service),
            self._watch_database(),
        ]
        dashboard = cloudwatch.Dashboard(self, "Dashboard", dashboard_name=settings.SERVICE)
        dashboard.add_widgets(
            cloudwatch.AlarmStatusWidget(title="Alarms", alarms=self._alarms, width=24)
        )
        for row in rows:
            dashboard.add_widgets(*row)

    def _watch_requests(self, balancer: LoadBalancer) -> list[cloudwatch.IWidget]:
        metrics = balancer.new_home.metrics
        failed = metrics.http_code_target(elbv2.HttpCodeTarget.TARGET_5XX_COUNT, period=MINUTE)
        slow = metrics.target_response_time(statistic="p99", period=MINUTE)
        unhealthy = metrics.unhealthy_host_count(period=MINUTE)
        self._ring("Failed", failed, 5, "More than five requests a minute fail.")
        self._ring("Slow", slow, settings.P99_SECONDS, "p99 is beyond what the rehearsal allowed.")
        self._ring("Unhealthy", unhealthy, 0, "A task does not answer its health check.")
        return [
            self._graph("Requests", metrics.request_count(period=MINUTE), failed),
            self._graph("Response time (s)", slow),
            self._graph("Healthy tasks", metrics.healthy_host_count(period=MINUTE), unhealthy),
        ]

    def _watch_tasks(self, service: ecs.FargateService) -> list[cloudwatch.IWidget]:
        cpu = service.metric_cpu_utilization(period=MINUTE)
        memory = service.metric_memory_utilization(period=MINUTE)
        self._ring("Cpu", cpu, 85, "The tasks have no CPU to spare: size them, or find what burns.")
        self._ring("Memory", memory, 85, "The tasks are about to be killed for their memory.")
        return [self._graph("CPU (%)", cpu), self._graph("Memory (%)", memory)]

    def _watch_database(self) -> list[cloudwatch.IWidget]:
        cpu = self._database_metric("CPUUtilization")
        connections = self._database_metric("DatabaseConnections")
        self._ring("DatabaseCpu", cpu, 80, "The database has no CPU to spare.")
        crowded = "80 % of max_connections are taken."
        self._ring("DatabaseConnections", connections, 48, crowded)
        return [self._graph("Database CPU (%)", cpu), self._graph("Connections", connections)]

    def _database_metric(self, name: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/RDS",
            metric_name=name,
            dimensions_map={"DBClusterIdentifier": settings.DATABASE_CLUSTER},
            statistic="Maximum",
            period=MINUTE,
        )

    def _ring(self, id: str, metric: cloudwatch.IMetric, above: float, words: str) -> None:
        """Three minutes in a row above it, and the topic hears of it, and of its end."""
        alarm = cloudwatch.Alarm(
            self,
            id,
            alarm_description=words,
            metric=metric,
            threshold=above,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=3,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        alarm.add_ok_action(actions.SnsAction(self.topic))
        self._alarms.append(alarm)

    @staticmethod
    def _graph(title: str, *metrics: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
        return cloudwatch.GraphWidget(title=title, left=list(metrics), width=8)
