"""`hikkoshi survey`: what runs today, written down."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from hikkoshi.base.errors import BadInput, CannotRun, HikkoshiError
from hikkoshi.cli.where import place, place_options
from hikkoshi.model.survey import Account, Host, Survey, Unseen
from hikkoshi.survey.account import AccountSurvey, survey_account
from hikkoshi.survey.gathered import Reach
from hikkoshi.survey.host import HostSurvey, survey_host, write_kept
from hikkoshi.survey.secrets import Redactor
from hikkoshi.survey.shell import local_reach, ssh_reach
from hikkoshi.survey.store import save_survey
from hikkoshi.survey.template import read_template
from hikkoshi.survey.tree import TreeReach


@click.command()
@click.option("--host", metavar="ssh://USER@HOST|local", help="The instance, by ssh; or this one.")
@click.option("--root", type=click.Path(path_type=Path), help="A mounted disk or a tree instead.")
@click.option("--account", "wants_account", is_flag=True, help="The AWS account too (or alone).")
@click.option(
    "--from",
    "template",
    type=click.Path(path_type=Path),
    help="The account from former2's or CloudFormation's output; no credentials.",
)
@click.option("--identity", "-i", type=click.Path(path_type=Path), help="The ssh key to use.")
@click.option("--ssh-config", type=click.Path(path_type=Path), help="Instead of ~/.ssh/config.")
@click.option("--window", default=5.0, show_default=True, help="Seconds to watch processes for.")
@click.option("--timeout", default=60.0, show_default=True,
              help="Seconds for one round trip, and for one call that AWS throttles.")  # fmt: skip
@click.option("--no-files", is_flag=True, help="Do not copy the application's own files.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False),
              default=Path("survey.json"), show_default=True)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the survey on stdout, too.")
@place_options
def survey(
    host: str | None,
    root: Path | None,
    wants_account: bool,
    template: Path | None,
    identity: Path | None,
    ssh_config: Path | None,
    window: float,
    timeout: float,
    no_files: bool,
    output: Path,
    as_json: bool,
    is_local: bool,
    profile: str | None,
    region: str | None,
) -> int:
    """Write down what runs on an instance and stands in its account: survey.json.

    Read-only; nothing is installed on the host and no root is needed: what root would have shown
    stands under `not_seen`. Secrets are left out: a name and a fingerprint stand in their place.
    The application's own files are copied to survey.files/, beside the survey.

    \b
    Examples:
      hikkoshi survey --host ssh://ec2-user@10.0.1.7 --account --profile prod
      hikkoshi survey --root /mnt/snapshot -o old-web.json
      hikkoshi survey --from former2.yaml --host local

    Exit codes: 0 done (what was refused stands under `not_seen`), 1 cut short by a lost connection
    or by AWS's throttling, and what came before is written, 2 wrong use, 3 could not run.
    """
    if host is not None and root is not None:
        raise BadInput("both --host and --root", fix="survey one after the other, with two -o")
    if host is None and root is None and not wants_account and template is None:
        raise BadInput("nothing to survey", fix="give --host, --root, --account or --from")
    if not 0 <= window <= 600:
        raise BadInput(f"a window of {window} s", where="--window", fix="0 to 600 s")
    if not 0 < timeout <= 3600:
        raise BadInput(f"a timeout of {timeout} s", where="--timeout", fix="1 to 3600 s")
    # What can be refused without asking anybody is refused before the host is surveyed.
    from_template = read_template(template) if template is not None else None
    access = place(is_local, profile, region) if wants_account and not template else None
    console = Console(stderr=True)
    started = time.time()
    redactor = Redactor()

    def say(words: str) -> None:
        console.print(f"  {words} ...", markup=False, highlight=False, style="dim")

    found = Survey(started)
    result: HostSurvey | None = None
    if host is not None or root is not None:
        reach = _reach(host, root, identity, ssh_config, timeout)
        try:
            result = survey_host(reach, window_s=window, say=say, keep_files=not no_files)
        finally:
            if hasattr(reach, "close"):
                reach.close()
        clean: Host = redactor.value(result.host, "")
        tree = str(root.resolve()) if root is not None else "/" if host == "local" else ""
        clean = replace(clean, system=replace(clean.system, tree=tree))
        found = replace(found, host=clean, not_seen=result.unseen, round_trips=reach.trips)
    cut_short: list[HikkoshiError] = [result.broke] if result and result.broke else []
    if from_template is not None:
        found = _with_account(found, from_template, (), redactor)
    if access is not None:
        try:
            asked = survey_account(access, say, timeout)
        except HikkoshiError as error:
            if result is None:
                raise
            # The host was surveyed, perhaps for minutes: that is kept.
            asked = AccountSurvey(
                None, (Unseen("the account", error.what, error.fix or ""),), error
            )
        found = _with_account(found, asked.account, asked.unseen, redactor)
        cut_short += [asked.cut_short] if asked.cut_short else []
    if result is not None and (result.kept or result.links):
        found = _write_files(found, result, output)
    found = replace(found, secrets=redactor.secrets, seconds=round(time.time() - started, 1))
    save_survey(found, output)
    if as_json:
        click.echo(output.read_text("utf-8"), nl=False)
    else:
        _show(found, output)
    for why in cut_short:
        console.print(f"error: {why}", markup=False, highlight=False, style="red")
    return 1 if cut_short else 0


def _reach(
    host: str | None,
    root: Path | None,
    identity: Path | None,
    ssh_config: Path | None,
    timeout: float,
) -> Reach:
    if root is not None:
        return TreeReach(root)
    assert host is not None
    if host == "local":
        return local_reach(timeout)
    return ssh_reach(host, identity, timeout, ssh_config)


def _with_account(
    found: Survey, account: Account | None, unseen: tuple[Unseen, ...], redactor: Redactor
) -> Survey:
    clean = None if account is None else redactor.value(account, account.source)
    return replace(found, account=clean, not_seen=(*found.not_seen, *unseen))


def _write_files(found: Survey, result: HostSurvey, output: Path) -> Survey:
    directory = output.with_name(f"{output.stem}.files")
    marker = directory / ".hikkoshi-survey"
    if directory.exists() and not marker.exists():
        raise BadInput(
            f"{directory} is there already, and no survey made it",
            fix="move it away, or give another -o, or --no-files",
        )
    try:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        marker.touch()
        refused = write_kept(result, directory)
    except OSError as error:
        raise CannotRun(f"cannot write {directory}: {error.strerror}", fix="give -o") from error
    unseen = tuple(Unseen(path, f"it was not copied: {why}") for path, why in refused.items())
    return replace(found, files=directory.name, not_seen=(*found.not_seen, *unseen))


def printable(text: str) -> str:
    """What a host wrote moves no cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _show(found: Survey, output: Path) -> None:
    host = found.host
    if host is not None:
        system = host.system
        name = printable(system.name) or "an unknown system"
        click.echo(f"{system.address}: {name} {system.architecture}")
        names = ", ".join(app.unit for app in host.applications) or "none found"
        click.echo(f"  applications: {printable(names)}")
        click.echo(
            f"  {len(host.units)} units, {len(host.processes)} processes, "
            f"{len(host.listeners)} listeners, {len(host.peers)} peers, "
            f"{len(host.packages)} packages, {len(host.access_logs)} access logs, "
            f"{len(host.data)} places with data"
        )
    if found.account is not None:
        click.echo(f"{found.account.source}: {len(found.account.resources)} resources")
    click.echo(f"  {len(found.secrets)} secrets left out; {len(found.not_seen)} things not seen")
    for unseen in found.not_seen[:6]:
        cure = f" ({unseen.cure})" if unseen.cure else ""
        click.echo(f"    not seen: {printable(unseen.what)}: {printable(unseen.why)}{cure}")
    trips = f", {found.round_trips} round trips" if found.round_trips else ""
    click.echo(
        f"written: {output} ({found.seconds:.1f} s{trips}). Next: hikkoshi plan {output} -o DIR"
    )
