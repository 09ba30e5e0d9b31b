"""A run cut into slices of time: what plots draw, and what comparisons draw lots from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from hikkoshi.load.histogram import Histogram
from hikkoshi.load.results import read_batches, read_header
from hikkoshi.load.vegeta.reading import form_of, read_hits

# (when due, seconds of latency, whether it succeeded)
Point = tuple[float, float, bool]
_AT_ONCE = 8192
MOST_SLICES = 300


@dataclass(slots=True)
class Slice:
    """The requests that were due in one slice of a run."""

    requests: int = 0
    failed: int = 0
    latency: Histogram = field(default_factory=Histogram)

    def add(self, other: Slice) -> None:
        self.requests += other.requests
        self.failed += other.failed
        self.latency.add(other.latency)


@dataclass(frozen=True, slots=True)
class Timeline:
    """slices[i] holds what was due from i · slice_s to (i + 1) · slice_s after the start."""

    name: str
    t_start: float
    slice_s: float
    slices: tuple[Slice, ...]

    def whole(self) -> Slice:
        whole = Slice()
        for each in self.slices:
            whole.add(each)
        return whole

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "t_start": self.t_start, "slice_s": self.slice_s,
            "slices": [
                [each.requests, each.failed, each.latency.as_json()] for each in self.slices
            ],
        }  # fmt: skip

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Timeline:
        slices = tuple(
            Slice(requests, failed, Histogram.from_json(latency))
            for requests, failed, latency in document["slices"]
        )
        return cls(document["name"], document["t_start"], document["slice_s"], slices)


def timeline_of(paths: Sequence[Path], most: int = MOST_SLICES) -> Timeline:
    """Of the files of one run, ours or vegeta's. A long run has longer slices, never more of
    them, so that memory does not grow with it. BadInput when a file cannot be read."""
    name, t_start = _origin(paths)
    slices: dict[int, Slice] = {}
    slice_s = 0.1
    for points in _batches(paths, t_start):
        groups: dict[int, list[Point]] = {}
        for point in points:
            groups.setdefault(int(max(0.0, point[0]) / slice_s), []).append(point)
        for at, group in groups.items():
            one = slices.setdefault(at, Slice())
            one.requests += len(group)
            one.failed += sum(not is_ok for _, _, is_ok in group)
            one.latency.extend([max(0.0, took) for _, took, _ in group])
        while slices and max(slices) >= most:
            slice_s *= 2
            slices = _halved(slices)
    last = max(slices, default=-1)
    return Timeline(
        name, t_start, slice_s, tuple(slices.get(at, Slice()) for at in range(last + 1))
    )


def _halved(slices: dict[int, Slice]) -> dict[int, Slice]:
    halved: dict[int, Slice] = {}
    for at, each in slices.items():
        halved.setdefault(at // 2, Slice()).add(each)
    return halved


def _origin(paths: Sequence[Path]) -> tuple[str, float]:
    """The run's name and its start, epoch seconds."""
    if form_of(paths[0]) == "ours":
        header = read_header(paths[0])
        return header.get("attack") or paths[0].stem, float(header["t_start"])
    firsts = [next(iter(read_hits(path)), None) for path in paths]
    hits = [hit for hit in firsts if hit is not None]
    name = next((hit.attack for hit in hits if hit.attack), paths[0].stem)
    return name, min((hit.timestamp_ns for hit in hits), default=0) / 1e9


def _batches(paths: Iterable[Path], t_start: float) -> Iterator[list[Point]]:
    for path in paths:
        if form_of(path) == "ours":
            for batch in read_batches(path):
                yield [(record[5], record[7] - record[5], bool(record[13])) for record in batch]
            continue
        hits = read_hits(path)
        while some := list(islice(hits, _AT_ONCE)):
            yield [
                (hit.timestamp_ns / 1e9 - t_start, hit.latency_ns / 1e9, 200 <= hit.code < 400)
                for hit in some
            ]
