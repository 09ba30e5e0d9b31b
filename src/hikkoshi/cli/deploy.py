"""`hikkoshi deploy`, `wait`, `rollback` and `diff`."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, NoReturn

import click

from hikkoshi.base.errors import BadInput
from hikkoshi.base.units import parse_duration
from hikkoshi.cli.places import OWN_DIRECTORY
from hikkoshi.cli.service import EXITS, Opened, Shown, finish, opened, service_options, warn
from hikkoshi.cutover.journal import Journal
from hikkoshi.ship import codedeploy, codedeploying
from hikkoshi.ship import rollback as rolling
from hikkoshi.ship.audit import Audit
from hikkoshi.ship.beside import KnownHere, refuse_beside_a_cutover
from hikkoshi.ship.calls import primary, short
from hikkoshi.ship.codedeploying import CodeDeploy
from hikkoshi.ship.deploy import Deployer, Options
from hikkoshi.ship.live import look

_TIMEOUT = click.option("--timeout", help="Such as 10m; else the configuration's, else 10m.")
_AUDIT = click.option(
    "--audit-log-group", help="Also write the audit log to this log group of CloudWatch."
)


def _seconds(text: str | None, otherwise: float, option: str = "--timeout") -> float:
    if text is None:
        return otherwise
    try:
        return parse_duration(text)
    except ValueError as error:
        raise BadInput(str(error), where=option) from error


def _canary_s(text: str | None) -> float | None:
    if text is None:
        return None
    seconds = _seconds(text, 0.0, "--canary")
    if seconds <= 0:
        raise BadInput(
            f"{text} is no time for a canary to be looked at", where="--canary",
            fix="say how long it is to hold, such as --canary 5m, or leave the option out",
        )  # fmt: skip
    return seconds


@click.command(epilog=EXITS)
@service_options
@_TIMEOUT
@click.option("--no-wait", is_flag=True, help="Return when AWS has taken the change.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--force-new-deployment", is_flag=True, help="New tasks even if nothing changed.")
@click.option(
    "--on-failure",
    type=click.Choice(["rollback", "leave"]),
    default="rollback",
    show_default=True,
    help="When new tasks keep failing alike: go back to the last good deployment, or leave it.",
)
@click.option(
    "--canary",
    metavar="DURATION",
    help="First one task of it beside the others, for so long, such as 5m.",
)
@click.option("--supersede", is_flag=True, help="Deploy over a deployment that is in progress.")
@click.option("--no-lock", is_flag=True, help="Take no lock (an SSM parameter).")
@click.option("--break-lock", is_flag=True, help="Take the lock from whoever holds it.")
@_AUDIT
def deploy(
    directory: Path, is_local: bool, profile: str | None, region: str | None, as_json: bool,
    timeout: str | None, no_wait: bool, dry_run: bool, force_new_deployment: bool,
    on_failure: str, canary: str | None, supersede: bool, no_lock: bool, break_lock: bool,
    audit_log_group: str | None,
) -> None:  # fmt: skip
    """Bring the service of DIRECTORY to what its files say, and judge how that ends.

    DIRECTORY holds hikkoshi.yaml or ecspresso.yml. A task definition is registered only when it
    differs. What happens is shown on stderr; success is told by this deployment's own id, so a
    circuit breaker's rollback is never a success. When new tasks keep failing for one reason it
    does not wait for the breaker: it says why, with the container's last lines, and goes back.

    A service whose definition says BLUE_GREEN, LINEAR or CANARY is deployed by ECS in that way; the
    lifecycle stage is shown, and --timeout counts beside the time that it waits by design.

    \b
    Examples:
      hikkoshi deploy --local examples/genba/after
      hikkoshi deploy infra/ --profile production
      TAG=2.1.0 hikkoshi deploy ecspresso.yml --timeout 15m
      hikkoshi deploy infra/ --canary 5m
    """
    canary_s = _canary_s(canary)
    found = opened(directory, is_local, profile, region, prepares=not dry_run)
    options = Options(
        _seconds(timeout, found.home.timeout_s), not no_wait, on_failure == "rollback",
        force_new_deployment, supersede, not no_lock, break_lock,
        canary_s,
    )  # fmt: skip
    if dry_run:
        live = look(found.calls, found.home)
        for line in (*live.changes.task_diff, *live.changes.service_diff):
            click.echo(_coloured(line))
        warn("nothing was changed (--dry-run)" if not live.changes.is_nothing else
             "nothing to change")  # fmt: skip
        return
    with contextlib.closing(Shown()) as shown:
        deployer = Deployer(
            found.calls, found.home, options, shown, found.audit(audit_log_group), found.every_s,
            _cutover_here(found),
        )  # fmt: skip
        outcome = deployer.run()
    finish(outcome, as_json, "deploy")


def _cutover_here(found: Opened) -> KnownHere:
    """The cutover of which this project's own journal tells."""

    def look() -> str | None:
        journal = Journal(found.home.directory / OWN_DIRECTORY / "cutover")
        phase = journal.state().phase.value
        return None if journal.state().is_over else f"the cutover of this project is {phase}"

    return look


