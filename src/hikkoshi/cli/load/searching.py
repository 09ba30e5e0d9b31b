"""`hikkoshi load capacity`: how much the service bears."""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from hikkoshi.base.errors import BadInput
from hikkoshi.base.scratch import own_prefix
from hikkoshi.base.units import format_duration
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
from hikkoshi.load.capacity import (
    Capacity,
    Ending,
    Probe,
    Search,
    next_step,
    objectives_of,
    say,
)
from hikkoshi.load.conditions import parse_conditions
from hikkoshi.load.knee import Objectives, Step, broken, step_of
from hikkoshi.load.pacer import constant

EXAMPLES = """
\b
Examples:
  hikkoshi load capacity --targets reports.http --base-url http://localhost:8080 \\
      --objective 'p99<300ms, errors<0.1%'
  hikkoshi load capacity --targets reports.http --base-url http://localhost:8080 \\
      --objective 'p99<100ms, errors<1%' --from 50/s --to 2000/s --step 20s --json
"""


@click.command(epilog=EXAMPLES)
@means_options
@click.option("--objective", required=True, help="What must hold: 'p99<300ms, errors<0.1%'.")
@click.option("--from", "first", default="10/s", show_default=True, help="The first rate.")
@click.option("--to", "most", default="100000/s", show_default=True, help="Never more.")
@click.option("--step", default="10s", show_default=True, help="How long each rate is held.")
@click.option("--rest", default="1s", show_default=True, help="Between two rates.")
@click.option("--precision", type=float, default=0.05, show_default=True,
              help="How near the ends of the range are to come, as a share.")  # fmt: skip
@click.option("--json", "is_json", is_flag=True, help="As JSON, alone on stdout.")
def capacity(**options: Any) -> None:
    """Find the highest rate at which the objective holds: upwards, then halving, then once more
    at both ends. The answer is a range with how often each end was tried.

    Exit codes: 0 found (or the most that was allowed still held), 1 no rate held, or the
    generator gave way first; 2 bad input, 3 could not run.
    """
    with told():
        conditions = parse_conditions(options["objective"], where="--objective")
        objectives = objectives_of(conditions)
        search = _search(options)
        found = targets_of(options)
        step_s = duration_of("--step", options["step"])
        rest_s = duration_of("--rest", options["rest"])
        plan = attack_of(options, constant(search.first, step_s), step_s, found)
        say_notes(found)
        expect = ", ".join(check.text for check in conditions.checks) or None
        steps: list[Step] = []
        is_stopped = False
        answer = next_step(search, steps, objectives)
        with tempfile.TemporaryDirectory(prefix=own_prefix("hikkoshi-load-")) as directory:
            while isinstance(answer, Probe) and not is_stopped:
                step, is_stopped = _try(
                    plan, answer, step_s, expect, objectives, Path(directory) / "probe.load"
                )
                if not is_stopped:
                    steps.append(step)
                    _say_step(step, objectives)
                answer = next_step(search, steps, objectives)
                if isinstance(answer, Probe) and not is_stopped:
                    _rest(rest_s)
    _print(answer, steps, objectives, options["is_json"])
    is_good = isinstance(answer, Capacity) and answer.ending in (Ending.FOUND, Ending.NOT_REACHED)
    sys.exit(0 if is_good else 1)


def _search(options: dict[str, Any]) -> Search:
    first, most = rate_of("--from", options["first"]), rate_of("--to", options["most"])
    if first > most:
        raise BadInput("--from is above --to", fix="begin lower")
    if not 0 < options["precision"] < 1:
        raise BadInput("--precision is a share between 0 and 1", fix="write 0.05")
    return Search(first=first, most=most, precision=options["precision"])


def _try(
    plan: Any, probe: Probe, step_s: float, expect: str | None, objectives: Objectives, output: Path
) -> tuple[Step, bool]:
    attack = dataclasses.replace(plan, pacer=constant(probe.rate, step_s), expect=expect)
    if sys.stderr.isatty():
        title = f"{probe.rate:.0f}/s ({probe.why})"
    else:
        title = ""
    summary, _ = carry_out(attack, output, title=title)
    return step_of(summary, probe.rate, objectives), summary.totals.is_stopped


def _rest(seconds: float) -> None:
    # Time itself is what is waited for: the service is to get rid of its queue.
    import time

    time.sleep(seconds)


def _say_step(step: Step, objectives: Objectives) -> None:
    problem = broken(step, objectives) if step.is_valid else "the generator was the bottleneck"
    p99 = "–" if step.p99_s is None else format_duration(step.p99_s)
    print(f"{step.asked_rate:>9.1f}/s  p99 {p99:>8}  {problem or 'held'}", file=sys.stderr)


def _print(
    answer: Probe | Capacity, steps: list[Step], objectives: Objectives, is_json: bool
) -> None:
    if isinstance(answer, Probe):
        ending, words = "stopped", "stopped before the knee was found"
        holds = breaks = None
    else:
        ending, words, holds, breaks = answer.ending.value, say(answer), answer.holds, answer.breaks
    if not is_json:
        print(words)
        return
    document = {
        "ending": ending,
        "holds": holds,
        "breaks": breaks,
        "objectives": dataclasses.asdict(objectives),
        "why": words,
        "probes": [
            {**dataclasses.asdict(step), "broke": broken(step, objectives)} for step in steps
        ],
    }
    print(json.dumps(document, indent=2))
