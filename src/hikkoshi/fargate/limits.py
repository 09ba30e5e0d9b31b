"""Limits and defaults of ECS on Fargate, each with where it is written.

"Guide" is the Amazon ECS Developer Guide; "model" is botocore's service model of ECS.
"""

from __future__ import annotations

# Guide, "Task definition parameters for Fargate", startTimeout and stopTimeout (seconds).
MIN_TIMEOUT_S = 2
MAX_TIMEOUT_S = 120
DEFAULT_STOP_TIMEOUT_S = 30

# Guide, same page, healthCheck (seconds, counts). No startPeriod unless one is given.
HEALTH_INTERVAL_S = 30
HEALTH_TIMEOUT_S = 5
HEALTH_RETRIES = 3
HEALTH_INTERVAL_RANGE_S = (5, 300)
HEALTH_TIMEOUT_RANGE_S = (2, 60)
HEALTH_RETRIES_RANGE = (1, 10)
HEALTH_START_PERIOD_RANGE_S = (0, 300)

# Guide, "Amazon ECS service quotas".
MAX_CONTAINERS = 10
MAX_TASKS_A_RUN = 10
MAX_TARGET_GROUPS_A_SERVICE = 5
MAX_TAGS = 50
MAX_DESIRED_COUNT = 5000
MAX_EVENTS = 100
MAX_DEFINITION_BYTES = 64 * 1024

# Guide, "Task definition parameters for Fargate", ulimits and logConfiguration.
ULIMITS = ("nofile",)
NOFILE_DEFAULT = (65535, 65535)
LOG_DRIVERS = ("awslogs", "splunk", "awsfirelens")
NETWORK_MODE = "awsvpc"

# Model, ContainerRestartPolicy and EnvironmentFile.
RESTART_PERIOD_RANGE_S = (60, 1800)
MAX_IGNORED_EXIT_CODES = 50
MAX_ENVIRONMENT_FILES = 10

# Guide, "Send Amazon ECS logs to CloudWatch": what AWS takes for the driver awslogs, and no more.
AWSLOGS_OPTIONS = (
    "awslogs-create-group",
    "awslogs-datetime-format",
    "awslogs-format",
    "awslogs-group",
    "awslogs-multiline-pattern",
    "awslogs-region",
    "awslogs-stream-prefix",
    "max-buffer-size",
    "mode",
)

# Guide, "Task storage": GiB of ephemeral storage that can be asked for (20 come unasked).
EPHEMERAL_STORAGE_RANGE_GIB = (21, 200)

# Model, API_DeploymentConfiguration, for the REPLICA scheduler.
DEFAULT_MINIMUM_HEALTHY_PERCENT = 100
DEFAULT_MAXIMUM_PERCENT = 200

# Guide, "How the Amazon ECS deployment circuit breaker detects failures".
BREAKER_DEFAULT_PERCENT = 50
BREAKER_SMALLEST = 3
BREAKER_LARGEST = 200

# Guide, "Stopped tasks": how long DescribeTasks still knows a stopped task, at least.
STOPPED_TASK_KEPT_S = 3600.0

# Model, UpdateTaskProtectionRequest.expiresInMinutes.
PROTECTION_DEFAULT_MINUTES = 120
PROTECTION_RANGE_MINUTES = (1, 2880)
