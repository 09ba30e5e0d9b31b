"""Every secret of the task, before any container starts (C11)."""

from __future__ import annotations

from contextlib import AsyncExitStack

from hikkoshi.region.ports import SecretNotFound
from hikkoshi.region.task.setup import Setup, StartFailedError, together

_PREFIX = "ResourceInitializationError: unable to pull secrets or registry auth: "


async def prepare(setup: Setup, undo: AsyncExitStack) -> None:
    wanted = _wanted(setup)
    values = await _resolve_all(setup, wanted)
    for container in setup.definition.containers:
        setup.secret_environment[container.name] = {
            secret.name: values[secret.value_from] for secret in container.secrets
        }
        setup.log_secrets[container.name] = {
            secret.name: values[secret.value_from]
            for secret in (container.log.secret_options if container.log else ())
        }


def _wanted(setup: Setup) -> list[str]:
    """Each valueFrom once. Registry credentials must be there too, though no registry is asked."""
    wanted: dict[str, None] = {}
    for container in setup.definition.containers:
        log_secrets = container.log.secret_options if container.log else ()
        for secret in (*container.secrets, *log_secrets):
            wanted[secret.value_from] = None
        if container.registry_credentials:
            wanted[container.registry_credentials] = None
    return list(wanted)


async def _resolve_all(setup: Setup, wanted: list[str]) -> dict[str, str]:
    store, region = setup.parts.secrets, setup.order.region
    try:
        return await together({one: store.resolve(one, region) for one in wanted})
    except SecretNotFound as error:
        raise StartFailedError(f"{_PREFIX}{error}") from error
