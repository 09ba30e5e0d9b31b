"""A directory or a configuration file into a `Home`: hikkoshi's own, or ecspresso's as it is.

What can be known to be wrong is said here with file, line and fix, before AWS is asked.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hikkoshi.aws.access import Access, calling
from hikkoshi.base.errors import AwsRefused, BadInput
from hikkoshi.base.units import parse_duration
from hikkoshi.fargate.definition import check_task_definition
from hikkoshi.project.aws_shapes import (
    check_shape,
    input_shape,
    only_input,
    output_member_shape,
)
from hikkoshi.project.documents import Document, nearest, parse_document, read_text
from hikkoshi.project.firelens_roles import check_firelens_roles
from hikkoshi.project.settings import read_settings
from hikkoshi.ship import blue_green, tfstate
from hikkoshi.ship.codedeploy import CONTROLLER
from hikkoshi.ship.home import DEFAULT_TIMEOUT_S, Home
from hikkoshi.ship.templates import Function, own_functions, render

OWN = "hikkoshi.yaml"
ECSPRESSO = ("ecspresso.yml", "ecspresso.yaml", "ecspresso.json")
_KEYS = {
    "required_version", "region", "cluster", "service", "service_definition", "task_definition",
    "plugins", "timeout", "appspec", "codedeploy", "filter_command", "ignore",
}  # fmt: skip


class Reader:
    """environment: for `env` and `must_env`. access: makes the way to AWS when a template or
    anything else first asks for it, so that reading alone needs no credentials."""

    def __init__(self, environment: Mapping[str, str], access: Any) -> None:
        self._functions = own_functions(environment)
        self._access = access

    def read(self, place: Path) -> Home:
        """place: the directory, or the configuration file itself."""
        configuration = find_configuration(place)
        if configuration.name == OWN:
            return self._read_own(configuration)
        return self._read_ecspresso(configuration)

    def _read_own(self, configuration: Path) -> Home:
        directory = configuration.parent
        document = self._document(configuration, self._functions)
        settings = read_settings(document)
        functions = {**self._functions, **self._look_ups("")}
        task = self._task(directory / settings.task_definition, functions, OWN)
        service, name = self._service(
            directory / settings.service_definition, functions, OWN, settings.service
        )
        for problem in check_firelens_roles(task.data, service.data, settings.images):
            raise task.refuse(problem.path, problem.message, problem.fix)
        copies = {
            f"{image}:{inside}": str(directory / source)
            for image, how in settings.images.items()
            if how.embedded is not None
            for source, inside in how.embedded.copy.items()
        }
        # What the file does not say is the profile's or AWS_REGION's to say, never a default's.
        region = settings.region if "region" in document.data else ""
        return Home(
            directory, configuration, region, settings.cluster, name, task.data,
            service.data, router_configurations=copies, local_images=frozenset(settings.images),
            database=settings.database.cluster if settings.database else None,
        )  # fmt: skip

    def _read_ecspresso(self, configuration: Path) -> Home:
        directory = configuration.parent
        document = self._document(configuration, self._functions)
        data = document.data
        if not isinstance(data, dict):
            raise document.refuse((), "this file must be a mapping of keys")
        for key in data:
            if key not in _KEYS:
                raise document.refuse((key,), f"there is no key {key!r} here", nearest(key, _KEYS))
        codedeploy, hooks = _read_codedeploy(document)
        if not data.get("task_definition"):
            raise document.refuse((), "the key 'task_definition' is missing here")
        functions = {**self._functions, **self._plugins(document)}
        name = configuration.name
        task = self._task(directory / str(data["task_definition"]), functions, name)
        service, service_name = None, str(data.get("service") or "")
        if data.get("service_definition"):
            path = directory / str(data["service_definition"])
            service, service_name = self._service(path, functions, name, service_name or None)
        return Home(
            directory, configuration, str(data.get("region") or ""),
            str(data.get("cluster") or "default"), service_name, task.data,
            service.data if service else None, self._timeout(document),
            codedeploy=codedeploy, hooks=hooks,
        )  # fmt: skip

    def _timeout(self, document: Document) -> float:
        given = document.data.get("timeout")
        if given is None:
            return DEFAULT_TIMEOUT_S
        try:
            return parse_duration(given)
        except ValueError as error:
            raise document.refuse(("timeout",), str(error)) from error

    def _document(self, path: Path, functions: Mapping[str, Function], by: str = "") -> Document:
        if path.suffix == ".jsonnet":
            raise BadInput(
                "Jsonnet is not supported", where=str(path),
                fix=f"write it out once: jsonnet {path.name} > {path.stem}.json",
            )  # fmt: skip
        text = read_text(path, named_by=by or None)
        return parse_document(path, render(text, functions, path) if "{{" in text else text)

    def _task(self, path: Path, functions: Mapping[str, Function], by: str) -> Document:
        document = _unwrapped(self._document(path, functions, by), "taskDefinition")
        shape = input_shape("ecs", "RegisterTaskDefinition")
        document = only_input(document, shape, output_member_shape(
            "ecs", "DescribeTaskDefinition", "taskDefinition"))  # fmt: skip
        check_shape(document, document.data, shape)
        for problem in check_task_definition(document.data):
            raise document.refuse(problem.path, problem.message, problem.fix)
        return document

    def _service(
        self, path: Path, functions: Mapping[str, Function], by: str, name: str | None
    ) -> tuple[Document, str]:
        document = _unwrapped(self._document(path, functions, by), "service")
        if not isinstance(document.data, dict):
            raise document.refuse((), "this must be an object")
        name = name or document.data.get("serviceName")
        if not name:
            raise document.refuse((), "the service has no name", f"add `service:` to {by}")
        shape = input_shape("ecs", "CreateService")
        named = Document(document.path, {**document.data, "serviceName": name}, document.places)
        shown = output_member_shape("ecs", "DescribeServices", "services")
        named = only_input(named, shape, shown)
        check_shape(named, named.data, shape)
        _refuse_other_ways(named)
        return named, name

    def _plugins(self, document: Document) -> dict[str, Function]:
        functions = self._look_ups("")
        for index, plugin in enumerate(document.data.get("plugins") or []):
            kind, prefix = plugin.get("name"), str(plugin.get("func_prefix") or "")
            config = plugin.get("config") or {}
            if kind == "tfstate":
                functions |= self._tfstate(document, index, config, prefix)
            elif kind in ("ssm", "secretsmanager"):
                functions |= self._look_ups(prefix)
            else:
                raise document.refuse(
                    ("plugins", index, "name"), f"the plugin {kind!r} is not implemented",
                    "tfstate, ssm and secretsmanager are",
                )  # fmt: skip
        return functions

    def _tfstate(
        self, document: Document, index: int, config: Mapping[str, Any], prefix: str
    ) -> dict[str, Function]:
        where: tuple[str | int, ...] = ("plugins", index, "config")
        place = str(config.get("url") or config.get("path") or "")
        if place.startswith("s3://"):
            read = functools.partial(self._read_s3, place)
        elif "://" in place and not place.startswith("file://"):
            raise document.refuse((*where, "url"), f"{place}: only files and s3:// are implemented")
        elif place:
            path = document.path.parent / place.removeprefix("file://")
            read = functools.partial(read_text, path, named_by=document.path.name)
        else:
            raise document.refuse(where, "the tfstate plugin wants `path` or `url`")
        return {f"{prefix}tfstate": tfstate.reader(read)}

    def _read_s3(self, url: str) -> str:
        bucket, _, key = url.removeprefix("s3://").partition("/")
        s3 = self._access().client("s3")
        answer = calling("s3:GetObject", s3.get_object, Bucket=bucket, Key=key)
        return str(answer["Body"].read().decode())

    def _look_ups(self, prefix: str) -> dict[str, Function]:
        def ssm(arguments: list[str]) -> str:
            if not 1 <= len(arguments) <= 2:
                raise ValueError("ssm wants a name, and an index for a StringList")
            client = self._access().client("ssm")
            found = calling(
                "ssm:GetParameter", client.get_parameter, Name=arguments[0], WithDecryption=True
            )["Parameter"]
            if len(arguments) == 1:
                return str(found["Value"])
            return str(found["Value"].split(",")[int(arguments[1])])

        def arn(arguments: list[str]) -> str:
            if len(arguments) != 1:
                raise ValueError("secretsmanager_arn wants one name")
            client = self._access().client("secretsmanager")
            return str(
                calling(
                    "secretsmanager:DescribeSecret", client.describe_secret, SecretId=arguments[0]
                )["ARN"]
            )

        return {f"{prefix}ssm": ssm, f"{prefix}secretsmanager_arn": arn}


def read_home(place: Path, environment: Mapping[str, str], access: Any) -> Home:
    """access: a function without arguments → Access, called only when a template asks AWS."""
    return Reader(environment, access).read(place)


def find_configuration(place: Path) -> Path:
    """hikkoshi.yaml, else ecspresso's. BadInput says what was looked for."""
    if place.is_file():
        return place
    if not place.is_dir():
        raise BadInput(
            f"there is no directory {place}",
            fix=f"name a directory with {OWN} or ecspresso.yml; "
            "`hikkoshi init --service S --cluster C -o DIR` writes one from a live service",
        )
    for name in (OWN, *ECSPRESSO):
        if (place / name).is_file():
            return place / name
    if (place / "ecspresso.jsonnet").is_file():
        raise BadInput(
            "Jsonnet is not supported", where=str(place / "ecspresso.jsonnet"),
            fix="write it out once: jsonnet ecspresso.jsonnet > ecspresso.json",
        )  # fmt: skip
    raise BadInput(
        f"{place} has neither {OWN} nor ecspresso.yml",
        fix="`hikkoshi init --service S --cluster C -o DIR` writes them from a live service",
    )


