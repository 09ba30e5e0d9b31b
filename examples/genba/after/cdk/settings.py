"""What is decided about genba, in one place. The stacks only put it into AWS's words."""

SERVICE = "genba"
CLUSTER = "genba"
REGION = "ap-northeast-1"

# The images that are built here, and the tag of each. `-c image_tag=…` puts one tag in place of
# them all, as the pipeline does with the commit it has built.
IMAGE_TAGS = {"genba": "2.0.0", "genba-log-router": "2.0.0"}

# Tasks: never fewer than the first, never more than the second.
MINIMUM_TASKS = 2
MAXIMUM_TASKS = 8

# The load balancer asks each task here; a task that does not answer is replaced.
CONTAINER = "genba"
CONTAINER_PORT = 8080
LISTENER_PORT = 80
HEALTH_CHECK_PATH = "/health"

# The cutover. Of 100 requests so many go to the new home, the rest to the instances.
# `hikkoshi cutover` moves the weights of the listener step by step while the service runs; write
# here what it ended with, before a change of the listener is deployed. `-c new_home_weight=25`
# overrides it for one deploy.
NEW_HOME_WEIGHT = 100

# The instances of the old home, behind the same load balancer: their ids, and the port they serve.
OLD_INSTANCES: list[str] = []
OLD_PORT = 8080

DATABASE_CLUSTER = "genba"
DATABASE_NAME = "genba"
DATABASE_USER = "genba"
DATABASE_READERS = 1
DATABASE_PARAMETERS = {"max_connections": "60"}

# The pipeline's source.
REPOSITORY = "genba/genba"
BRANCH = "main"
CONNECTION_ARN = (
    "arn:aws:codeconnections:ap-northeast-1:123456789012:connection/"
    "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
)

# Who is told when an alarm rings; None: the topic is there, and nobody listens yet.
ALARM_EMAIL: str | None = None
# The limits that the rehearsal held the service to, in the alarms' words.
P99_SECONDS = 0.5
