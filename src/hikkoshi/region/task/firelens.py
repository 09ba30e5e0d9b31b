"""The configuration that the ECS agent generates for a FireLens log router.

Shape and order follow facts C14 and ecs-agent's own goldens for awsvpc (version with a TCP input
on 127.0.0.1). Keys within a section are sorted bytewise; containers keep the definition's order,
where the agent's is random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from hikkoshi.region.task.definition import (
    AWSFIRELENS,
    ContainerDefinition,
    Firelens,
    NamedSecret,
    TaskDefinition,
)

SOCKET_NAME = "fluent.sock"
SOCKET_DIRECTORY = "/var/run/"
CONFIG_PATHS = {
    "fluentbit": "/fluent-bit/etc/fluent-bit.conf",
    "fluentd": "/fluentd/etc/fluent.conf",
}
ROUTER_ENVIRONMENT = {"FLUENT_HOST": "127.0.0.1", "FLUENT_PORT": "24224"}
"""What the agent gives to the users of awsfirelens."""

_PLUGIN_KEYS = {"fluentbit": "Name", "fluentd": "@type"}
_PATTERNS = ("include-pattern", "exclude-pattern")
# For the log driver of the sending container; not for the router.
_DRIVER_OPTION = "log-driver-buffer-limit"


class FirelensError(Exception):
    """The router's configuration cannot be generated; the text names the container and key."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The fields that `enable-ecs-log-metadata` adds to each record."""

    cluster: str
    task_arn: str
    task_definition: str
    """`family:revision`."""


@dataclass(frozen=True, slots=True)
class _Route:
    container: str
    plugin: str | None
    include: str | None
    exclude: str | None
    options: Mapping[str, str]

    @property
    def match(self) -> str:
        return f"{self.container}-firelens*"


def tag(container: str, task_id: str) -> str:
    return f"{container}-firelens-{task_id}"


def users_of_router(definition: TaskDefinition) -> tuple[ContainerDefinition, ...]:
    return tuple(
        c for c in definition.containers if c.log is not None and c.log.driver == AWSFIRELENS
    )


def secret_variable(secret: NamedSecret, container_index: int) -> str:
    """The variable in the router's environment that holds a container's secret log option."""
    return f"{secret.name}_{container_index}"


def router_configuration(definition: TaskDefinition, identity: Identity) -> str:
    """The file for the task's router, in the syntax of its type. Raises FirelensError."""
    router = _router(definition)
    if router.kind == "fluentbit":
        return fluent_bit_config(definition, identity)
    return fluentd_config(definition, identity)


def fluent_bit_config(definition: TaskDefinition, identity: Identity) -> str:
    """Classic Fluent Bit syntax. Raises FirelensError."""
    router = _router(definition)
    routes = _routes(definition, "fluentbit", "${{{}}}".format)
    sections: list[str] = [
        _section(
            "INPUT",
            ("Name", "forward"),
            ("Mem_Buf_Limit", _memory_buffer_limit(definition)),
            ("unix_path", SOCKET_DIRECTORY + SOCKET_NAME),
        ),
        _section("INPUT", ("Name", "forward"), ("Listen", "127.0.0.1"), ("Port", "24224")),
        _section(
            "INPUT",
            ("Name", "tcp"),
            ("Tag", "firelens-healthcheck"),
            ("Listen", "127.0.0.1"),
            ("Port", "8877"),
        ),
    ]
    for route in routes:
        for key, pattern in (("Regex", route.include), ("Exclude", route.exclude)):
            if pattern is not None:
                sections.append(
                    f"[FILTER]\n    Name   grep\n    Match {route.match}\n"
                    f"    {key:<6} log {pattern}\n"
                )
    fields = _record_fields(router, identity)
    if fields:
        sections.append(
            _section(
                "FILTER",
                ("Name", "record_modifier"),
                ("Match", "*"),
                *(("Record", f"{key} {value}") for key, value in fields),
            )
        )
    if (included := _included_file(router)) is not None:
        sections.append(f"@INCLUDE {included}\n")
    sections.append(_section("OUTPUT", ("Name", "null"), ("Match", "firelens-healthcheck")))
    sections.extend(
        _section(
            "OUTPUT",
            ("Name", route.plugin),
            ("Match", route.match),
            *sorted(route.options.items()),
        )
        for route in routes
        if route.plugin is not None
    )
    return "\n" + "\n".join(sections)


