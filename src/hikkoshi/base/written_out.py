"""How large a YAML document is once its aliases are written out: a few lines of them can stand for
billions of items, which whoever walks over the values would visit one by one."""

from __future__ import annotations

import math
from typing import Any

MOST_NODES = 200_000
"""Own cut: a template of AWS's largest size (1 MB, 500 resources) has a tenth of it."""


def written_out(node: Any) -> float:
    """Keys, values and items of a composed node, what an alias names counted each time; infinite
    if one lies inside itself. node: of PyYAML's `compose`, whose mappings' values are pairs."""
    counted: dict[int, float] = {}

    def count(one: Any) -> float:
        if id(one) in counted:
            return counted[id(one)]
        counted[id(one)] = math.inf  # Until it is known: met again before, it is inside itself.
        total = 1.0
        if isinstance(one.value, list):
            for item in one.value:
                total += sum(map(count, item)) if isinstance(item, tuple) else count(item)
        counted[id(one)] = total
        return total

    return 0.0 if node is None else count(node)
