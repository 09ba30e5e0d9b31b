"""FireLens' roles: one router, which does not log to itself, and someone who logs to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hikkoshi.fargate.problem import Problem

Document = Mapping[str, Any]
_TYPES = ("fluentd", "fluentbit")


def check_firelens(document: Document) -> Iterator[Problem]:
    entries = [
        (index, entry)
        for index, entry in enumerate(document.get("containerDefinitions") or [])
        if isinstance(entry, Mapping)
    ]
    routers = [(index, entry) for index, entry in entries if entry.get("firelensConfiguration")]
    senders = [(index, entry) for index, entry in entries if _driver(entry) == "awsfirelens"]
    if senders and not routers:
        yield Problem(
            ("containerDefinitions", senders[0][0], "logConfiguration", "logDriver"),
            "When a container uses the awsfirelens log driver, exactly one container has to be "
            "configured with a firelensConfiguration object.",
            f"'{senders[0][1].get('name')}' has nobody to send to: add firelensConfiguration to "
            "the log router's container",
        )
    if routers and not senders:
        yield Problem(
            ("containerDefinitions", routers[0][0], "firelensConfiguration"),
            "When a firelensConfiguration object is specified, at least one container has to be "
            "configured with the awsfirelens log driver.",
        )
    for index, entry in routers[1:]:
        yield Problem(
            ("containerDefinitions", index, "firelensConfiguration"),
            "At most one container in a task definition can have a firelensConfiguration object.",
            f"'{routers[0][1].get('name')}' has one already; keep it on the log router only "
            f"(is '{entry.get('name')}' the application?)",
        )
    for index, entry in routers:
        yield from _check_router(index, entry)


def _check_router(index: int, entry: Document) -> Iterator[Problem]:
    name = entry.get("name")
    where = ("containerDefinitions", index)
    if _driver(entry) == "awsfirelens":
        yield Problem(
            (*where, "logConfiguration", "logDriver"),
            "A container with a firelensConfiguration object cannot use the awsfirelens log "
            "driver itself.",
            f"'{name}' is the log router: give it awslogs, or no logConfiguration",
        )
    configuration = entry["firelensConfiguration"]
    if configuration.get("type") not in _TYPES:
        yield Problem(
            (*where, "firelensConfiguration", "type"),
            f"The type of a firelensConfiguration must be {' or '.join(_TYPES)}.",
        )
    options = configuration.get("options") or {}
    kind = options.get("config-file-type")
    place = (*where, "firelensConfiguration", "options")
    if kind is not None and kind != "file":
        yield Problem(
            (*place, "config-file-type"),
            f"Fargate launch type does not support FirelensConfiguration config file from "
            f"'{kind}'.",
            "on Fargate it is 'file': put the configuration into the router's image",
        )
    if (kind is None) != (options.get("config-file-value") is None):
        yield Problem(
            place,
            "config-file-type and config-file-value have to be given together in "
            "firelensConfiguration.",
        )
    is_metadata = options.get("enable-ecs-log-metadata")
    if is_metadata is not None and str(is_metadata).lower() not in ("true", "false"):
        yield Problem(
            (*place, "enable-ecs-log-metadata"), "enable-ecs-log-metadata must be true or false."
        )


def _driver(entry: Document) -> str | None:
    log = entry.get("logConfiguration")
    return log.get("logDriver") if isinstance(log, Mapping) else None
