"""environmentFiles: objects in S3, in the format of Docker's --env-file."""

from __future__ import annotations

from contextlib import AsyncExitStack

from hikkoshi.region.ports import ObjectNotFound, ObjectStore
from hikkoshi.region.task.setup import Setup, StartFailedError, together

_PREFIX = "ResourceInitializationError: failed to download env files: "


async def prepare(setup: Setup, undo: AsyncExitStack) -> None:
    containers = setup.definition.containers
    wanted = list(dict.fromkeys(arn for one in containers for arn in one.environment_files))
    if not wanted:
        return
    store, region = setup.parts.secrets, setup.order.region
    if not isinstance(store, ObjectStore):
        raise StartFailedError(f"{_PREFIX}there is no S3 here")
    try:
        contents = await together({arn: store.read_object(arn, region) for arn in wanted})
        read = {arn: parse_environment_file(content) for arn, content in contents.items()}
    except (ObjectNotFound, ValueError) as error:
        raise StartFailedError(f"{_PREFIX}{error}") from error
    for container in containers:
        merged: dict[str, str] = {}
        for arn in container.environment_files:
            merged = read[arn] | merged
        setup.file_environment[container.name] = merged


def parse_environment_file(content: bytes) -> dict[str, str]:
    """Docker's reading: `NAME=VALUE` a line, the value as it stands, quotes and all. Blank lines,
    those that begin with #, and names alone (which Docker would take from its own environment)
    give nothing. ValueError in Docker's words."""
    values: dict[str, str] = {}
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError("env file contains invalid utf8 bytes") from error
    for line in lines:
        text = line.lstrip()
        if not text or text.startswith("#"):
            continue
        name, has_value, value = text.partition("=")
        if not name:
            raise ValueError(f"no variable name on line '{text}'")
        if any(character.isspace() for character in name):
            raise ValueError(f"variable '{name}' contains whitespaces")
        if has_value:
            values[name] = value
    return values
