"""`hikkoshi status DIR`, `revisions`, `delete` and `init`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from hikkoshi.aws.access import calling
from hikkoshi.base.errors import AwsRefused, BadInput, DeadlinePassed
from hikkoshi.cli.service import Opened, opened, service_options, warn
from hikkoshi.cli.tasks import describe_task, print_table
from hikkoshi.cli.where import place, place_options
from hikkoshi.ship import blue_green
from hikkoshi.ship.calls import Calls, primary, short
from hikkoshi.ship.init import from_live
from hikkoshi.ship.watch import row_of

_EVENTS = 8


@click.command(epilog="Exit codes: 0 shown, 2 wrong use or bad input, 3 could not run.")
@click.argument("directory", type=click.Path(path_type=Path), required=False)
@place_options
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def status(
    directory: Path | None, is_local: bool, profile: str | None, region: str | None, as_json: bool
) -> None:
    """Show the service of DIRECTORY; without one, this user's local regions and their doors.

    \b
    Examples:
      hikkoshi status --json
      hikkoshi status infra/ --profile production
      hikkoshi status --local examples/genba/after
    """
    if directory is None:
        from hikkoshi.cli.region import status as regions

        assert regions.callback is not None
        regions.callback(as_json)
        return
    found = opened(directory, is_local, profile, region)
    service = found.calls.must_describe()
    tasks = found.calls.tasks("RUNNING", serviceName=found.calls.service)
    targets = _targets(found, service)
    record = _record(found, service)
    if as_json:
        document = _document(service, tasks, targets) | _stage_document(record)
        click.echo(json.dumps(document, indent=1, default=str))
        return
    _show(found, service, tasks, targets)
    stage = blue_green.describe_stage(record) if record is not None else None
    if record is not None and stage is not None and not blue_green.is_over(record):
        click.echo(f"  stage {stage}")


def _record(found: Opened, service: dict[str, Any]) -> dict[str, Any] | None:
    """The newest service deployment, of a service whose traffic ECS shifts."""
    if not blue_green.shifts_traffic(service):
        return None
    newest = next(iter(found.calls.service_deployments(most=1)), None)
    return found.calls.service_deployment(newest["serviceDeploymentArn"]) if newest else None


def _stage_document(record: dict[str, Any] | None) -> dict[str, Any]:
    if record is None:
        return {}
    target = record.get("targetServiceRevision") or {}
    return {
        "strategy": blue_green.strategy_of(record),
        "serviceDeployment": record["status"],
        "lifecycleStage": record.get("lifecycleStage"),
        "productionTrafficPercent": target.get("requestedProductionTrafficWeight"),
    }


def _targets(found: Opened, service: dict[str, Any]) -> list[dict[str, Any]]:
    elb = found.access.client("elbv2")
    rows = []
    groups = blue_green.target_groups(service.get("loadBalancers", []))
    for group in groups:
        try:
            answer = calling(
                "elasticloadbalancing:DescribeTargetHealth", elb.describe_target_health,
                TargetGroupArn=group,
            )  # fmt: skip
        except AwsRefused as error:
            warn(f"warning: the health of targets is not known: {error.what}")
            continue
        rows += [
            {
                "target": f"{each['Target']['Id']}:{each['Target'].get('Port')}",
                "group": group.split("/")[1],
                "state": each["TargetHealth"]["State"],
                "reason": each["TargetHealth"].get("Description", ""),
            }
            for each in answer["TargetHealthDescriptions"]
        ]
    return rows


def _document(
    service: dict[str, Any], tasks: list[dict[str, Any]], targets: list[dict[str, Any]]
) -> dict[str, Any]:
    keys = ("serviceName", "status", "desiredCount", "runningCount", "pendingCount")
    return {
        **{key: service[key] for key in keys},
        "taskDefinition": short(primary(service)["taskDefinition"]),
        "deployments": [
            {k: d.get(k) for k in ("id", "status", "rolloutState", "rolloutStateReason",
                                   "taskDefinition", "runningCount", "desiredCount",
                                   "pendingCount", "failedTasks")}
            for d in [*service["deployments"], *service.get("taskSets", [])]
        ],
        "tasks": [describe_task(task) for task in tasks],
        "targets": targets,
        "events": [
            {"at": e["createdAt"], "message": e["message"]} for e in service["events"][:_EVENTS]
        ],
    }  # fmt: skip


def _show(
    found: Opened, service: dict[str, Any], tasks: list[dict[str, Any]],
    targets: list[dict[str, Any]],
) -> None:  # fmt: skip
    where = "the local region" if found.access.is_local else found.access.region
    counts = f"{service['runningCount']}/{service['desiredCount']} running"
    if service["pendingCount"]:
        counts += f", {service['pendingCount']} pending"
    click.echo(f"{found.calls.cluster}/{found.calls.service} in {where}: {service['status']}, "
               f"{counts}")  # fmt: skip
    for deployment in [*service["deployments"], *service.get("taskSets", [])]:
        click.echo(f"  {row_of(deployment)}")
        if deployment.get("rolloutState") in ("FAILED", "IN_PROGRESS"):
            click.echo(f"    {deployment.get('rolloutStateReason', '')}")
    for task in map(describe_task, tasks):
        click.echo(f"  task {task['id']} {task['taskDefinition']} {task['status']} "
                   f"{task['health']} {task['age']}")  # fmt: skip
    for target in targets:
        reason = f" ({target['reason']})" if target["reason"] else ""
        click.echo(f"  target {target['target']} in {target['group']} {target['state']}{reason}")
    for event in service["events"][:_EVENTS]:
        click.echo(f"  {event['createdAt'].astimezone():%Y-%m-%d %H:%M:%S} {event['message']}")


@click.command(epilog="Exit codes: 0 shown, 2 wrong use or bad input, 3 could not run.")
@service_options
@click.option("--number", default=10, show_default=True, type=click.IntRange(1, 50))
def revisions(
    directory: Path, is_local: bool, profile: str | None, region: str | None, as_json: bool,
    number: int,
) -> None:  # fmt: skip
    """List the newest revisions of the task definition, and what became of each deployment.

    \b
    Example:
      hikkoshi revisions infra/ --number 20
    """
    found = opened(directory, is_local, profile, region)
    calls = found.calls
    arns = calls(
        "ListTaskDefinitions", familyPrefix=found.home.family, sort="DESC", maxResults=number
    )["taskDefinitionArns"]
    service = calls.describe()
    live = primary(service)["taskDefinition"] if service else None
    outcomes = _outcomes(calls) if service else {}
    rows = []
    for arn in arns:
        definition = calls.definition(arn) or {}
        rows.append({
            "revision": short(arn),
            "live": arn == live,
            "deployments": outcomes.get(arn, []),
            "registeredAt": f"{definition['registeredAt'].astimezone():%Y-%m-%d %H:%M:%S}",
            "images": [c["image"] for c in definition["containerDefinitions"]],
        })  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    print_table(("", "revision", "registered", "deployments", "images"), [
        ("*" if r["live"] else "", r["revision"], r["registeredAt"],
         ", ".join(r["deployments"]) or "none",
         ", ".join(image.rsplit("/", 1)[-1] for image in r["images"]))
        for r in rows
    ])  # fmt: skip


def _outcomes(calls: Calls) -> dict[str, list[str]]:
    """Task definition → what became of its deployments, the newest first."""
    deployments = calls.service_deployments(most=50)
    known = calls.definitions_of_revisions([d["targetServiceRevisionArn"] for d in deployments])
    result: dict[str, list[str]] = {}
    for each in deployments:
        arn = known.get(each["targetServiceRevisionArn"])
        if arn is not None:
            result.setdefault(arn, []).append(each["status"].lower().replace("_", " "))
    return result


@click.command(epilog="Exit codes: 0 deleted, 2 wrong use or bad input, 3 could not run.")
@service_options
@click.option("--force", is_flag=True, help="Do not ask.")
@click.option("--no-wait", is_flag=True, help="Return while it drains.")
def delete(
    directory: Path, is_local: bool, profile: str | None, region: str | None, as_json: bool,
    force: bool, no_wait: bool,
) -> None:  # fmt: skip
    """Delete the service, its running tasks too; task definitions stay. Asks first.

    \b
    Examples:
      hikkoshi delete infra/
      hikkoshi delete --local examples/genba/after --force
    """
    found = opened(directory, is_local, profile, region)
    calls = found.calls
    service = calls.must_describe()
    where = "the local region" if found.access.is_local else found.access.region
    if not force:
        if not sys.stdin.isatty():
            raise BadInput(
                "deleting asks first, and there is no terminal to ask on", fix="give --force"
            )
        typed = click.prompt(
            f"{calls.cluster}/{calls.service} in {where} runs {service['runningCount']} tasks. "
            "Type the service's name to delete it",
            err=True,
        )
        if typed != calls.service:
            raise BadInput("that is not its name; nothing was deleted")
    found.audit().note("delete", cluster=calls.cluster, service=calls.service)
    calls("DeleteService", cluster=calls.cluster, service=calls.service, force=True)
    if not no_wait:
        _wait_gone(calls, found.every_s)
    text = "is draining" if no_wait else "is deleted"
    if as_json:
        click.echo(json.dumps({"service": calls.service, "deleted": not no_wait}))
    else:
        click.echo(f"{calls.cluster}/{calls.service} {text}")


def _wait_gone(calls: Calls, every_s: float, timeout_s: float = 900.0) -> None:
    deadline = time.monotonic() + timeout_s
    while calls.describe() is not None:
        if time.monotonic() > deadline:
            raise DeadlinePassed(f"{calls.service} still drains after {timeout_s:.0f} s")
        time.sleep(every_s)


@click.command(epilog="Exit codes: 0 written, 2 wrong use or bad input, 3 could not run.")
@click.option("--service", required=True, help="The live service.")
@click.option("--cluster", default="default", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--ecspresso", "as_ecspresso", is_flag=True, help="Write ecspresso.yml instead.")
@click.option("--overwrite", is_flag=True, help="Write over files that are there.")
@place_options
def init(
    service: str, cluster: str, output: Path, as_ecspresso: bool, overwrite: bool,
    is_local: bool, profile: str | None, region: str | None,
) -> None:  # fmt: skip
    """Write a project's files from a live service; a deploy of them changes nothing.

    \b
    Examples:
      hikkoshi init --service web --cluster production -o infra/ --profile production
      hikkoshi init --local --service genba --cluster genba -o copy/ --ecspresso
    """
    access = place(is_local, profile, region)
    written = from_live(Calls(access, cluster, service), as_ecspresso=as_ecspresso)
    there = [name for name in written.files if (output / name).exists()]
    if there and not overwrite:
        raise BadInput(
            f"{output} has {', '.join(there)} already", fix="choose another -o, or --overwrite"
        )
    output.mkdir(parents=True, exist_ok=True)
    for name, text in written.files.items():
        (output / name).write_text(text, "utf-8")
        click.echo(str(output / name))
    for warning in written.warnings:
        warn(f"warning: {warning}")
