"""How busy the whole machine is, from /proc/stat (proc_stat(5)), which no namespace hides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")


@dataclass(frozen=True, slots=True)
class Ticks:
    """Clock ticks of all processors since the machine started."""

    processors: int
    idle: int
    total: int


def parse(text: str) -> Ticks:
    """idle: idle and iowait. guest and guest_nice are in user and nice already."""
    lines = text.splitlines()
    counts = [int(cell) for cell in lines[0].split()[1:9]]
    processors = sum(line.startswith("cpu") for line in lines) - 1
    return Ticks(processors, counts[3] + counts[4], sum(counts))


def busy_share(earlier: Ticks, later: Ticks) -> float | None:
    """Pure; None when no time has passed."""
    total = later.total - earlier.total
    return None if total <= 0 else 1 - max(0, later.idle - earlier.idle) / total


def read() -> Ticks:
    return parse(STAT.read_text())
