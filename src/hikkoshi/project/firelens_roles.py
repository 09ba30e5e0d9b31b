"""FireLens with its roles swapped: a form that AWS takes, and that never delivers a line.

`firelensConfiguration` belongs on the log router and `awsfirelens` on whoever logs to it. AWS only
checks that both are there. Which container is the router is known from its image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hikkoshi.fargate.problem import Problem
from hikkoshi.model.project import ImageSettings

# A container that is called so plays that part, whatever its image is called.
_ROUTER_NAME = re.compile(r"fluent[-_]?bit|fluentd|td-agent|log[-_]?router", re.IGNORECASE)
_ROUTER = re.compile(r"fluent-?bit|fluentd|td-agent|log[-_]?router|firelens", re.IGNORECASE)


def check_firelens_roles(
    definition: Mapping[str, Any],
    service: Mapping[str, Any],
    images: Mapping[str, ImageSettings],
) -> Iterator[Problem]:
    """One problem for each container that plays the other's part."""
    behind_balancer = {b.get("containerName") for b in service.get("loadBalancers", [])}
    containers = list(enumerate(definition["containerDefinitions"]))
    has_router_image = any(_is_router(c, images) for _, c in containers)
    for index, container in containers:
        is_router = _is_router(container, images)
        where = ("containerDefinitions", index)
        if container.get("firelensConfiguration") and not is_router:
            serves = container["name"] in behind_balancer
            if serves or has_router_image:
                what = "serves the load balancer" if serves else "is no log router by its image"
                yield Problem(
                    (*where, "firelensConfiguration"),
                    f"firelensConfiguration stands on {container['name']!r}, which {what}: the "
                    "roles are swapped, and no log line would be delivered",
                    "put firelensConfiguration on the log router (the Fluent Bit container), and "
                    '"logDriver": "awsfirelens" on the application',
                )
        driver = container.get("logConfiguration", {}).get("logDriver")
        if driver == "awsfirelens" and is_router:
            yield Problem(
                (*where, "logConfiguration", "logDriver"),
                f"the log router {container['name']!r} has awsfirelens as its own log driver: it "
                "would send its lines to itself",
                "give the router awslogs or no logConfiguration, and the application awsfirelens",
            )


def _is_router(container: Mapping[str, Any], images: Mapping[str, ImageSettings]) -> bool:
    return is_router_image(container["image"], images) or bool(
        _ROUTER_NAME.search(container["name"])
    )


def is_router_image(image: str, images: Mapping[str, ImageSettings]) -> bool:
    """By its repository's name, or by what hikkoshi.yaml makes it from."""
    how = images.get(image)
    made_from = how.embedded.from_ if how is not None and how.embedded is not None else ""
    repository = image.rsplit("/", 1)[-1]
    return bool(_ROUTER.search(repository) or _ROUTER.search(made_from))
