"""The task of the service's stack: size and platform, what its containers share, permissions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hikkoshi.iac.code import Call, Name
from hikkoshi.iac.containers import ContainerCode, Wanted, dependencies, mounts
from hikkoshi.model.project import Project


@dataclass(frozen=True, slots=True)
class Statement:
    words: str
    call: Call


def task_of(project: Project, wanted: Wanted, containers: list[ContainerCode]) -> dict[str, Any]:
    """What the service's stack says of the task: definition, volumes, containers, permissions."""
    task = project.task_definition
    documents = task["containerDefinitions"]
    ephemeral = (task.get("ephemeralStorage") or {}).get("sizeInGiB")
    definition = Call(
        "ecs.FargateTaskDefinition",
        (Name("self"), "Definition"),
        {
            "family": task["family"],
            "cpu": _cpu_units(task["cpu"]),
            "memory_limit_mib": _memory_mib(task["memory"]),
            "ephemeral_storage_gib": ephemeral,
            "pid_mode": Name("ecs.PidMode.TASK") if task.get("pidMode") == "task" else None,
            "enable_fault_injection": task.get("enableFaultInjection") or None,
            "runtime_platform": _platform(task.get("runtimePlatform") or {}),
        },
    )
    afterwards: list[Call] = []
    for each in documents:
        afterwards += mounts(each)
    afterwards += [call for call in map(dependencies, documents) if call is not None]
    return {
        "definition": definition,
        "volumes": [(str(each["name"]), "") for each in task.get("volumes") or ()],
        "containers": containers,
        "afterwards": afterwards,
        "needs_log_group": wanted.needs_own_words,
        "log_groups": list(wanted.log_groups.values()),
        "imported_secrets": list(wanted.secrets.values()),
        "parameters": list(wanted.parameters.values()),
        "secrets": bool(wanted.secrets),
        "has_environment": any(each.get("environment") for each in documents),
        "task_statements": _statements(documents),
    }


def _cpu_units(value: str) -> int:
    words = str(value).lower().replace("vcpu", "").strip()
    return int(float(words) * 1024) if "vcpu" in str(value).lower() else int(words)


def _memory_mib(value: str) -> int:
    words = str(value).lower().replace("gb", "").strip()
    return int(float(words) * 1024) if "gb" in str(value).lower() else int(words)


def _platform(platform: Mapping[str, Any]) -> Call | None:
    if not platform:
        return None
    architecture = platform.get("cpuArchitecture", "X86_64")
    family = platform.get("operatingSystemFamily", "LINUX")
    return Call(
        "ecs.RuntimePlatform",
        keywords={
            "cpu_architecture": Name(f"ecs.CpuArchitecture.{architecture}"),
            "operating_system_family": Name(f"ecs.OperatingSystemFamily.{family}"),
        },
    )


_TRACES = (
    "xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules",
    "xray:GetSamplingTargets", "xray:GetSamplingStatisticSummaries",
)  # fmt: skip


def _statements(documents: list[dict[str, Any]]) -> list[Statement]:
    images = [str(each["image"]).lower() for each in documents]
    has_traces = any("xray" in image or "otel-collector" in image for image in images)
    if not has_traces:
        return []
    call = Call("iam.PolicyStatement", keywords={"actions": list(_TRACES), "resources": ["*"]})
    return [
        Statement("X-Ray knows no resources: whoever may write traces may write them all.", call)
    ]