def fluentd_config(definition: TaskDefinition, identity: Identity) -> str:
    """Fluentd's syntax; it has no health sections. Raises FirelensError."""
    router = _router(definition)
    routes = _routes(definition, "fluentd", "\"#{{ENV['{}']}}\"".format)
    blocks = [
        _block("source", "", [("@type", "unix"), ("path", SOCKET_DIRECTORY + SOCKET_NAME)]),
        _block("source", "", [("@type", "forward"), ("bind", "127.0.0.1"), ("port", "24224")]),
    ]
    for route in routes:
        for name, pattern in (("regexp", route.include), ("exclude", route.exclude)):
            if pattern is not None:
                blocks.append(
                    f"<filter {route.match}>\n    @type  grep\n    <{name}>\n        key log\n"
                    f"        pattern {pattern}\n    </{name}>\n</filter>\n"
                )
    fields = _record_fields(router, identity)
    if fields:
        lines = "".join(f"        {key} {value}\n" for key, value in fields)
        blocks.append(
            "<filter *>\n    @type record_transformer\n    <record>\n"
            f"{lines}    </record>\n</filter>\n"
        )
    if (included := _included_file(router)) is not None:
        blocks.append(f"@include {included}\n")
    blocks.extend(
        _block("match", route.match, [("@type", route.plugin), *sorted(route.options.items())])
        for route in routes
        if route.plugin is not None
    )
    return "\n" + "\n".join(blocks)


def _section(name: str, *entries: tuple[str, str | None]) -> str:
    return f"[{name}]\n" + "".join(f"    {key} {value}\n" for key, value in entries)


def _block(name: str, argument: str, entries: Iterable[tuple[str, str | None]]) -> str:
    lines = "".join(f"    {key} {value}\n" for key, value in entries)
    opening = f"{name} {argument}" if argument else name
    return f"<{opening}>\n{lines}</{name}>\n"


def _router(definition: TaskDefinition) -> Firelens:
    container = definition.router
    if container is None or container.firelens is None:
        names = ", ".join(c.name for c in users_of_router(definition))
        raise FirelensError(
            f"container {names} uses the log driver awsfirelens, but no container has a "
            "firelensConfiguration"
        )
    if container.firelens.kind not in CONFIG_PATHS:
        raise FirelensError(
            f"container {container.name}: firelensConfiguration.type must be fluentbit or "
            f"fluentd, not {container.firelens.kind}"
        )
    if container.log is not None and container.log.driver == AWSFIRELENS:
        raise FirelensError(
            f"container {container.name} is the log router, so it cannot use the log driver "
            "awsfirelens itself; give it awslogs"
        )
    return container.firelens


def _routes(
    definition: TaskDefinition, kind: str, placeholder: Callable[[str], str]
) -> tuple[_Route, ...]:
    return tuple(_each_route(definition, kind, placeholder))


def _each_route(
    definition: TaskDefinition, kind: str, placeholder: Callable[[str], str]
) -> Iterator[_Route]:
    plugin_key = _PLUGIN_KEYS[kind]
    for index, container in enumerate(definition.containers):
        if container.log is None or container.log.driver != AWSFIRELENS:
            continue
        options = dict(container.log.options)
        for secret in container.log.secret_options:
            options[secret.name] = placeholder(secret_variable(secret, index))
        options.pop(_DRIVER_OPTION, None)
        if options and plugin_key not in options:
            raise FirelensError(
                f"unable to apply log options of container {container.name} to firelens config: "
                f"missing output key {plugin_key} which is required for firelens configuration "
                f"of type {kind}"
            )
        yield _Route(
            container.name,
            options.get(plugin_key),
            options.get("include-pattern"),
            options.get("exclude-pattern"),
            {k: v for k, v in options.items() if k != plugin_key and k not in _PATTERNS},
        )


def _record_fields(router: Firelens, identity: Identity) -> list[tuple[str, str]]:
    if router.options.get("enable-ecs-log-metadata") == "false":
        return []
    return [
        ("ecs_cluster", identity.cluster),
        ("ecs_task_arn", identity.task_arn),
        ("ecs_task_definition", identity.task_definition),
    ]


def _included_file(router: Firelens) -> str | None:
    kind = router.options.get("config-file-type")
    value = router.options.get("config-file-value")
    if kind is None and value is None:
        return None
    if kind != "file":
        raise FirelensError(
            f"config-file-type must be file on Fargate, not {kind}; put the file into the image"
        )
    if not value:
        raise FirelensError("config-file-type is file, but config-file-value is missing")
    if value.lower().endswith((".yaml", ".yml")):
        # The agent then writes its own part in YAML too; a classic file cannot include one.
        raise FirelensError(
            f"config-file-value {value}: a YAML file is not implemented by the local region; "
            "use Fluent Bit's classic syntax"
        )
    return value


def _memory_buffer_limit(definition: TaskDefinition) -> str:
    router = definition.router
    assert router is not None
    memory = router.memory_reservation_mib or router.memory_mib
    return f"{memory // 2}MB" if memory else "25MB"