@click.command(epilog=EXITS)
@service_options
@_TIMEOUT
def wait(
    directory: Path, is_local: bool, profile: str | None, region: str | None, as_json: bool,
    timeout: str | None,
) -> None:  # fmt: skip
    """Wait for the end of the service's newest deployment, and judge it by its id.

    \b
    Examples:
      hikkoshi wait infra/
      hikkoshi wait --local examples/genba/after --timeout 2m --json
    """
    found = opened(directory, is_local, profile, region)
    limit_s = _seconds(timeout, found.home.timeout_s)
    with contextlib.closing(Shown()) as shown:
        if codedeploy.is_codedeploy(found.calls.must_describe()):
            by = CodeDeploy(found.calls, found.home, shown, found.every_s)
            outcome = codedeploying.wait(by, limit_s)
        else:
            outcome = rolling.wait(found.calls, shown, found.every_s, limit_s)
    finish(outcome, as_json, "deploy")


@click.command(epilog=EXITS)
@service_options
@_TIMEOUT
@click.option("--to", help="A revision to go to: 12 or family:12. Else the last good deployment's.")
@click.option("--no-wait", is_flag=True, help="Return when AWS has taken the change.")
@click.option("--dry-run", is_flag=True, help="Say where it would go back to.")
@_AUDIT
def rollback(
    directory: Path, is_local: bool, profile: str | None, region: str | None, as_json: bool,
    timeout: str | None, to: str | None, no_wait: bool, dry_run: bool,
    audit_log_group: str | None,
) -> None:  # fmt: skip
    """Go back to the last deployment that succeeded; stop one that is in progress.

    The revision that failed stays registered: it is the evidence.

    \b
    Examples:
      hikkoshi rollback infra/
      hikkoshi rollback infra/ --to 12
      hikkoshi rollback --local examples/genba/after --dry-run
    """
    found = opened(directory, is_local, profile, region)
    service = found.calls.must_describe()
    if codedeploy.is_codedeploy(service):
        _roll_back_by_codedeploy(
            found, service, to, timeout, dry_run=dry_run, waits=not no_wait, as_json=as_json,
            audit=found.audit(audit_log_group),
        )  # fmt: skip
    target = rolling.find_target(found.calls, service, to)
    now = short(primary(service)["taskDefinition"])
    warn(f"from {now} back to {short(target.task_definition)}: {target.because}")
    if dry_run:
        if as_json:
            click.echo(json.dumps({"from": now, "to": short(target.task_definition)}))
        return
    with contextlib.closing(Shown()) as shown:
        if not target.stops:
            refuse_beside_a_cutover(found.access, service, _cutover_here(found), shown.say)
        outcome = rolling.roll_back(
            found.calls, service, target, shown, found.audit(audit_log_group), found.every_s,
            _seconds(timeout, found.home.timeout_s), not no_wait,
        )  # fmt: skip
    finish(outcome, as_json, "rollback")


def _roll_back_by_codedeploy(
    found: Opened, service: dict[str, Any], to: str | None, timeout: str | None, *, dry_run: bool,
    waits: bool, as_json: bool, audit: Audit,
) -> NoReturn:  # fmt: skip
    limit_s = _seconds(timeout, found.home.timeout_s)
    with contextlib.closing(Shown()) as shown:
        by = CodeDeploy(found.calls, found.home, shown, found.every_s)
        plan = codedeploying.plan_rollback(by, service, to)
        warn(plan.words)
        if dry_run:
            if as_json:
                click.echo(json.dumps({"from": plan.now, "to": plan.to, "stops": plan.stops}))
            raise SystemExit(0)
        outcome = codedeploying.roll_back(by, service, plan, audit, limit_s, waits=waits)
    finish(outcome, as_json, "rollback")


@click.command(epilog="Exit codes: 0 the same, 1 they differ, 2 bad input, 3 could not run.")
@service_options
def diff(
    directory: Path, is_local: bool, profile: str | None, region: str | None, as_json: bool
) -> None:
    """Show what a deploy would change: live against files, defaults left out on both sides.

    \b
    Examples:
      hikkoshi diff infra/ --profile production
      hikkoshi diff --local examples/genba/after
    """
    found = opened(directory, is_local, profile, region)
    live = look(found.calls, found.home)
    changes = live.changes
    if as_json:
        document = {
            "same": changes.is_nothing,
            "creates": changes.creates,
            "taskDefinition": list(changes.task_diff),
            "service": list(changes.service_diff),
            "notes": list(live.notes),
        }
        click.echo(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        for line in (*changes.task_diff, *changes.service_diff):
            click.echo(_coloured(line))
        for note in live.notes:
            warn(note)
    raise SystemExit(0 if changes.is_nothing else 1)


def _coloured(line: str) -> str:
    colours = {"-": "red", "+": "green", "@": "cyan"}
    if line.startswith(("---", "+++")):
        return click.style(line, bold=True)
    return click.style(line, fg=colours[line[0]]) if line[:1] in colours else line
