"""The documents that a shared load leaves in its bucket, below a prefix of its own; pure.

plan.json               what is sent and by how many tasks; files that the plan names, as text
ready/K.json            task K can send; its clock
start.json              all begin `lead_s` after the moment at which S3 stamped this object
live/K.json             how far task K has come, put anew every second (`reports`)
results/K/P/NNNNNN      the results file of process P of task K, piece by piece
end/K.json              the totals of task K, or the error it ended of
"""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.load.attack import Attack
from hikkoshi.load.targets import Target

PLAN, START, LIVE = "plan.json", "start.json", "live/"
# Of the documents here: a task and who starts it have to speak of the same.
_VERSION = 2
# How often a task says how far it has come.
REPORT_EVERY_S = 1.0
# The variables by which a task is told its part, as overrides of RunTask.
PLACE_VARIABLE, SHARE_VARIABLE = "HIKKOSHI_LOAD_PLAN", "HIKKOSHI_LOAD_SHARE"
# RunTask's overrides, one call a task: nobody's account starts more at once without asking AWS.
MOST_TASKS = 500
_ENVIRONMENT = re.compile(r"(?<!\$)\$\{env:([^{}]+)\}")
_LOOPBACK = re.compile(r"^[a-z]+://(?:[^/@]*@)?(?:localhost|127\.[\d.]+|\[::1\])(?=[:/]|$)", re.I)


def ready(task: int) -> str:
    return f"ready/{task}.json"


def end(task: int) -> str:
    return f"end/{task}.json"


def live(task: int) -> str:
    return f"{LIVE}{task}.json"


def task_of(name: str) -> int:
    """The task whose `live` has that name."""
    return int(name.removeprefix(LIVE).removesuffix(".json"))


def piece(task: int, process: int, number: int) -> str:
    """Names of one file's pieces sort as their numbers do."""
    return f"results/{task}/{process}/{number:08d}"


@dataclass(frozen=True, slots=True)
class Bucket:
    """prefix: '' or ends with a slash."""

    name: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.name}/{self.prefix}"

    def below(self, name: str) -> Bucket:
        return dataclasses.replace(self, prefix=f"{self.prefix}{name}/")


def parse_bucket(text: str, where: str = "--bucket") -> Bucket:
    match = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", text)
    if match is None:
        raise BadInput(f"{text!r} is no bucket", where=where, fix="write s3://BUCKET/PREFIX")
    prefix = (match[2] or "").strip("/")
    return Bucket(match[1], f"{prefix}/" if prefix else "")


def parse_share(text: str, where: str = "--share") -> tuple[int, int]:
    """'0/4' → the first of four shares."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not int(match[1]) < int(match[2]):
        raise BadInput(f"{text!r} is no share", where=where, fix="write 0/4")
    return int(match[1]), int(match[2])


def refuse(attack: Attack, tasks: int) -> None:
    """BadInput when the load cannot be cut into so many shares."""
    if not 1 <= tasks <= MOST_TASKS:
        raise BadInput(f"{tasks} tasks", where="--tasks", fix=f"give 1 to {MOST_TASKS}")
    if attack.pacer is not None and attack.pacer.count < tasks:
        raise BadInput(
            f"{tasks} tasks for {attack.pacer.count} requests: some would have nothing to send",
            where="--tasks", fix="ask for fewer tasks, or for more requests",
        )  # fmt: skip
    needed = tasks * attack.processes
    if needed > attack.connections:
        raise BadInput(
            f"{attack.connections} connections for {tasks} tasks of {attack.processes} processes",
            where="--connections", fix=f"give {needed} or more: they are of all tasks together",
        )  # fmt: skip
    if attack.tls.cert is not None or attack.tls.key is not None:
        raise BadInput(
            "a client's certificate is not given to tasks: its key would have to lie in the bucket",
            where="--cert", fix="leave it out, or send the load from this machine, without --tasks",
        )  # fmt: skip
    dataclasses.replace(attack, share=(0, tasks))


def notes_on(attack: Attack, targets: Iterable[Target]) -> list[str]:
    """What a reader should know before the tasks start."""
    urls = [attack.connect_to or t.url for t in targets] + [attack.base_url or ""]
    if any(_LOOPBACK.match(url) for url in urls):
        return ["localhost is the task itself there, and not this machine"]
    return []


def environment_names(targets: Iterable[Target]) -> frozenset[str]:
    """The variables of the environment that the targets read: a task must have them."""
    return frozenset(
        name
        for target in targets
        for text in (
            target.url, *(value for _, value in target.headers), target.body.decode("latin-1"),
        )
        for name in _ENVIRONMENT.findall(text)
    )  # fmt: skip


def plan_document(attack: Attack, tasks: int, start_within_s: float) -> dict[str, Any]:
    """BadInput when a file that the plan names cannot be read."""
    files = {"feed": attack.feed, "root_certs": attack.tls.root_certs}
    return {
        "version": _VERSION,
        "tasks": tasks,
        "processes": attack.processes,
        "start_within_s": start_within_s,
        "attack": attack.as_json(),
        "files": {name: _read(path) for name, path in files.items() if path is not None},
    }


def _read(path: Path) -> str:
    try:
        return base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(path)) from error


def attack_of(document: dict[str, Any], share: tuple[int, int], directory: Path) -> Attack:
    """The share of the plan as a load; files of the plan are put into the directory."""
    if document.get("version") != _VERSION or document["tasks"] != share[1]:
        raise BadInput(
            f"share {share[0]}/{share[1]} of a plan for {document.get('tasks')} tasks, version "
            f"{document.get('version')}",
            where=PLAN, fix="give the tasks the version of hikkoshi that starts them",
        )  # fmt: skip
    attack = Attack.from_json(document["attack"])
    paths: dict[str, Path] = {}
    for name, text in document["files"].items():
        paths[name] = directory / name
        paths[name].write_bytes(base64.b64decode(text))
    return dataclasses.replace(
        attack,
        share=share,
        processes=document["processes"],
        feed=paths.get("feed"),
        tls=dataclasses.replace(attack.tls, root_certs=paths.get("root_certs")),
    )
