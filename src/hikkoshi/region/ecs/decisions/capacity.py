"""Which capacity provider the next tasks go to (base and weight of a strategy)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """One item of a capacityProviderStrategy."""

    provider: str
    base: int = 0
    weight: int = 0


def place(strategy: Sequence[Share], count: int, running: Mapping[str, int]) -> list[str]:
    """The provider of each of `count` new tasks, beside those that each provider runs already.

    The base is filled first; what is beyond it is kept as near as whole tasks allow to the ratio
    of the weights. A provider of weight 0 gets its base only; a strategy's only provider takes
    all, whatever its weight (CapacityProviderStrategyItem, botocore's model).
    """
    if len(strategy) == 1:
        return [strategy[0].provider] * count
    held = {share.provider: running.get(share.provider, 0) for share in strategy}
    chosen = []
    for _ in range(count):
        provider = _next(strategy, held)
        held[provider] += 1
        chosen.append(provider)
    return chosen


def _next(strategy: Sequence[Share], held: Mapping[str, int]) -> str:
    for share in strategy:
        if held[share.provider] < share.base:
            return share.provider
    weighed = [share for share in strategy if share.weight > 0]
    if not weighed:
        raise ValueError("a strategy of several providers needs a weight above 0")

    def fill(share: Share) -> float:
        """How full it would be, beside its weight, with one more."""
        return (held[share.provider] - share.base + 1) / share.weight

    return min(weighed, key=fill).provider
