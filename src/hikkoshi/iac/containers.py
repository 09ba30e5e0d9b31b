"""Container definitions as calls of the CDK."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hikkoshi.fargate.references import secret_name
from hikkoshi.iac.code import Call, Name, identifier, title
from hikkoshi.iac.images import ecr_image

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reference:
    """A secret, parameter or log group that the task uses: `attribute` is its name in the code."""

    name: str
    attribute: str
    id: str
    template: str = ""

    @property
    def call(self) -> Call:
        """What makes the secret of the database's URL."""
        return Call("self._url", (self.id, self.name, self.template))

    @property
    def imported(self) -> Call:
        return Call("secretsmanager.Secret.from_secret_name_v2", (Name("self"), self.id, self.name))

    @property
    def looked_up(self) -> Call:
        return Call(
            "ssm.StringParameter.from_secure_string_parameter_attributes",
            (Name("self"), self.id),
            {"parameter_name": self.name},
        )


@dataclass
class Wanted:
    """What the containers turn out to need beside themselves, in the order in which they do."""

    secrets: dict[str, Reference] = field(default_factory=dict)
    parameters: dict[str, Reference] = field(default_factory=dict)
    log_groups: dict[str, Reference] = field(default_factory=dict)
    needs_own_words: bool = False
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ContainerCode:
    attribute: str
    call: Call
    words: tuple[str, ...]
    is_referred_to: bool


DatabaseSecrets = Mapping[str, str]
"""Secret's name → the expression that names it, for those that the database's stack makes."""

_CARRIED = {
    "name", "image", "essential", "cpu", "memory", "memoryReservation", "portMappings",
    "environment", "secrets", "ulimits", "stopTimeout", "startTimeout", "logConfiguration",
    "dependsOn", "firelensConfiguration", "restartPolicy", "healthCheck", "command", "entryPoint",
    "workingDirectory", "user", "readonlyRootFilesystem", "dockerLabels", "linuxParameters",
    "mountPoints", "volumesFrom", "systemControls", "interactive", "pseudoTerminal",
}  # fmt: skip


def container_code(
    container: Document, siblings: list[Document], wanted: Wanted, made: DatabaseSecrets
) -> ContainerCode:
    """The call that adds the container; what it needs is noted in `wanted`."""
    for key in sorted(set(container) - _CARRIED):
        if container[key] not in (None, [], {}, "", 0, False):
            wanted.left_out.append(f"container {container['name']}: {key}")
    is_router = "firelensConfiguration" in container
    keywords: dict[str, Any] = {"image": _image(str(container["image"]))}
    if container.get("essential", True) is False:
        keywords["essential"] = False
    keywords |= _plain(container)
    if container.get("portMappings"):
        keywords["port_mappings"] = [_port(each) for each in container["portMappings"]]
    if container.get("environment"):
        keywords["environment"] = {e["name"]: e["value"] for e in container["environment"]}
    if container.get("secrets"):
        keywords["secrets"] = _secrets(container["secrets"], wanted, made)
    if container.get("ulimits"):
        keywords["ulimits"] = [_ulimit(each) for each in container["ulimits"]]
    if container.get("healthCheck"):
        keywords["health_check"] = _health_check(container["healthCheck"])
    keywords |= _restart(container.get("restartPolicy"))
    keywords["logging"] = _logging(container, wanted, made)
    if is_router:
        keywords["firelens_config"] = _firelens(container["firelensConfiguration"])
    verb = "add_firelens_log_router" if is_router else "add_container"
    return ContainerCode(
        identifier(container["name"]),
        Call(f"self.definition.{verb}", (str(container["name"]),), keywords),
        _words(container),
        _is_referred_to(container, siblings),
    )


def dependencies(container: Document) -> Call | None:
    """`app.add_container_dependencies(…)`, for what dependsOn says."""
    if not container.get("dependsOn"):
        return None
    calls = tuple(
        Call(
            "ecs.ContainerDependency",
            keywords={
                "container": Name(identifier(each["containerName"])),
                "condition": Name(f"ecs.ContainerDependencyCondition.{each['condition']}"),
            },
        )
        for each in container["dependsOn"]
    )
    return Call(f"{identifier(container['name'])}.add_container_dependencies", calls)


