"""Capacity providers: FARGATE and FARGATE_SPOT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hikkoshi.region.ecs import errors
from hikkoshi.region.ecs.decisions.capacity import Share, place

SPOT = "FARGATE_SPOT"
PROVIDERS = ("FARGATE", SPOT)


def providers_of(
    strategy: tuple[dict[str, Any], ...], count: int, running: Mapping[str, int] | None = None
) -> list[str | None]:
    """The capacity provider of each of `count` new tasks; None each, without a strategy."""
    if not strategy:
        return [None] * count
    shares = [
        Share(item["capacityProvider"], item.get("base", 0), item.get("weight", 0))
        for item in strategy
    ]
    return list(place(shares, count, running or {}))


def check_providers(providers: tuple[str, ...], strategy: tuple[dict[str, Any], ...]) -> None:
    for name in providers:
        if name not in PROVIDERS:
            raise errors.invalid_parameter(
                f"The specified capacity provider '{name}' was not found. Specify a valid name or "
                "ARN and try again."
            )
    for item in strategy:
        if item["capacityProvider"] not in providers:
            raise errors.invalid_parameter(
                "The specified capacity provider strategy cannot contain a capacity provider that "
                "is not associated with the cluster. Associate the capacity provider with the "
                "cluster and try again."
            )
