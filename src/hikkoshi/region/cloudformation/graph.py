"""The order of a template's resources: what is referred to comes first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_SUB = re.compile(r"\$\{([A-Za-z0-9]+)(?:\.[^}]*)?\}")


class CircularDependency(Exception):
    """The text names the resources."""


def dependency_order(resources: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Logical ids, each after all that it depends on; else in the template's order."""
    order: list[str] = []
    under_way: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        if name in under_way:
            ring = [*under_way[under_way.index(name) :], name]
            raise CircularDependency(
                f"Circular dependency between resources: [{', '.join(ring[:-1])}]"
            )
        under_way.append(name)
        for needed in dict.fromkeys(_needed(resources[name])):
            if needed in resources:
                visit(needed)
        under_way.pop()
        order.append(name)

    for name in resources:
        visit(name)
    return order


def _needed(resource: Mapping[str, Any]) -> Iterator[str]:
    named = resource.get("DependsOn", [])
    yield from [named] if isinstance(named, str) else named
    yield from dependencies(resource.get("Properties", {}))


def dependencies(value: Any) -> Iterator[str]:
    """Names in Ref, Fn::GetAtt and Fn::Sub, at any depth."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "Ref" and isinstance(item, str):
                yield item
            elif key == "Fn::GetAtt":
                yield item[0] if isinstance(item, list) else str(item).partition(".")[0]
            elif key == "Fn::Sub":
                yield from _SUB.findall(item[0] if isinstance(item, list) else str(item))
                if isinstance(item, list):
                    yield from dependencies(item[1])
            else:
                yield from dependencies(item)
    elif isinstance(value, list):
        for item in value:
            yield from dependencies(item)
