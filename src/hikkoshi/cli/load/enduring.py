"""`hikkoshi load soak` and `spike`: a long run, and a sudden one."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from hikkoshi.base.errors import BadInput
from hikkoshi.base.scratch import own_prefix
from hikkoshi.base.units import format_duration, format_share
from hikkoshi.cli.load.attack import print_summary
from hikkoshi.cli.load.carrying import carry_out
from hikkoshi.cli.load.options import (
    attack_of,
    duration_of,
    means_options,
    rate_of,
    say_notes,
    targets_of,
    told,
)
from hikkoshi.load.drift import Drift, drift_of
from hikkoshi.load.judging import Outcome
from hikkoshi.load.live import Live
from hikkoshi.load.pacer import constant, spike
from hikkoshi.load.process_usage import Usage, usage_of
from hikkoshi.load.recovery import lines_of, recovery_of
from hikkoshi.load.report import as_json
from hikkoshi.load.timeline import timeline_of

_KEEP = click.option("-o", "--output", type=click.Path(path_type=Path), help="Keep the results.")
_JSON = click.option("--json", "is_json", is_flag=True, help="As JSON, alone on stdout.")
_MOST_SAMPLES = 4000


@click.command("soak")
@means_options
@click.option("--rate", required=True, help="Requests: 50/s.")
@click.option("--duration", default="10m", show_default=True)
@click.option("--pid", type=int, help="A process on this machine whose memory, descriptors and "
              "connections are watched, with its children.")  # fmt: skip
@click.option("--allow", type=float, default=0.1, show_default=True,
              help="A rise up to this share is no drift.")  # fmt: skip
@click.option("--expect", help="As of attack.")
@_KEEP
@_JSON
def soak(**options: Any) -> None:
    """Hold a rate for long, and tell whether anything creeps up: latency, and of --pid memory,
    descriptors and connections.

    Exit codes: 0 level and passed, 1 something creeps up, or the run failed or is invalid; 2 bad
    input, 3 could not run.

    \b
    Example:
      hikkoshi load soak --targets reports.http --base-url http://localhost:8080 \\
          --rate 50/s --duration 1h --pid $(pgrep -o genba)
    """
    with told():
        rate = rate_of("--rate", options["rate"])
        duration_s = duration_of("--duration", options["duration"])
        pid = options["pid"]
        if pid is not None and usage_of(pid) is None:
            raise BadInput(f"process {pid} is not there, or may not be looked at", where="--pid",
                           fix="name a running process of yours")  # fmt: skip
        found = targets_of(options)
        plan = attack_of(
            options, constant(rate, duration_s), duration_s, found, expect=options["expect"]
        )
        say_notes(found)
        samples: list[tuple[float, Usage]] = []
        every_s = max(0.25, duration_s / _MOST_SAMPLES)

        def look(live: Live) -> None:
            is_due = not samples or time.monotonic() - samples[-1][0] >= every_s
            if pid is not None and is_due and (usage := usage_of(pid)) is not None:
                samples.append((time.monotonic(), usage))

        with _kept(options["output"]) as output:
            summary, _ = carry_out(plan, output, on_look=look)
            drifts = _drifts(summary.files, samples, options["allow"])
    if options["is_json"]:
        document = {**as_json(summary), "drifts": [_drift_json(each) for each in drifts]}
        print(json.dumps(document, indent=2))
    else:
        print_summary(summary, False)
        for each in drifts:
            print(f"drift       {_say(each)}")
    is_level = not any(each.is_rising for each in drifts)
    sys.exit(0 if is_level and summary.outcome is Outcome.PASSED else 1)


def _drifts(
    files: tuple[Path, ...], samples: list[tuple[float, Usage]], allowed: float
) -> list[Drift]:
    timeline = timeline_of(files, most=120)
    # The last slice may be a piece of one.
    slices = list(enumerate(timeline.slices))[:-1]
    drifts = []
    for share in (0.5, 0.99):
        points = [
            (at * timeline.slice_s, value)
            for at, each in slices
            if (value := each.latency.percentile(share)) is not None
        ]
        drifts.append(drift_of(f"p{share * 100:.0f}", "s", points, allowed=allowed))
    for name, unit in (("memory_bytes", "bytes"), ("descriptors", ""), ("connections", "")):
        if samples:
            series = [(t, float(getattr(usage, name))) for t, usage in samples]
            drifts.append(drift_of(name, unit, series, allowed=allowed))
    return drifts


def _say(drift: Drift) -> str:
    if drift.level is None or drift.rise is None:
        return f"{drift.name}: not judged, too few points in time"
    if drift.unit == "s":
        level, rise = format_duration(drift.level), format_duration(drift.rise)
    elif drift.unit == "bytes":
        level, rise = f"{drift.level / 2**20:.1f} MiB", f"{drift.rise / 2**20:.1f} MiB"
    else:
        level, rise = f"{drift.level:.0f}", f"{drift.rise:.0f}"
    share = "" if drift.share is None else f" ({format_share(drift.share)})"
    verdict = "RISES" if drift.is_rising else "level"
    return f"{drift.name}: {verdict}, from {level} by {rise}{share}"


def _drift_json(drift: Drift) -> dict[str, Any]:
    return {
        "name": drift.name, "unit": drift.unit, "level": drift.level, "rise": drift.rise,
        "is_rising": drift.is_rising,
    }  # fmt: skip


@click.command("spike")
@means_options
@click.option("--base", required=True, help="The usual rate: 50/s.")
@click.option("--top", required=True, help="The rate of the spike: 500/s.")
@click.option("--before", default="10s", show_default=True)
@click.option("--spike", "spike_for", default="10s", show_default=True)
@click.option("--after", default="30s", show_default=True)
@click.option("--recover-within", help="Fail unless it is as before within that time.")
@_KEEP
@_JSON
def spike_command(**options: Any) -> None:
    """The usual rate, suddenly more, and the usual again: what the spike does, and how long it
    takes until the service is as before.

    Exit codes: 0 it came back (within --recover-within), 1 it did not, or the run is invalid; 2
    bad input, 3 could not run.

    \b
    Example:
      hikkoshi load spike --targets reports.http --base-url http://localhost:8080 \\
          --base 50/s --top 500/s --recover-within 5s
    """
    with told():
        lengths = [
            duration_of(f"--{name}", options[key])
            for name, key in (("before", "before"), ("spike", "spike_for"), ("after", "after"))
        ]
        limit = options["recover_within"]
        limit_s = duration_of("--recover-within", limit) if limit is not None else None
        pacer = spike(rate_of("--base", options["base"]), rate_of("--top", options["top"]),
                      *lengths)  # fmt: skip
        found = targets_of(options)
        plan = attack_of(options, pacer, pacer.duration_s, found)
        say_notes(found)
        with _kept(options["output"]) as output:
            summary, _ = carry_out(plan, output)
            timeline = timeline_of(summary.files)
            recovery = recovery_of(timeline, lengths[0], lengths[0] + lengths[1])
    if options["is_json"]:
        names = ("p99_before_s", "p99_spike_s", "failed_spike", "limit_s", "recovery_s")
        document = {name: getattr(recovery, name) for name in names}
        print(json.dumps({**as_json(summary), "spike": document}, indent=2))
    else:
        print_summary(summary, False)
        for line in lines_of(recovery):
            print(line)
    took = recovery.recovery_s
    is_back = took is not None and (limit_s is None or took <= limit_s)
    sys.exit(0 if is_back and summary.is_valid else 1)


@contextlib.contextmanager
def _kept(output: Path | None) -> Iterator[Path]:
    if output is not None:
        yield output
        return
    with tempfile.TemporaryDirectory(prefix=own_prefix("hikkoshi-load-")) as directory:
        yield Path(directory) / "results.load"
