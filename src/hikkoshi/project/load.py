"""A directory into a `Project`: everything that can be known to be wrong is said here, by line,
before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.fargate.definition import check_task_definition
from hikkoshi.fargate.references import secret_name, target_group_name
from hikkoshi.model.project import Project, Settings
from hikkoshi.project.aws_shapes import (
    check_shape,
    input_shape,
    only_input,
    output_member_shape,
)
from hikkoshi.project.documents import Document, nearest, parse_document, read_document
from hikkoshi.project.firelens_roles import check_firelens_roles
from hikkoshi.project.settings import read_settings

SETTINGS_FILE = "hikkoshi.yaml"


_NONE: Mapping[str, str] = {}


def load_project(directory: Path, texts: Mapping[str, str] = _NONE) -> Project:
    """Raises BadInput: what is wrong, the file and line, and the fix.

    texts: by the name that hikkoshi.yaml gives them, AWS's documents as they would be; they are
    checked as if they stood in the files."""
    return _load(directory, texts, is_compared=False)


def _load(directory: Path, texts: Mapping[str, str], *, is_compared: bool) -> Project:
    if not directory.is_dir():
        raise BadInput(
            f"there is no directory {directory}",
            fix=f"name the directory that holds {SETTINGS_FILE}",
        )
    document = read_document(directory / SETTINGS_FILE, named_by="`hikkoshi rehearse DIR`")
    settings = read_settings(document)
    _check_files(document, settings, directory)
    _check_database(document, settings)
    task = _read_task_definition(directory, settings, texts)
    service, service_name = _read_service_definition(directory, settings, texts)
    _check_load_balancer(document, settings, task.data, service)
    for problem in check_firelens_roles(task.data, service.data, settings.images):
        raise task.refuse(problem.path, problem.message, problem.fix)
    _check_secrets(document, settings, task)
    compared = None
    if settings.compare_with is not None and not is_compared:
        compared = _load((directory / settings.compare_with).resolve(), {}, is_compared=True)
        if compared.settings.old_home is None:
            raise document.refuse(
                ("compare_with",), f"{settings.compare_with}/{SETTINGS_FILE} has no `old_home`"
            )
    return Project(directory, settings, task.data, service.data, service_name, compared)


def _check_files(document: Document, settings: Settings, directory: Path) -> None:
    wanted: list[tuple[tuple[str | int, ...], str]] = []
    if settings.synthetic:
        wanted.append((("synthetic",), settings.synthetic))
    if settings.load:
        wanted.append((("load", "targets"), settings.load.targets))
    if settings.database:
        for index, name in enumerate(settings.database.schema):
            wanted.append((("database", "schema", index), name))
    if settings.compare_with:
        wanted.append((("compare_with",), settings.compare_with))
    for image, how in settings.images.items():
        if how.embedded is None and how.path is None and how.dockerfile is None:
            raise document.refuse(
                ("images", image),
                "this image says neither how it is made nor where it is",
                "give it `embedded:`, `dockerfile:` or `path:`",
            )
        for source in how.embedded.copy if how.embedded else ():
            wanted.append((("images", image, "embedded", "copy", source), source))
        for kind, file in (("path", how.path), ("dockerfile", how.dockerfile)):
            if file is not None:
                wanted.append((("images", image, kind), file))
    for key, name in wanted:
        if not (directory / name).exists():
            raise document.refuse(key, f"there is no {directory / name}", "correct the path")


def _check_database(document: Document, settings: Settings) -> None:
    database = settings.database
    if database is None:
        return
    if database.image is not None:
        raise document.refuse(
            ("database", "image"),
            f"the database image {database.image!r} cannot be reached: the region plays Aurora "
            "with database processes of its own and pulls no database image",
            "take `image` out",
        )
    if database.engine not in ("aurora-postgresql", "aurora-mysql"):
        raise document.refuse(
            ("database", "engine"),
            f"the local region plays no {database.engine!r}",
            "aurora-postgresql and aurora-mysql are what it has",
        )
    if not 1 <= database.instances <= 3:
        raise document.refuse(
            ("database", "instances"), "the local region takes 1 to 3 instances (a writer, readers)"
        )


def _read(directory: Path, name: str, texts: Mapping[str, str]) -> Document:
    if name in texts:
        return parse_document(directory / name, texts[name])
    return read_document(directory / name, named_by=SETTINGS_FILE)


def _read_task_definition(
    directory: Path, settings: Settings, texts: Mapping[str, str]
) -> Document:
    document = unwrapped(_read(directory, settings.task_definition, texts), "taskDefinition")
    shape = input_shape("ecs", "RegisterTaskDefinition")
    shown = output_member_shape("ecs", "DescribeTaskDefinition", "taskDefinition")
    document = only_input(document, shape, shown)
    check_shape(document, document.data, shape)
    for problem in check_task_definition(document.data):
        raise document.refuse(problem.path, problem.message, problem.fix)
    return document


def _read_service_definition(
    directory: Path, settings: Settings, texts: Mapping[str, str]
) -> tuple[Document, str]:
    document = unwrapped(_read(directory, settings.service_definition, texts), "service")
    if not isinstance(document.data, dict):
        raise document.refuse((), "this must be an object")
    name = document.data.get("serviceName") or settings.service
    if not name:
        raise document.refuse(
            (), "the service has no name", "add serviceName, or `service:` in hikkoshi.yaml"
        )
    data = {"serviceName": name, **document.data}
    check_shape(document, data, input_shape("ecs", "CreateService"))
    return Document(document.path, data, document.places), str(name)


def unwrapped(document: Document, key: str) -> Document:
    """`describe` output has the document under one key; ecspresso takes it so, and so do we."""
    if isinstance(document.data, dict) and set(document.data) == {key}:
        places = {path[1:]: at for path, at in document.places.items() if path[:1] == (key,)}
        return Document(document.path, document.data[key], places)
    return document


def _check_load_balancer(
    document: Document, settings: Settings, task: dict[str, Any], service: Document
) -> None:
    containers = {c["name"]: c for c in task["containerDefinitions"]}
    for index, balancer in enumerate(service.data.get("loadBalancers", [])):
        key = ("loadBalancers", index)
        name = balancer.get("containerName", "")
        if name not in containers:
            raise service.refuse(
                (*key, "containerName"),
                f"the task definition has no container named {name!r}",
                nearest(name, containers),
            )
        ports = [m.get("containerPort") for m in containers[name].get("portMappings", [])]
        if balancer.get("containerPort") not in ports:
            raise service.refuse(
                (*key, "containerPort"),
                f"the container {name!r} does not map port {balancer.get('containerPort')}",
                f"its portMappings have {ports}" if ports else "add it to its portMappings",
            )
        group = target_group_name(balancer.get("targetGroupArn", ""))
        if settings.load_balancer is None:
            raise service.refuse(
                key,
                "the service is behind a target group that hikkoshi.yaml does not describe",
                f"add `load_balancer:` with `target_group: {group}` there",
            )
        if group != settings.load_balancer.target_group:
            raise service.refuse(
                (*key, "targetGroupArn"),
                f"this target group is {group!r}, but hikkoshi.yaml describes "
                f"{settings.load_balancer.target_group!r}",
                f"write `target_group: {group}` on {document.where(('load_balancer',))}",
            )


def _check_secrets(document: Document, settings: Settings, task: Document) -> None:
    for index, container in enumerate(task.data["containerDefinitions"]):
        lists = [
            (("containerDefinitions", index, "secrets"), container.get("secrets", [])),
            (
                ("containerDefinitions", index, "logConfiguration", "secretOptions"),
                container.get("logConfiguration", {}).get("secretOptions", []),
            ),
        ]
        for key, secrets in lists:
            for position, secret in enumerate(secrets):
                name = secret_name(secret["valueFrom"])
                if name not in settings.secrets:
                    raise task.refuse(
                        (*key, position, "valueFrom"),
                        f"hikkoshi.yaml gives no rehearsal value for the secret {name!r}",
                        f"add it under `secrets:` in {document.path}",
                    )
