"""What `hikkoshi tune` shows."""

from __future__ import annotations

from collections.abc import Sequence

import click

from hikkoshi.fargate.prices import ARM, HOURS_A_MONTH, PAGE, Price
from hikkoshi.model.findings import Certainty
from hikkoshi.tuning.choice import Choice, NotJudged
from hikkoshi.tuning.present import Objective
from hikkoshi.tuning.proven import Proven
from hikkoshi.tuning.tune import Cost, Tuning

_COLOURS = {Certainty.FACT: "green", Certainty.LIKELY: "yellow", Certainty.HINT: "cyan"}


def show(
    run_id: str, service: str, objective: Objective, tuning: Tuning, regions: Sequence[str]
) -> None:
    rate = "no planned rate" if objective.rate is None else f"{objective.rate:g}/s"
    click.echo(
        f"{service}, run {run_id}\nmust hold: {rate}, p99 at most {objective.p99_s * 1000:g} ms, "
        f"at most {objective.errors:.2%} failed (limits of hikkoshi.yaml)\n"
    )
    for answer in tuning.answers:
        if isinstance(answer, Choice):
            _show_choice(answer)
        else:
            _show_not_judged(answer)
    _show_cost(tuning.cost, regions)


def _show_choice(choice: Choice) -> None:
    words = choice.wanted
    if choice.is_change:
        words = f"{choice.now or '(not written)'} → {click.style(choice.wanted, bold=True)}"
    else:
        words += " (as it is)"
    certainty = click.style(choice.certainty.value, fg=_COLOURS[choice.certainty])
    click.echo(f"{click.style(choice.setting, bold=True)}: {words}  [{certainty}]")
    for line in choice.because:
        click.echo(f"    because {line}")
    for line in choice.advice:
        click.echo(f"    do      {line}")


def _show_not_judged(answer: NotJudged) -> None:
    said = click.style("not judged", fg="magenta")
    click.echo(f"{click.style(answer.setting, bold=True)}: {said}\n    because {answer.why}")


def _show_cost(cost: Cost, regions: Sequence[str]) -> None:
    if cost.price is None or cost.now is None:
        click.echo(
            f"\nprice: not known for {cost.region}; known: {', '.join(regions)} (see {PAGE})"
        )
        return
    wanted = "" if cost.wanted is None else f" → ${cost.wanted:,.2f}"
    click.echo(
        f"\n{click.style('a month', bold=True)} in {cost.region}: ${cost.now:,.2f}{wanted} "
        f"({cost.price.architecture}, on demand, {HOURS_A_MONTH:.0f} hours; the tasks alone: no "
        "load balancer, database, logs, transfer or public addresses)"
    )
    click.echo(f"    {_price(cost.price)}")
    if cost.other is not None and cost.other_wanted is not None:
        needs = "an image for arm64" if cost.other.architecture == ARM else "an image for x86"
        click.echo(
            f"    {cost.other.architecture}: ${cost.other_wanted:,.2f}, with {needs}; its speed "
            f"was not rehearsed. {_price(cost.other)}"
        )
    click.echo(f"    AWS's page: {PAGE}")


def show_proven(proven: Proven) -> None:
    click.echo(f"\n{click.style('rehearsed', bold=True)} as proposed, run {proven.run_id}")
    for name, outcome, reason in proven.trials:
        click.echo(f"    {name}: {outcome}, {reason}")
    if proven.cpu_share is not None:
        click.echo(f"    the busiest task used {proven.cpu_share:.0%} of its CPU")
    if proven.connections is not None:
        open_most, limit = proven.connections
        click.echo(f"    at most {open_most} of the database's {limit} connections were open")
    if proven.untried:
        click.echo(f"    not tried: {', '.join(proven.untried)} (no part of the diff)")
    if proven.month_before is not None and proven.month_after is not None:
        click.echo(f"    a month: ${proven.month_before:,.2f} → ${proven.month_after:,.2f}")
    for doubt in proven.doubts:
        click.echo(f"    {doubt}")
    if proven.is_met:
        click.echo(click.style("the limits held with the proposal", fg="green"))
        return
    click.echo(click.style("the limits did NOT hold with the proposal", fg="red"))
    for reason in proven.against:
        click.echo(f"    because {reason}")


def _price(price: Price) -> str:
    sure = "" if price.is_confirmed else "; NOT CONFIRMED: look it up"
    return (
        f"${price.vcpu_hour} a vCPU and ${price.gb_hour} a GB an hour, read {price.read}, "
        f"{price.note}{sure}"
    )
