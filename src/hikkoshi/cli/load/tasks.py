"""`hikkoshi load --tasks N` and `hikkoshi load share`: the same load by tasks of ECS."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from hikkoshi.base.errors import BadInput
from hikkoshi.cli.load.live import LiveView
from hikkoshi.cli.load.options import duration_of, told
from hikkoshi.cli.where import place, place_options
from hikkoshi.load.attack import Attack
from hikkoshi.load.tasks.drop import Drop
from hikkoshi.load.tasks.fleet import Wish
from hikkoshi.load.tasks.member import carry_share
from hikkoshi.load.tasks.plan import (
    PLACE_VARIABLE,
    SHARE_VARIABLE,
    notes_on,
    parse_bucket,
    parse_share,
)
from hikkoshi.load.tasks.spread import Spread, carry_out

Command = TypeVar("Command", bound=Callable[..., Any])
OPTIONS = (
    click.option("--tasks", type=int, help="Send it from so many tasks of ECS, each its share."),
    click.option("--cluster", help="With --tasks: where they run; else `default`."),
    click.option("--task-definition", help="With --tasks: family, family:revision or ARN; its "
                 "container runs `hikkoshi load share`."),
    click.option("--container", help="With --task-definition: which of several."),
    click.option("--image", help="Instead of --task-definition: an image with hikkoshi in it."),
    click.option("--cpu", help="With --image: CPU units of a task; else 1024."),
    click.option("--memory", help="With --image: MiB of a task; else 2048."),
    click.option("--task-role", help="With --image: ARN; it reads and writes the bucket."),
    click.option("--execution-role", help="With --image: ARN; it pulls the image."),
    click.option("--bucket", help="With --tasks: s3://BUCKET/PREFIX for plan and results; what is "
                 "put there is removed at the end."),
    click.option("--subnets", help="With --tasks: subnet-a,subnet-b; else the default VPC's."),
    click.option("--security-groups", help="With --tasks: sg-a,sg-b."),
    click.option("--public-ip", is_flag=True, help="With --subnets: an address of its own."),
    click.option("--start-within", default="5m", show_default=True,
                 help="With --tasks: until all are ready."),
)  # fmt: skip
_ONLY_WITH_TASKS = (
    "cluster", "task_definition", "container", "image", "cpu", "memory", "task_role",
    "execution_role", "bucket", "subnets", "security_groups", "public_ip", "is_local", "profile",
    "region",
)  # fmt: skip


def tasks_options(command: Command) -> Command:
    command = place_options(command)
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def refuse_without_tasks(options: dict[str, Any]) -> None:
    for name in _ONLY_WITH_TASKS:
        if options[name]:
            flag = "--" + {"is_local": "local"}.get(name, name).replace("_", "-")
            raise BadInput(f"{flag} without --tasks", fix="say how many tasks: --tasks 4")


def wish_of(options: dict[str, Any]) -> Wish:
    definition, image = options["task_definition"], options["image"]
    if (definition is None) == (image is None):
        raise BadInput(
            "what the tasks are is not said" if image is None else "two things for the tasks to be",
            fix="give --task-definition (its container runs `hikkoshi load share`) or --image",
        )
    for name in ("cpu", "memory", "task_role", "execution_role"):
        if image is None and options[name]:
            flag = "--" + name.replace("_", "-")
            raise BadInput(f"{flag} with --task-definition", fix="the definition says it already")
    if image is not None and options["container"]:
        raise BadInput("--container with --image", fix="leave it out")
    if image is not None and not options["task_role"]:
        raise BadInput(
            "--image without --task-role: the tasks could not reach the bucket",
            fix="give a role's ARN that may s3:ListBucket, s3:GetObject and s3:PutObject there",
        )
    return Wish(
        cluster=options["cluster"] or "default",
        definition=definition,
        container=options["container"],
        image=image,
        cpu=options["cpu"] or "1024",
        memory=options["memory"] or "2048",
        task_role=options["task_role"],
        execution_role=options["execution_role"],
        subnets=_listed(options["subnets"]),
        security_groups=_listed(options["security_groups"]),
        has_public_address=options["public_ip"],
    )


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(each.strip() for each in (text or "").split(",") if each.strip())


def carry_out_in_tasks(
    plan: Attack, options: dict[str, Any], output: Path, abort_after_s: float | None
) -> Spread:
    """abort_after_s: as of `carry_out`."""
    if options["bucket"] is None:
        raise BadInput(
            "--tasks without a bucket for plan and results", fix="give --bucket s3://BUCKET/PREFIX"
        )
    wish, bucket = wish_of(options), parse_bucket(options["bucket"])
    start_within_s = duration_of("--start-within", options["start_within"])
    access = place(options["is_local"], options["profile"], options["region"])
    for note in notes_on(plan, plan.targets):
        _say(note)
    title = f"{options['tasks']} tasks"
    with (
        _signals_set() as stopping,
        LiveView(plan, title, is_shown=sys.stderr.isatty()) as view,
    ):
        return carry_out(
            access, plan, options["tasks"], wish, bucket, output, stopping=stopping, say=_say,
            start_within_s=start_within_s, abort_after_s=abort_after_s, on_live=view.show,
        )  # fmt: skip


def _say(text: str) -> None:
    # A terminal that was closed is no reason to leave the tasks alone.
    with contextlib.suppress(OSError):
        print(f"hikkoshi load: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _signals_set() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM and the terminal's end set; nothing else comes of them, so that
    what was started is ended in order."""
    stopping = threading.Event()

    def stop(*_: object) -> None:
        stopping.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    # Who said `nohup` wants it to go on.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    kept = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield stopping
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _given_by(context: click.Context, parameter: str) -> str:
    """The option, or the variable of the environment, that a value came by."""
    (option,) = (each for each in context.command.params if each.name == parameter)
    is_of_environment = context.get_parameter_source(parameter) is ParameterSource.ENVIRONMENT
    return str(option.envvar) if is_of_environment else option.opts[0]


@click.command("share")
@click.option("--plan", "place_text", envvar=PLACE_VARIABLE, required=True,
              help="s3://BUCKET/PREFIX of the load.")  # fmt: skip
@click.option("--share", "share_text", envvar=SHARE_VARIABLE, required=True, help="0/4, 1/4, …")
@click.option("--json", "is_json", is_flag=True, help="How it ended, as JSON on stdout.")
@place_options
@click.pass_context
def share(
    context: click.Context,
    place_text: str,
    share_text: str,
    is_json: bool,
    is_local: bool,
    profile: str | None,
    region: str | None,
) -> None:
    """What a task of `hikkoshi load --tasks N` runs: sends its share of the load and leaves what
    came of it in the bucket. It is told by HIKKOSHI_LOAD_PLAN and HIKKOSHI_LOAD_SHARE, and reaches
    AWS as every program in a task does.

    Exit codes: 0 sent, 2 bad input, 3 could not run.

    \b
    Examples (the second is of a task definition):
      hikkoshi load share --plan s3://my-loads/hikkoshi-load-0f9ab5c1/ --share 0/4
      "entryPoint": ["hikkoshi"], "command": ["load", "share"]
    """
    with told():
        number = parse_share(share_text, _given_by(context, "share_text"))
        bucket = parse_bucket(place_text, _given_by(context, "place_text"))
        drop = Drop(place(is_local, profile, region), bucket)
        with _signals_set() as stopping, tempfile.TemporaryDirectory(prefix="share-") as directory:
            ended = carry_share(drop, number, Path(directory), stopping, _say)
        if is_json:
            print(json.dumps({"share": number, "plan": place_text, **ended}, indent=1))
