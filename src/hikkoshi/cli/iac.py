"""`hikkoshi iac`: the CDK app of a project, and its check."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path

import click

from hikkoshi.base.errors import BadInput
from hikkoshi.iac.app import App, write_app
from hikkoshi.iac.check import Checked, check_app, find_app
from hikkoshi.iac.existing import read_existing
from hikkoshi.model.project import ExistingNetwork, Iac, Project
from hikkoshi.project.load import SETTINGS_FILE, load_project


class _WritesByDefault(click.Group):
    """`iac check …` and `iac write …`; anything else is a directory to write for."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        is_known = arguments and (arguments[0] in self.commands or arguments[0] in ("-h", "--help"))
        if not is_known:
            arguments = ["write", *arguments]
        return super().parse_args(context, arguments)


_DIRECTORY = click.argument(
    "directory", type=click.Path(path_type=Path, file_okay=False), default="."
)


@click.group(cls=_WritesByDefault, subcommand_metavar="[write] [DIR] | check [DIR]")
def iac() -> None:
    """Write the CDK app of a project, or check one, without an account.

    \b
    Examples:
      hikkoshi iac examples/genba/after -o cdk/
      hikkoshi iac . --from former2.yaml     # what exists is imported, not recreated
      hikkoshi iac check
      hikkoshi iac check cdk/ --json

    Exit codes: 0 done, 1 the check found an error, 2 wrong use or bad input, 3 could not run.
    """


