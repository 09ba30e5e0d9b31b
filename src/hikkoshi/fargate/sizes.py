"""The task sizes that Fargate sells: which memory goes with which CPU.

Source: Amazon ECS Developer Guide, "Task CPU and memory" under "Fargate task definition
differences" (Linux). CPU in units (1024 = one vCPU), memory in MiB.
"""

from __future__ import annotations

import math
import re

_GIB = 1024

# cpu units → (smallest, largest, step) in MiB. 256 is the exception: three sizes, no step.
_RANGES: dict[int, tuple[int, int, int]] = {
    512: (1 * _GIB, 4 * _GIB, 1 * _GIB),
    1024: (2 * _GIB, 8 * _GIB, 1 * _GIB),
    2048: (4 * _GIB, 16 * _GIB, 1 * _GIB),
    4096: (8 * _GIB, 30 * _GIB, 1 * _GIB),
    8192: (16 * _GIB, 60 * _GIB, 4 * _GIB),
    16384: (32 * _GIB, 120 * _GIB, 8 * _GIB),
}
_SMALLEST = {256: (512, 1 * _GIB, 2 * _GIB)}

VALID_CPUS: tuple[int, ...] = (*_SMALLEST, *_RANGES)

NO_SUCH_SIZE = "No Fargate configuration exists for given values."

_CPU = re.compile(r"^\s*(\d+(?:\.\d+)?|\.\d+)\s*(vcpu|vcpus)?\s*$", re.IGNORECASE)
_MEMORY = re.compile(r"^\s*(\d+(?:\.\d+)?|\.\d+)\s*(gb|gib|mb|mib)?\s*$", re.IGNORECASE)


def parse_cpu(text: str | int) -> int:
    """'1024', 1024, '1 vCPU' or '.25 vCPU' → CPU units. ValueError if it is none of these."""
    match = _CPU.match(str(text))
    if match is None or isinstance(text, bool):
        raise ValueError(f"{text!r} is not a CPU size; write 256 or 0.25 vCPU")
    number, unit = match.groups()
    units = float(number) * 1024 if unit else float(number)
    return _whole(units, text, "CPU units")


def parse_memory(text: str | int) -> int:
    """'2048', 2048, '2 GB' or '0.5GB' → MiB. ValueError if it is none of these."""
    match = _MEMORY.match(str(text))
    if match is None or isinstance(text, bool):
        raise ValueError(f"{text!r} is not a memory size; write 2048 or 2 GB")
    number, unit = match.groups()
    is_gib = (unit or "").lower().startswith("g")
    mib = float(number) * _GIB if is_gib else float(number)
    return _whole(mib, text, "MiB")


def _whole(value: float, text: str | int, unit: str) -> int:
    if not math.isfinite(value) or value != int(value) or value <= 0:
        raise ValueError(f"{text!r} is not a whole, positive number of {unit}")
    return int(value)


def valid_memories(cpu: int) -> tuple[int, ...]:
    """Every memory (MiB) that Fargate sells with this CPU, ascending; () for an unknown CPU."""
    if cpu in _SMALLEST:
        return _SMALLEST[cpu]
    if cpu not in _RANGES:
        return ()
    low, high, step = _RANGES[cpu]
    return tuple(range(low, high + 1, step))


def check_size(cpu: int, memory: int) -> str | None:
    """AWS's words if Fargate has no such size, else None."""
    return None if memory in valid_memories(cpu) else NO_SUCH_SIZE


def nearest_size(cpu: int, memory: int) -> tuple[int, int]:
    """The smallest valid (cpu, memory) that gives at least what is asked; where nothing is that
    large, the largest size there is."""
    for candidate in VALID_CPUS:
        if candidate < cpu:
            continue
        for size in valid_memories(candidate):
            if size >= memory:
                return candidate, size
    return VALID_CPUS[-1], valid_memories(VALID_CPUS[-1])[-1]


def describe_sizes(cpu: int) -> str:
    """'512, 1024 or 2048 MiB' or '2048 to 8192 MiB in steps of 1024', for an error's fix."""
    if cpu in _SMALLEST:
        *rest, last = (str(size) for size in _SMALLEST[cpu])
        return f"{', '.join(rest)} or {last} MiB"
    if cpu not in _RANGES:
        return f"no memory; cpu must be one of {', '.join(map(str, VALID_CPUS))}"
    low, high, step = _RANGES[cpu]
    return f"{low} to {high} MiB in steps of {step}"