def mounts(container: Document) -> list[Call]:
    """mountPoints and volumesFrom."""
    name = identifier(container["name"])
    found = []
    if container.get("mountPoints"):
        points = tuple(
            Call(
                "ecs.MountPoint",
                keywords={
                    "source_volume": each.get("sourceVolume"),
                    "container_path": each.get("containerPath"),
                    "read_only": bool(each.get("readOnly", False)),
                },
            )
            for each in container["mountPoints"]
        )
        found.append(Call(f"{name}.add_mount_points", points))
    if container.get("volumesFrom"):
        volumes = tuple(
            Call(
                "ecs.VolumeFrom",
                keywords={
                    "source_container": each.get("sourceContainer"),
                    "read_only": bool(each.get("readOnly", False)),
                },
            )
            for each in container["volumesFrom"]
        )
        found.append(Call(f"{name}.add_volumes_from", volumes))
    return found


def seconds(value: float) -> Call:
    return Call("cdk.Duration.seconds", (int(value) if float(value).is_integer() else value,))


def _image(name: str) -> Call:
    image = ecr_image(name)
    if image is not None:
        return Call("images.image", (image.repository,))
    return Call("ecs.ContainerImage.from_registry", (name,))


def _plain(container: Document) -> dict[str, Any]:
    """The keys that only change their name."""
    names: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "cpu": ("cpu", int),
        "memory": ("memory_limit_mib", int),
        "memoryReservation": ("memory_reservation_mib", int),
        "entryPoint": ("entry_point", list),
        "command": ("command", list),
        "workingDirectory": ("working_directory", str),
        "user": ("user", str),
        "readonlyRootFilesystem": ("readonly_root_filesystem", bool),
        "interactive": ("interactive", bool),
        "pseudoTerminal": ("pseudo_terminal", bool),
        "dockerLabels": ("docker_labels", dict),
        "startTimeout": ("start_timeout", seconds),
        "stopTimeout": ("stop_timeout", seconds),
    }
    found = {
        name: convert(container[key])
        for key, (name, convert) in names.items()
        if container.get(key) not in (None, [], {}, 0, False)
    }
    if container.get("systemControls"):
        found["system_controls"] = [
            Call(
                "ecs.SystemControl",
                keywords={"namespace": each.get("namespace"), "value": each.get("value")},
            )
            for each in container["systemControls"]
        ]
    if container.get("linuxParameters", {}).get("initProcessEnabled"):
        found["linux_parameters"] = Call(
            "ecs.LinuxParameters",
            (Name("self"), f"{title(container['name'])}Linux"),
            {"init_process_enabled": True},
        )
    return found


def _port(mapping: Document) -> Call:
    protocol = str(mapping.get("protocol", "tcp"))
    application = mapping.get("appProtocol")
    return Call(
        "ecs.PortMapping",
        keywords={
            "container_port": int(mapping["containerPort"]),
            "protocol": Name(f"ecs.Protocol.{protocol.upper()}") if protocol != "tcp" else None,
            "name": mapping.get("name"),
            "app_protocol": Name(f"ecs.AppProtocol.{application}") if application else None,
        },
    )


def _ulimit(limit: Document) -> Call:
    return Call(
        "ecs.Ulimit",
        keywords={
            "name": Name(f"ecs.UlimitName.{str(limit['name']).upper()}"),
            "soft_limit": int(limit["softLimit"]),
            "hard_limit": int(limit["hardLimit"]),
        },
    )


def _health_check(check: Document) -> Call:
    return Call(
        "ecs.HealthCheck",
        keywords={
            "command": list(check["command"]),
            "interval": seconds(check["interval"]) if "interval" in check else None,
            "timeout": seconds(check["timeout"]) if "timeout" in check else None,
            "retries": check.get("retries"),
            "start_period": seconds(check["startPeriod"]) if check.get("startPeriod") else None,
        },
    )


def _restart(policy: Document | None) -> dict[str, Any]:
    if not policy or not policy.get("enabled"):
        return {}
    period = policy.get("restartAttemptPeriod")
    return {
        "enable_restart_policy": True,
        "restart_attempt_period": seconds(period) if period else None,
        "restart_ignored_exit_codes": policy.get("ignoredExitCodes") or None,
    }


def _secrets(entries: list[Document], wanted: Wanted, made: DatabaseSecrets) -> dict[str, Call]:
    return {entry["name"]: _secret(str(entry["valueFrom"]), wanted, made) for entry in entries}


