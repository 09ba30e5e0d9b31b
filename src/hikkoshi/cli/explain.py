"""`hikkoshi explain`: the page of a rule."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.markdown import Markdown

from hikkoshi.findings.explain import page_of, rule_titles


@click.command()
@click.argument("rule", required=False)
def explain(rule: str | None) -> None:
    """Explain RULE: what it sees, why it matters, the cure in code and settings, its limits.

    Without RULE: the list of rules.

    \b
    Examples:
      hikkoshi explain
      hikkoshi explain deadlocks-under-load
      hikkoshi explain saturates-task-cpu > page.md
    """
    if rule is None:
        titles = rule_titles()
        longest = max(len(name) for name in titles)
        for name, title in titles.items():
            click.echo(f"{name:<{longest}}  {title}")
        return
    page = page_of(rule)
    if sys.stdout.isatty():
        Console().print(Markdown(page))
    else:
        click.echo(page, nl=False)
