"""The log router's socket directory and generated configuration (C14)."""

from __future__ import annotations

from contextlib import AsyncExitStack

from hikkoshi.region.engine.port import Mount
from hikkoshi.region.task.firelens import (
    CONFIG_PATHS,
    ROUTER_ENVIRONMENT,
    SOCKET_DIRECTORY,
    SOCKET_NAME,
    FirelensError,
    Identity,
    router_configuration,
    secret_variable,
    users_of_router,
)
from hikkoshi.region.task.setup import Setup, StartFailedError

# struct sockaddr_un on Linux.
_LONGEST_SOCKET_PATH = 107


async def prepare(setup: Setup, undo: AsyncExitStack) -> None:
    """Nothing, for a task without router; its files lie in the task's directory."""
    definition = setup.definition
    users = users_of_router(definition)
    router = definition.router
    if router is None and not users:
        return
    try:
        text = router_configuration(
            definition,
            Identity(
                setup.order.cluster_name,
                setup.order.task_arn,
                f"{definition.family}:{definition.revision}",
            ),
        )
    except FirelensError as error:
        raise StartFailedError(
            f"ResourceInitializationError: failed to create firelens config: {error}"
        ) from error
    assert router is not None and router.firelens is not None
    config = setup.directory / "fluent.conf"
    config.write_text(text, encoding="utf-8")
    socket_directory = setup.directory / "s"
    socket_directory.mkdir()
    socket_directory.chmod(0o777)  # the router may run as any user
    setup.router_socket = socket_directory / SOCKET_NAME
    if len(str(setup.router_socket)) > _LONGEST_SOCKET_PATH:
        raise StartFailedError(
            f"ResourceInitializationError: {setup.router_socket} is too long for a unix socket; "
            "give the region a shorter run directory"
        )
    setup.mounts[router.name] = (
        *setup.mounts.get(router.name, ()),
        Mount(config, CONFIG_PATHS[router.firelens.kind], is_read_only=True),
        Mount(socket_directory, SOCKET_DIRECTORY.rstrip("/")),
    )
    for index, container in enumerate(definition.containers):
        if container.log is None or container not in users:
            continue
        setup.given_environment[container.name] = dict(ROUTER_ENVIRONMENT)
        for secret in container.log.secret_options:
            value = setup.log_secrets[container.name][secret.name]
            setup.router_secrets[secret_variable(secret, index)] = value
