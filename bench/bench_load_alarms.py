"""How often `hikkoshi load compare` cries wolf: pairs of runs that are the same but for noise.

    python bench/bench_load_alarms.py [--pairs 200]

Each run is slices of time whose level wanders (noise: its spread; alike: how much a slice is like
the one before it) with 60 requests each. *any*: some metric differs; *worse*: for the worse. What
must hold is 5 % for any.
"""

from __future__ import annotations

import argparse
import math
import random

from hikkoshi.load.compare import compare
from hikkoshi.load.timeline import Slice, Timeline

CASES = (
    (8, 0.1, 0.0), (12, 0.1, 0.0), (20, 0.3, 0.0), (40, 0.1, 0.0), (20, 0.3, 0.7), (40, 0.1, 0.7),
    (120, 0.1, 0.7), (300, 0.3, 0.9),
)  # fmt: skip


def run(name: str, seed: int, slices: int, noise: float, alike: float) -> Timeline:
    chance, level, made = random.Random(seed), 0.0, []
    for _ in range(slices):
        level = alike * level + chance.gauss(0, noise) * math.sqrt(1 - alike * alike)
        each = Slice(requests=60)
        each.latency.extend([math.exp(level - 3 + chance.gauss(0, 0.5)) for _ in range(60)])
        each.failed = sum(chance.random() < 0.02 * math.exp(2 * level) for _ in range(60))
        made.append(each)
    return Timeline(name, 0.0, 1.0, tuple(made))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=200)
    pairs = parser.parse_args().pairs
    for slices, noise, alike in CASES:
        found = [
            compare(*(run(name, 2 * n + at, slices, noise, alike) for at, name in enumerate("ab")))
            for n in range(pairs)
        ]
        any_share = sum(any(each.is_real for each in one.differences) for one in found) / pairs
        worse = sum(one.is_worse for one in found) / pairs
        print(
            f"{slices:>4} slices, noise {noise:.0%}, alike {alike:.1f}: any {any_share:.1%}, "
            f"worse {worse:.1%} of {pairs}"
        )


if __name__ == "__main__":
    main()