@iac.command()
@_DIRECTORY
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False),
    help="Where the app goes; else `iac.directory` of hikkoshi.yaml (cdk) in DIR.",
)  # fmt: skip
@click.option(
    "--from", "template", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A template of former2 or of the IaC generator: network, load balancer and database "
    "that it names are imported.",
)  # fmt: skip
@click.option("--vpc", help="The id of a VPC that exists; it is looked up in the account.")
@click.option("--force", is_flag=True, help="Replace files that were changed by hand.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def write(
    directory: Path,
    output: Path | None,
    template: Path | None,
    vpc: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write the CDK app (Python) of the project in DIR.

    Stacks for network, images, database, service and pipeline; buildspec files; the same pipeline
    for GitHub Actions. What hikkoshi.yaml names under `iac:` as existing is imported. A file that
    is there and differs is left alone unless --force is given.

    \b
    Examples:
      hikkoshi iac examples/genba/after -o cdk/
      hikkoshi iac . --from former2.yaml --force
      hikkoshi iac . --vpc vpc-0a1b2c3d4e5f60718

    Exit codes: 0 written (or nothing to do), 2 wrong use, bad input, or files in the way.
    """
    project = load_project(directory)
    existing = project.settings.iac
    seen: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    if vpc is not None:
        if not vpc.startswith("vpc-"):
            raise BadInput(f"--vpc {vpc!r} is no id of a VPC", fix="vpc-…, as the console shows it")
        existing = dataclasses.replace(existing, network=ExistingNetwork(vpc))
    if template is not None:
        found = read_existing(template, existing)
        existing, seen, missing = found.iac, found.seen, found.missing
    app = write_app(_with_iac(project, existing))
    target = output or directory / existing.directory
    written, same = _put(app, target, force)
    notes = [f"not carried over, write it yourself: {each}" for each in app.left_out]
    notes += [f"not imported, {each}" for each in missing]
    if existing.source is None:
        notes.append("no CodePipeline: hikkoshi.yaml has no iac.source (repository, connection)")
    if as_json:
        document = {"directory": str(target), "written": written, "same": same,
                    "imported": list(seen), "notes": notes}  # fmt: skip
        click.echo(json.dumps(document, indent=1))
        return
    for each in seen:
        click.echo(f"imported: {each}", err=True)
    for each in notes:
        click.echo(f"{click.style('note:', fg='yellow')} {each}", err=True)
    click.echo(f"{target}: {len(written)} files written, {same} as they were", err=True)
    click.echo(f"next: hikkoshi iac check {target}", err=True)


def _with_iac(project: Project, iac_settings: Iac) -> Project:
    settings = dataclasses.replace(project.settings, iac=iac_settings)
    return dataclasses.replace(project, settings=settings)


def _put(app: App, target: Path, force: bool) -> tuple[list[str], int]:
    """The names written, and how many were there already. Nothing is written when one is in the
    way."""
    there = {name: _text(target / name) for name in app.files}
    changed = [n for n, text in there.items() if text is not None and text != app.files[n]]
    if changed and not force:
        raise BadInput(
            f"{target} has {len(changed)} files that differ from what would be written: "
            + ", ".join(changed[:8])
            + (", …" if len(changed) > 8 else ""),
            fix="--force replaces them; or write elsewhere with -o, and compare",
        )
    wanted = [name for name, text in there.items() if text != app.files[name]]
    for name in wanted:
        path = target / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(app.files[name], "utf-8")
        except OSError as error:
            raise BadInput(f"{path} cannot be written: {error.strerror}") from error
    return wanted, len(app.files) - len(wanted)


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        return ""


@iac.command()
@_DIRECTORY
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False),
    help="Keep the synthesised templates here.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(directory: Path, output: Path | None, as_json: bool) -> None:
    """Synthesise the CDK app in DIR (or in DIR/cdk) offline; ask cdk-nag and cfn-lint.

    Needs the extra `hikkoshi[iac]` and Node; says how to get what is missing. No account, no
    credentials, no network. Takes about 20 seconds.

    \b
    Examples:
      hikkoshi iac check
      hikkoshi iac check examples/genba/after -o cdk.out
      hikkoshi iac check --json | jq '.findings[].rule'

    Exit codes: 0 no error (warnings may be), 1 errors, 2 no app there, 3 could not run.
    """
    app = find_app(directory)
    with tempfile.TemporaryDirectory(prefix="hikkoshi-iac-") as scratch:
        checked = check_app(app, (output or Path(scratch)).absolute())
    notes = [*checked.notes, *_drift(directory, app)]
    if as_json:
        click.echo(
            json.dumps(
                {
                    "app": str(app),
                    "ok": checked.is_clean,
                    "stacks": list(checked.stacks),
                    "findings": [dataclasses.asdict(each) for each in checked.findings],
                    "notes": notes,
                },
                indent=1,
            )
        )
    else:
        _print(app, checked, notes)
    if not checked.is_clean:
        raise click.exceptions.Exit(1)


def _drift(directory: Path, app: Path) -> list[str]:
    """Which files differ from what the project's definitions would give today."""
    if not (directory / SETTINGS_FILE).is_file():
        return []
    try:
        files = write_app(load_project(directory)).files
    except BadInput as error:
        return [f"the project itself cannot be read: {error.what}"]
    differ = [name for name, text in files.items() if _text(app / name) != text]
    words = f"{', '.join(differ[:6])}{', …' if len(differ) > 6 else ''}"
    return [f"changed by hand, or the project since: {words}"] if differ else []


_COLOURS = {"error": "red", "warning": "yellow", "info": "blue"}


def _print(app: Path, checked: Checked, notes: list[str]) -> None:
    for each in checked.findings:
        level = click.style(each.level, fg=_COLOURS.get(each.level), bold=each.level == "error")
        click.echo(f"{each.where}: {level} [{each.tool} {each.rule}] {each.what}")
        if each.construct:
            click.echo(f"  at: {each.construct}")
        click.echo(f"  cure: {each.cure}")
    for note in notes:
        click.echo(f"{click.style('note:', fg='yellow')} {note}")
    errors = sum(each.level == "error" for each in checked.findings)
    others = len(checked.findings) - errors
    click.echo(f"{app}: {len(checked.stacks)} stacks, {errors} errors, {others} warnings")