def _refuse_other_ways(service: Document) -> None:
    """What could not be tried in the local region is not offered for an account."""
    kind = (service.data.get("deploymentController") or {}).get("type", "ECS")
    if kind not in ("ECS", CONTROLLER):
        raise service.refuse(
            ("deploymentController", "type"), f"a deploy by {kind} is not implemented",
            "leave deploymentController out (ECS's own deploys), or CODE_DEPLOY",
        )  # fmt: skip
    if blue_green.shifts_traffic(service.data):
        _check_shifting(service)


_NEEDED_TO_SHIFT = ("alternateTargetGroupArn", "productionListenerRule", "roleArn")
_CODEDEPLOY_KEYS = {"application_name", "deployment_group_name"}


def _read_codedeploy(document: Document) -> tuple[dict[str, str], tuple[dict[str, str], ...]]:
    """ecspresso's `codedeploy:` and the Hooks of its `appspec:`."""
    named = document.data.get("codedeploy") or {}
    appspec = document.data.get("appspec") or {}
    for key, given in (("codedeploy", named), ("appspec", appspec)):
        if not isinstance(given, dict):
            raise document.refuse((key,), "this must be a mapping of keys")
    for key in named:
        if key not in _CODEDEPLOY_KEYS:
            raise document.refuse(
                ("codedeploy", key), f"there is no key {key!r} here", nearest(key, _CODEDEPLOY_KEYS)
            )
    hooks = appspec.get("Hooks") or []
    if not isinstance(hooks, list) or not all(isinstance(hook, dict) for hook in hooks):
        raise document.refuse(
            ("appspec", "Hooks"), "this must be a list", "- BeforeAllowTraffic: FUNCTION"
        )
    return {k: str(v) for k, v in named.items()}, tuple(dict(hook) for hook in hooks)


