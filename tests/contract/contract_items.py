"""C1 to C22: what ECS on Fargate does, as docs/conformance.md lists it."""

from __future__ import annotations

GUIDE = "ECS developer guide"
AGENT = "ecs-agent"
TRACE = "published traces of a real service"

ITEMS: dict[str, tuple[str, str]] = {
    "C1": ("Fargate's sizes and a definition's rules are checked, in AWS's words", GUIDE),
    "C2": ("PROVISIONING to STOPPED, desiredStatus first; a stopped task stays to be read", GUIDE),
    "C3": ("stopCode and stoppedReason; out of memory is told on the container", TRACE),
    "C4": ("dependsOn: START, COMPLETE, SUCCESS, HEALTHY; what cannot hold ends with 143", AGENT),
    "C5": ("startTimeout of a dependency stops the task", AGENT),
    "C6": ("stop: dependents first, SIGTERM, SIGKILL after stopTimeout (137)", AGENT),
    "C7": ("an essential container's end stops the task, another's does not", GUIDE),
    "C8": ("container health; a standalone unhealthy task goes on", GUIDE),
    "C9": ("ulimits and the task's memory are caps", GUIDE),
    "C10": ("one network namespace and one address a task", GUIDE),
    "C11": ("secrets come before any container, or the task does not start", GUIDE),
    "C12": ("an image that cannot be pulled stops the task, essential or not", GUIDE),
    "C13": ("metadata v4 and credentials at 169.254.170.2", AGENT),
    "C14": ("FireLens: driver, router, its configuration, ECS metadata on records", AGENT),
    "C15": ("a rolling deploy keeps the floor and the cap", GUIDE),
    "C16": ("the circuit breaker ends a deploy whose tasks fail", GUIDE),
    "C17": ("it rolls back to the last completed deployment", GUIDE),
    "C18": ("healthCheckGracePeriodSeconds shields a start", GUIDE),
    "C19": ("targets: registered after RUNNING, initial, healthy, draining", GUIDE),
    "C20": ("the scheduler drains before SIGTERM", TRACE),
    "C21": ("deployments and events, in AWS's words", TRACE),
    "C22": ("tasks that never ran are started ever more slowly", GUIDE),
}
