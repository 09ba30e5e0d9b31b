"""Load during a fault, and what became of its requests."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hikkoshi.faults.model import Requests
from hikkoshi.load.attack import Attack
from hikkoshi.load.pacer import constant
from hikkoshi.load.results import Result, read_results
from hikkoshi.load.run import LoadRun
from hikkoshi.load.targets import load_targets

LONGEST_S = 3600.0


class Loading:
    """A constant rate, open model, from the block's begin to its end."""

    def __init__(
        self, targets: Path, rate: float, file: Path, base_url: str | None, connect_to: str | None
    ) -> None:
        attack = Attack.paced(
            load_targets(targets), constant(rate, LONGEST_S), trial="fault", timeout_s=10.0,
            connections=256, base_url=base_url, connect_to=connect_to,
        )  # fmt: skip
        self._run = LoadRun(attack, file)

    def __enter__(self) -> Loading:
        self._run.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *unused: object) -> None:
        try:
            if kind is None:
                self._run.stop(grace_s=self._run.attack.timeout_s)
                self._run.wait()
        finally:
            self._run.close()

    def failures(self) -> int:
        return self._run.live().failed_so_far

    def results(self) -> list[tuple[float, Result]]:
        """(when it ended, in epoch seconds, the result); after the block."""
        found = [result for file in self._run.files for result in read_results(file)]
        return sorted(((self._run.t_start + r.ended, r) for r in found), key=lambda each: each[0])


def sum_up(results: list[tuple[float, Result]], t_injected: float) -> Requests:
    after = [r for t, r in results if t >= t_injected]
    failed = [r for r in after if is_failed(r)]
    latencies = sorted(r.ended - r.intended for r in after)
    causes = Counter(str(r.failure) if r.failure else f"HTTP {r.status}" for r in failed)
    return Requests(
        sent=len(after),
        failed=len(failed),
        failed_before=sum(is_failed(r) for t, r in results if t < t_injected),
        retried=sum(r.retries for r in after),
        causes=tuple(causes.most_common(5)),
        p99_s=latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))] if latencies else None,
    )


def is_failed(result: Result) -> bool:
    return result.failure is not None or not 200 <= result.status < 400
