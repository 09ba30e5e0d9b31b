"""Look-ups in Terraform's state, as `{{ tfstate `aws_subnet.private['a'].id` }}` asks for them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

_PART = re.compile(r"""\.?([A-Za-z0-9_-]+)|\[(\d+)\]|\[['"]([^'"]+)['"]\]""")


def find(state: dict[str, Any], address: str) -> str:
    """The value at `[module.NAME.][data.]TYPE.NAME[key].attribute…` or `output.NAME`.

    ValueError if the state has no such thing. Structures come as JSON, as tfstate-lookup does.
    """
    parts = _split(address)
    if parts[:1] == ["output"]:
        outputs = state.get("outputs", {})
        if len(parts) < 2 or parts[1] not in outputs:
            raise ValueError(f"the state has no {address}; outputs: {', '.join(outputs) or 'none'}")
        return _text(_walk(outputs[str(parts[1])].get("value"), parts[2:], address))
    module: list[str] = []
    while len(parts) > 2 and parts[0] == "module":
        step = f"module.{parts[1]}"
        parts = parts[2:]
        if parts and _is_key(parts[0]):
            step += f"[{json.dumps(parts.pop(0))}]"
        module.append(step)
    mode = "managed"
    if parts[:1] == ["data"]:
        mode, parts = "data", parts[1:]
    if len(parts) < 2:
        raise ValueError(f"{address!r} is no address; write TYPE.NAME.ATTRIBUTE")
    kind, name, *rest = parts
    for resource in state.get("resources", []):
        same = (resource.get("mode", "managed"), resource.get("type"), resource.get("name"))
        if same == (mode, kind, name) and resource.get("module", "") == ".".join(module):
            return _text(_walk(*_instance(resource, rest, address)))
    raise ValueError(f"the state has no resource {address!r}")


def reader(read: Callable[[], str]) -> Callable[[list[str]], str]:
    """The template function. The state is read once, when it is first asked for."""
    kept: list[dict[str, Any]] = []

    def tfstate(arguments: list[str]) -> str:
        if len(arguments) != 1:
            raise ValueError("tfstate wants one address")
        if not kept:
            kept.append(json.loads(read()))
        return find(kept[0], arguments[0])

    return tfstate


def _split(address: str) -> list[str | int]:
    parts: list[str | int] = []
    position = 0
    while position < len(address):
        match = _PART.match(address, position)
        if match is None:
            raise ValueError(f"{address!r} cannot be read at {address[position:]!r}")
        word, number, key = match.groups()
        parts.append(int(number) if number is not None else _Key(key) if key is not None else word)
        position = match.end()
    return parts


class _Key(str):
    """A key in brackets: `['a']`."""


def _is_key(part: str | int) -> bool:
    return isinstance(part, (_Key, int))


def _instance(
    resource: dict[str, Any], rest: list[str | int], address: str
) -> tuple[Any, list[str | int], str]:
    instances = resource.get("instances", [])
    if rest and _is_key(rest[0]) and any("index_key" in each for each in instances):
        wanted, rest = rest[0], rest[1:]
        instances = [each for each in instances if each.get("index_key") == wanted]
    if not instances:
        raise ValueError(f"the state has no instance {address!r}")
    return instances[0].get("attributes", instances[0].get("attributes_flat", {})), rest, address


def _walk(value: Any, path: list[str | int], address: str) -> Any:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"the state has nothing at {part!r} of {address!r}") from error
    return value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"))
