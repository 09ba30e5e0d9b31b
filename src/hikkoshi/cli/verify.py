"""`hikkoshi verify`: whether all that the files name is there and fits."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import click

from hikkoshi.cli.service import opened, service_options
from hikkoshi.ship.checks import Check, Mark
from hikkoshi.ship.verify import verify as verify_home

_COLOURS = {Mark.OK: "green", Mark.WRONG: "red", Mark.NOT_CHECKED: "yellow"}


@click.command(
    epilog="Exit codes: 0 nothing is wrong, 1 something is (with --strict: or was not checked), "
    "2 wrong use or bad input, 3 could not run."
)
@service_options
@click.option("--strict", is_flag=True, help="What was not checked counts as wrong.")
def verify(
    directory: Path, is_local: bool, profile: str | None, region: str | None, as_json: bool,
    strict: bool,
) -> None:  # fmt: skip
    """Verify all that DIRECTORY's files name: roles and their trust, what the execution role may
    do, images and architecture, secrets, log groups, FireLens and its router, target groups,
    subnets, security groups, size and quota. Nothing is changed.

    Each line says OK, WRONG (with the cure) or NOT CHECKED (with the reason).

    \b
    Examples:
      hikkoshi verify infra/ --profile production
      hikkoshi verify --local examples/genba/after --strict
    """
    found = opened(directory, is_local, profile, region)
    tree = verify_home(found.access, found.home, _read_router)
    marks = Counter(check.mark for check in tree.walk() if not check.children)
    if as_json:
        click.echo(json.dumps(_document(tree), indent=1, ensure_ascii=False))
    else:
        _show(tree, 0)
        click.echo(", ".join(f"{marks[mark]} {mark.value}" for mark in Mark))
    is_bad = marks[Mark.WRONG] > 0 or (strict and marks[Mark.NOT_CHECKED] > 0)
    raise SystemExit(1 if is_bad else 0)


def _read_router(path: str) -> list[str]:
    from hikkoshi.router.configuration import read_configuration

    return list(read_configuration(Path(path), os.environ).warnings)


def _show(check: Check, depth: int) -> None:
    indent = "  " * depth
    mark = click.style(check.mark.value, fg=_COLOURS[check.mark], bold=check.mark is Mark.WRONG)
    why = f": {check.why}" if check.why else ""
    click.echo(f"{indent}{check.name} [{mark}]{why}")
    if check.fix and check.mark is not Mark.OK:
        click.echo(f"{indent}  fix: {check.fix}")
    for child in check.children:
        _show(child, depth + 1)


def _document(check: Check) -> dict[str, Any]:
    document: dict[str, Any] = {"name": check.name, "mark": check.mark.value}
    document |= {"why": check.why} if check.why else {}
    document |= {"fix": check.fix} if check.fix else {}
    if check.children:
        document["children"] = [_document(child) for child in check.children]
    return document
