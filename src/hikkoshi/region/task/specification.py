"""From a container's definition and its image to the specification an engine starts: pure."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Mapping

from hikkoshi.region.engine.port import CannotStartContainer, ContainerSpec, Image, Mount
from hikkoshi.region.ports import TaskOrder
from hikkoshi.region.task.definition import ContainerDefinition


def runtime_id(order: TaskOrder, container: str) -> str:
    """Fargate's form: the task's id, a dash, ten digits."""
    return f"{order.task_id}-{zlib.crc32(f'{order.task_arn}/{container}'.encode()):010d}"


def container_arn(order: TaskOrder, container: str) -> str:
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"{order.task_arn}/{container}")
    return (
        f"arn:aws:ecs:{order.region}:{order.account_id}:container/"
        f"{order.cluster_name}/{order.task_id}/{identity}"
    )


def host_name(order: TaskOrder, address: str) -> str:
    """What a container sees as its host name in awsvpc mode."""
    return f"ip-{address.replace('.', '-')}.{order.region}.compute.internal"


def argv(container: ContainerDefinition, image: Image) -> tuple[str, ...]:
    """Docker's merge: an entryPoint in the definition clears the image's command."""
    if container.entry_point is not None:
        words = (*container.entry_point, *(container.command or ()))
    else:
        command = image.command if container.command is None else container.command
        words = (*image.entry_point, *command)
    if not words:
        raise CannotStartContainer("no command specified")
    return words


def aws_environment(
    order: TaskOrder, *, metadata_url: str, container_id: str, credentials_id: str | None
) -> dict[str, str]:
    """What Fargate puts into every container, whatever the definition says."""
    environment = {
        "ECS_CONTAINER_METADATA_URI_V4": f"{metadata_url}/v4/{container_id}",
        "ECS_AGENT_URI": f"{metadata_url}/api/{container_id}",
        "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
    }
    if credentials_id is not None:
        environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = f"/v2/credentials/{credentials_id}"
    return environment


def environment(
    container: ContainerDefinition,
    image: Image,
    order: TaskOrder,
    *,
    extra: Mapping[str, str],
    files: Mapping[str, str],
    secrets: Mapping[str, str],
    from_aws: Mapping[str, str],
) -> dict[str, str]:
    """Weakest first: the region's name, the image, the region's own, the definition's files, its
    environment, its secrets, AWS's own. PATH, HOME and HOSTNAME are the engine's to add, as they
    are Docker's."""
    merged = {"AWS_REGION": order.region, "AWS_DEFAULT_REGION": order.region}
    merged.update(image.environment or {})
    merged.update(extra)
    merged.update(files)
    merged.update(container.environment)
    merged.update(secrets)
    merged.update(from_aws)
    return merged


def specification(
    container: ContainerDefinition,
    image: Image,
    *,
    container_id: str,
    host: str,
    environment: Mapping[str, str],
    mounts: tuple[Mount, ...],
) -> ContainerSpec:
    """Raises CannotStartContainer if there is nothing to run."""
    return ContainerSpec(
        container_id=container_id,
        name=container.name,
        image=image,
        argv=argv(container, image),
        environment=environment,
        working_directory=container.working_directory or image.working_directory or "/",
        user=container.user or image.user,
        hostname=host,
        mounts=mounts,
        ulimits=container.ulimits,
        cpu_units=container.cpu_units,
        memory_mib=container.memory_mib,
        has_read_only_root=container.has_read_only_root,
        tmpfs=container.tmpfs,
        added_capabilities=container.added_capabilities,
        dropped_capabilities=container.dropped_capabilities,
    )