def _secret(value_from: str, wanted: Wanted, made: DatabaseSecrets) -> Call:
    name = secret_name(value_from)
    if ":secretsmanager:" not in value_from:
        reference = _refer(wanted.parameters, name)
        return Call("ecs.Secret.from_ssm_parameter", (Name(reference.attribute),))
    if name in made:
        expression = made[name]
    else:
        expression = _refer(wanted.secrets, name).attribute
    field_ = value_from.split(":")[7:8]
    arguments: tuple[Any, ...] = (Name(expression), *(part for part in field_ if part))
    return Call("ecs.Secret.from_secrets_manager", arguments)


def _refer(known: dict[str, Reference], name: str) -> Reference:
    if name not in known:
        short = name.strip("/").rpartition("/")[2]
        taken = {each.attribute for each in known.values()}
        words = short if identifier(short) not in taken else name
        known[name] = Reference(name, identifier(words), title(words))
    return known[name]


def _logging(container: Document, wanted: Wanted, made: DatabaseSecrets) -> Call:
    configuration = container.get("logConfiguration")
    if not configuration:
        wanted.needs_own_words = True
        return Call(
            "ecs.LogDrivers.aws_logs",
            keywords={"stream_prefix": str(container["name"]), "log_group": Name("own_words")},
        )
    driver, options = configuration["logDriver"], dict(configuration.get("options") or {})
    secrets = configuration.get("secretOptions") or []
    if driver == "awslogs":
        group = _refer(wanted.log_groups, str(options.get("awslogs-group", container["name"])))
        prefix = options.get("awslogs-stream-prefix", container["name"])
        for key in sorted(set(options) - _AWSLOGS):
            wanted.left_out.append(f"container {container['name']}: log option {key}")
        return Call(
            "ecs.LogDrivers.aws_logs",
            keywords={
                "stream_prefix": str(prefix),
                "log_group": Name(group.attribute),
                "multiline_pattern": options.get("awslogs-multiline-pattern"),
                "datetime_format": options.get("awslogs-datetime-format"),
                "mode": (
                    Name(f"ecs.AwsLogDriverMode.{options['mode'].replace('-', '_').upper()}")
                    if "mode" in options
                    else None
                ),
            },
        )
    if driver == "awsfirelens":
        return Call(
            "ecs.LogDrivers.firelens",
            keywords={
                "options": {key: str(value) for key, value in options.items()} or None,
                "secret_options": _secrets(secrets, wanted, made) if secrets else None,
            },
        )
    wanted.left_out.append(f"container {container['name']}: log driver {driver}")
    wanted.needs_own_words = True
    return _logging({"name": container["name"]}, wanted, made)


_AWSLOGS = {
    "awslogs-group", "awslogs-region", "awslogs-stream-prefix", "awslogs-create-group",
    "awslogs-multiline-pattern", "awslogs-datetime-format", "mode",
}  # fmt: skip


def _firelens(configuration: Document) -> Call:
    options = configuration.get("options") or {}
    kind = str(configuration["type"])
    keywords: dict[str, Any] = {"type": Name(f"ecs.FirelensLogRouterType.{kind.upper()}")}
    if options:
        source = options.get("config-file-type")
        keywords["options"] = Call(
            "ecs.FirelensOptions",
            keywords={
                "enable_ecs_log_metadata": (
                    str(options.get("enable-ecs-log-metadata", "true")).lower() == "true"
                ),
                "config_file_type": (
                    Name(f"ecs.FirelensConfigFileType.{source.upper()}") if source else None
                ),
                "config_file_value": options.get("config-file-value"),
            },
        )
    return Call("ecs.FirelensConfig", keywords=keywords)


def _words(container: Document) -> tuple[str, ...]:
    """The one remark that a reader of this container needs, if any."""
    image = str(container["image"]).lower()
    if "firelensConfiguration" in container:
        return (
            "FireLens: the application writes to stdout, this router decides what becomes of it.",
        )
    if "xray" in image:
        return ("X-Ray's daemon: takes the spans by UDP and sends them on in batches.",)
    if "otel-collector" in image or "opentelemetry-collector" in image:
        return ("OpenTelemetry's collector: takes the spans and sends them on.",)
    if "datadog" in image and "agent" in image:
        return ("Datadog's agent.",)
    return ()


def _is_referred_to(container: Document, siblings: list[Document]) -> bool:
    """Whether a later line names it: for its dependencies, its mounts, or another's."""
    if container.get("dependsOn") or container.get("mountPoints") or container.get("volumesFrom"):
        return True
    return any(
        each["containerName"] == container["name"]
        for sibling in siblings
        for each in sibling.get("dependsOn") or ()
    )
