"""A task definition, whole or a part of one as examples show it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hikkoshi.fargate.definition import check_task_definition
from hikkoshi.fargate.problem import Problem
from hikkoshi.model.project import ImageSettings
from hikkoshi.project.aws_shapes import input_shape, output_member_shape, shape_problems
from hikkoshi.project.firelens_roles import check_firelens_roles, is_router_image

Found = tuple[str, Problem]
"""(rule, what and where)."""

_SECRET_NAME = re.compile(
    r"(^|_)(PASSWORD|PASSWD|PWD|SECRET|TOKEN|API_?KEY|APIKEY|PRIVATE_KEY|ACCESS_KEY|CREDENTIALS?)($|_)",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"^[a-z][a-z0-9+.-]*://[^/:@\s]+:[^@/\s]+@", re.IGNORECASE)
_SIDECAR = re.compile(
    r"xray|x-ray|otel|opentelemetry|datadog|newrelic|statsd|cloudwatch-agent|envoy", re.IGNORECASE
)


def lint_task_definition(
    definition: Mapping[str, Any],
    *,
    service: Mapping[str, Any] | None = None,
    images: Mapping[str, ImageSettings] | None = None,
    is_part: bool = False,
) -> Iterator[Found]:
    """is_part: containers without the rest of a definition; what is missing is not held against
    them. service: the service definition beside it, where it is known."""
    shape = input_shape("ecs", "RegisterTaskDefinition")
    shown = output_member_shape("ecs", "DescribeTaskDefinition", "taskDefinition")
    # A file that was once AWS's answer: what AWS only shows is left out when it is deployed.
    told = set(shown.members) - set(shape.members)
    broken = [
        problem
        for problem in shape_problems(definition, shape)
        if not (len(problem.path) == 1 and problem.path[0] in told)
    ]
    for problem in broken:
        if not (is_part and "is missing in" in problem.message):
            yield "aws-has-no-such-key", problem
    containers = [c for c in definition.get("containerDefinitions") or [] if isinstance(c, dict)]
    roles = list(_roles(definition, service or {}, images or {}))
    swapped = {problem.path for problem in roles}
    for problem in roles:
        yield "swaps-the-firelens-roles", problem
    if not broken and not is_part:
        for problem in check_task_definition(definition):
            if problem.path not in swapped:
                yield "is-refused-by-fargate", problem
    for index, container in enumerate(containers):
        where = ("containerDefinitions", index)
        yield from _container(container, where, images or {}, len(containers))
    if service is not None:
        yield from _health(containers, service)


def _roles(
    definition: Mapping[str, Any],
    service: Mapping[str, Any],
    images: Mapping[str, ImageSettings],
) -> Iterator[Problem]:
    """Parts of documents may lack the names that the check reads."""
    containers = [
        {"name": "", "image": "", **c}
        for c in definition.get("containerDefinitions") or []
        if isinstance(c, dict)
    ]
    whole = {**definition, "containerDefinitions": containers}
    yield from check_firelens_roles(whole, service, images)


def _container(
    container: Mapping[str, Any],
    where: tuple[str | int, ...],
    images: Mapping[str, ImageSettings],
    count: int,
) -> Iterator[Found]:
    name, image = str(container.get("name", "")), str(container.get("image", ""))
    is_router = is_router_image(image, images)
    is_sidecar = is_router or _SIDECAR.search(image.rsplit("/", 1)[-1]) is not None
    if is_sidecar and count > 1 and container.get("essential", True) is not False:
        said = "" if "essential" in container else " (true is the default)"
        yield (
            "sidecar-is-essential",
            Problem(
                (*where, "essential"),
                f"{name!r} is a sidecar and essential{said}: when it ends, the task ends, and "
                "the application with it",
                'write "essential": false; give it a healthCheck or restartPolicy to bring it back',
            ),
        )
    if "logConfiguration" not in container and not is_sidecar and image:
        yield (
            "has-no-log-configuration",
            Problem(
                where,
                f"what {name!r} writes to stdout is kept nowhere",
                'give it a logConfiguration with "awsfirelens" or "awslogs"',
            ),
        )
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    if image and "@sha256:" not in image and tag in ("", "latest"):
        yield (
            "names-an-image-that-moves",
            Problem(
                (*where, "image"),
                f"the image {image!r} has " + ("the tag latest" if tag else "no tag"),
                "name a version or a digest (@sha256:…)",
            ),
        )
    yield from _secrets(container, where)


def _secrets(container: Mapping[str, Any], where: tuple[str | int, ...]) -> Iterator[Found]:
    for index, entry in enumerate(container.get("environment") or []):
        if not isinstance(entry, dict):
            continue
        name, value = str(entry.get("name", "")), str(entry.get("value", ""))
        is_reference = value.startswith(("arn:", "/")) or not value
        if (_SECRET_NAME.search(name) and not is_reference) or _URL_PASSWORD.match(value):
            yield (
                "keeps-a-secret-in-the-open",
                Problem(
                    (*where, "environment", index),
                    f"the value of {name!r} looks like a secret and stands in the open",
                    "keep it in Secrets Manager or SSM, and name it under `secrets` with valueFrom",
                ),
            )


def _health(containers: list[dict[str, Any]], service: Mapping[str, Any]) -> Iterator[Found]:
    if service.get("loadBalancers") or any(c.get("healthCheck") for c in containers):
        return
    yield (
        "has-no-health-check",
        Problem(
            ("containerDefinitions", 0),
            "nothing tells ECS that the application is well: no container has a healthCheck, and "
            "the service is behind no load balancer",
            'give the application\'s container a "healthCheck"',
        ),
    )
