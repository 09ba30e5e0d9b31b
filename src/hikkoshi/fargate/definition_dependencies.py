"""dependsOn: known names, conditions that can come true, and no circle (C1, C4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hikkoshi.fargate.problem import Problem

_CONDITIONS = ("START", "COMPLETE", "SUCCESS", "HEALTHY")
Document = Mapping[str, Any]


def check_dependencies(document: Document) -> Iterator[Problem]:
    entries = [
        (index, entry)
        for index, entry in enumerate(document.get("containerDefinitions") or [])
        if isinstance(entry, Mapping)
    ]
    by_name = {str(entry.get("name")): entry for _, entry in entries}
    for index, entry in entries:
        for position, dependency in enumerate(entry.get("dependsOn") or []):
            where = ("containerDefinitions", index, "dependsOn", position)
            for key, message in _judge(str(entry.get("name")), dependency, by_name):
                yield Problem((*where, key), message)
    circle = find_circle(
        {
            str(entry.get("name")): [
                str(dependency.get("containerName")) for dependency in entry.get("dependsOn") or []
            ]
            for _, entry in entries
        }
    )
    if circle:
        first = next(index for index, entry in entries if entry.get("name") == circle[0])
        yield Problem(
            ("containerDefinitions", first, "dependsOn"),
            "Container dependencies must not form a circle: " + " → ".join(circle) + ".",
        )


def _judge(
    name: str, dependency: Document, by_name: Mapping[str, Document]
) -> Iterator[tuple[str, str]]:
    target_name = str(dependency.get("containerName"))
    condition = dependency.get("condition")
    target = by_name.get(target_name)
    if target is None:
        yield (
            "containerName",
            f"Container '{name}' depends on container '{target_name}', which does not exist in "
            "the task definition.",
        )
        return
    if condition not in _CONDITIONS:
        yield "condition", f"Unknown condition '{condition}': use {', '.join(_CONDITIONS)}."
    if condition in ("COMPLETE", "SUCCESS") and target.get("essential", True):
        yield (
            "condition",
            f"Container '{name}' cannot depend on the essential container '{target_name}' with "
            f"condition {condition}: its end would stop the task.",
        )
    if condition == "HEALTHY" and not target.get("healthCheck"):
        yield (
            "condition",
            f"Container '{name}' depends on '{target_name}' to be HEALTHY, but '{target_name}' "
            "has no healthCheck in the task definition.",
        )


def find_circle(graph: Mapping[str, list[str]]) -> list[str]:
    """The names along one circle, the first repeated at the end; [] where there is none.

    Without recursion: a document can name ten thousand containers in one chain.
    """
    done: set[str] = set()
    for root in graph:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, bool]] = [(root, False)]
        while stack:
            name, is_leaving = stack.pop()
            if is_leaving:
                path.pop()
                on_path.discard(name)
                done.add(name)
                continue
            if name in on_path:
                return [*path[path.index(name) :], name]
            if name in done or name not in graph:
                continue
            path.append(name)
            on_path.add(name)
            stack.append((name, True))
            stack.extend((target, False) for target in reversed(graph[name]))
    return []