def _check_shifting(service: Document) -> None:
    """What ECS refuses of a service whose traffic it is to shift."""
    strategy = blue_green.strategy_of(service.data)
    configuration = service.data["deploymentConfiguration"]
    if strategy == "BLUE_GREEN" and configuration.get("bakeTimeInMinutes") is None:
        raise service.refuse(
            ("deploymentConfiguration",), "BLUE_GREEN needs bakeTimeInMinutes",
            'how long both run after the traffic was shifted: "bakeTimeInMinutes": 10',
        )  # fmt: skip
    for index, balancer in enumerate(service.data.get("loadBalancers") or []):
        advanced = balancer.get("advancedConfiguration") or {}
        missing = [name for name in _NEEDED_TO_SHIFT if not advanced.get(name)]
        if missing:
            raise service.refuse(
                ("loadBalancers", index),
                f"{strategy} needs advancedConfiguration with {', '.join(missing)} here",
                "testListenerRule is the only one that may be left out",
            )


def _unwrapped(document: Document, key: str) -> Document:
    """`aws ecs describe-…` has it under one key; ecspresso takes it so, and so do we."""
    data = document.data
    if isinstance(data, dict) and key in data and set(data) <= {key, "tags"}:
        lines = {path[1:]: line for path, line in document.places.items() if path[:1] == (key,)}
        inner = data[key]
        if isinstance(inner, dict) and data.get("tags"):
            inner = {**inner, "tags": data["tags"]}
        return Document(document.path, inner, lines)
    return document


def no_access() -> Access:
    raise AwsRefused("this needs AWS, and no way to it was given")
