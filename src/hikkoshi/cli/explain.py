"""`hikkoshi explain`: the page of a rule."""

from __future__ import annotations

import json
import sys

import click
from rich.console import Console
from rich.markdown import Markdown

from hikkoshi.findings.explain import page_of, rule_titles


@click.command()
@click.argument("rule", required=False)
@click.option("--json", "is_json", is_flag=True, help="As JSON; the page in Markdown.")
def explain(rule: str | None, is_json: bool) -> None:
    """Explain RULE: what it sees, why it matters, the cure in code and settings, its limits.

    Without RULE: the list of rules.

    \b
    Examples:
      hikkoshi explain
      hikkoshi explain deadlocks-under-load
      hikkoshi explain saturates-task-cpu > page.md

    Exit codes: 0 shown, 2 there is no such rule.
    """
    if rule is None:
        titles = rule_titles()
        if is_json:
            click.echo(json.dumps([{"rule": r, "title": t} for r, t in titles.items()], indent=1))
            return
        longest = max(len(name) for name in titles)
        for name, title in titles.items():
            click.echo(f"{name:<{longest}}  {title}")
        return
    page = page_of(rule)
    if is_json:
        document = {"rule": rule, "title": rule_titles()[rule], "page": page}
        click.echo(json.dumps(document, indent=1))
        return
    if sys.stdout.isatty():
        Console().print(Markdown(page))
    else:
        click.echo(page, nl=False)
