"""Ten million results reported, and eight hours' worth of requests counted: seconds and memory.

    python bench/bench_load_memory.py [--requests 10000000] [--simulated 28800000]

The first writes a results file of that many records (64 bytes each) and reports it in a process of
its own. The second hands the sender's own tally as many answers as eight hours at 1,000/s give,
in batches as the sender does, and looks at the memory after a tenth and at the end.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hikkoshi.load.request import prepare
from hikkoshi.load.results import RECORD, ResultWriter
from hikkoshi.load.tally import SETTLE_AT, Tally
from hikkoshi.load.targets import parse_targets

_PAGE = os.sysconf("SC_PAGE_SIZE")
TARGETS = [["GET", "http://h/a", "a"], ["GET", "http://h/b", "b"]]


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 1e6


def write_results(path: Path, count: int) -> None:
    header = {"t_start": 1.7e9, "trial": "bench", "duration_s": count / 1000, "targets": TARGETS,
              "pacer": {"stages": [[1000.0, 1000.0, count / 1000]]}}  # fmt: skip
    chance = random.Random(1)
    latencies = [chance.lognormvariate(-5.5, 0.8) for _ in range(100_000)]
    writer = ResultWriter(path, header)
    for start in range(0, count, 100_000):
        writer.extend(
            (0, 0, 200, seq & 1, seq, seq / 1000, seq / 1000 + 1e-5, seq / 1000 + took, 48, 0,
             1e-5, 0, 0, True)
            for seq, took in zip(range(start, min(count, start + 100_000)), latencies, strict=False)
        )  # fmt: skip
        writer.flush()
    writer.close()


def report(count: int, kind: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "r.load"
        write_results(path, count)
        size = path.stat().st_size / 1e6
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.monotonic()
        command = [sys.executable, "-m", "hikkoshi.cli.main", "load", "report", str(path)]
        done = subprocess.run([*command, "--type", kind], capture_output=True, check=False)
        seconds = time.monotonic() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        peak = after.ru_maxrss / 1e3
        told = "" if done.returncode == 0 else f" (exit code {done.returncode})"
        print(
            f"report {kind} of {count:,} requests ({size:.0f} MB): {seconds:.1f} s "
            f"({cpu:.1f} s of CPU), at most {peak:.0f} MB{told}"
        )


def simulate(count: int) -> None:
    prepared = prepare(parse_targets("# name: a\nGET http://127.0.0.1/\n"))
    chance = random.Random(2)
    latencies = [chance.lognormvariate(-5.5, 0.8) for _ in range(SETTLE_AT)]
    records = [
        (0, 0, 200, 0, seq, 1.0, 1.0, 1.0 + took, 48, 0, 1e-5, 0, 0, True)
        for seq, took in enumerate(latencies)
    ]
    writer = ResultWriter(Path("/dev/null"), {})
    tally = Tally(prepared, writer)
    first, sent, windows = 0.0, 0, 0
    started = time.process_time()
    while sent < count:
        tally.ended = list(records)
        tally.late = [1e-5] * len(records)
        tally.settle()
        sent += len(records)
        if sent // 1000 > windows:
            windows = sent // 1000
            tally.take_window(windows / 4)
        if not first and sent >= count / 10:
            first = resident_mb()
    tally.take_window(sent / 1000)
    assert tally.totals.done == sent
    last, seconds = resident_mb(), time.process_time() - started
    print(
        f"{sent:,} requests counted in {seconds:.0f} s of CPU ({seconds / sent * 1e6:.2f} µs "
        f"each): {first:.1f} MB after a tenth, {last:.1f} MB at the end, {last - first:+.1f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--simulated", type=int, default=28_800_000)
    options = parser.parse_args()
    print(f"a record has {RECORD.size} bytes")
    for kind in ("summary", "json"):
        report(options.requests, kind)
    simulate(options.simulated)


if __name__ == "__main__":
    main()
