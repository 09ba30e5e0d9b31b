"""What Docker is asked to make: a task's holder, and a container of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hikkoshi.model.images import RootFs
from hikkoshi.region.engine.command import container_environment
from hikkoshi.region.engine.docker.images import Runnable
from hikkoshi.region.engine.docker.kit import Kit
from hikkoshi.region.engine.docker.laying import Laid, lay, literal_targets
from hikkoshi.region.engine.layout import Bind, Layout, Scratch, Step, lay_out, own_memory
from hikkoshi.region.engine.limits import grant
from hikkoshi.region.engine.port import CannotStartContainer, ContainerSpec, Ulimit
from hikkoshi.region.engine.starting import host_name_of, prepare, write_network_files
from hikkoshi.region.engine.view import RootView


@dataclass(frozen=True, slots=True)
class TaskPlace:
    """One task's part of what its containers are described with. has_group: its limits are those of
    a control group around all of them; else each container gets them."""

    name: str
    address: str
    labels: Mapping[str, str]
    cpu_vcpu: float
    memory_mib: int
    has_group: bool


def holder_document(kit: Kit, task: TaskPlace, directory: Path) -> dict[str, Any]:
    """A process that sleeps in a network namespace of its own, without a network of Docker's."""
    root, scratch = RootFs(is_on_host=True), Scratch(directory, (kit.ground.state,))
    layout = lay_out(root, kit.host, scratch, (), "/", is_read_only=True)
    laid = lay(layout, kit.places, kit.prefix(f"{task.name}-holder")).without_volumes()
    return {
        "Image": kit.base,
        "Entrypoint": [kit.sleep, "infinity"],
        "Hostname": host_name(task),
        "Labels": kit.labels(task.labels),
        "HostConfig": {
            **_host_part(kit, task, laid),
            "NetworkMode": "none",
            "Ulimits": _ulimits(kit, ()),
        },
    }


def host_name(task: TaskPlace) -> str:
    """Of every container that joins the holder; the region's name stands in the task's ARN."""
    name = f"ip-{task.address.replace('.', '-')}"
    arn = task.labels.get("com.amazonaws.ecs.task-arn", "").split(":")
    return f"{name}.{arn[3]}.compute.internal" if len(arn) > 3 else name


def container_document(
    kit: Kit, task: TaskPlace, spec: ContainerSpec, runnable: Runnable, directory: Path, holder: str
) -> tuple[dict[str, Any], Laid]:
    """Writes the container's own files into `directory`. Raises CannotStartContainer."""
    if runnable.local is None:
        layout = _plain_layout(kit, task, spec, directory)
    else:
        layout, spec = _layout_on_host(kit, task, spec, runnable, directory)
    laid = lay(layout, kit.places, kit.prefix(f"{task.name}-{directory.name}"))
    memory = min(spec.memory_mib or task.memory_mib, task.memory_mib) << 20
    host = {
        **_host_part(kit, task, laid),
        "NetworkMode": f"container:{holder}",
        "Ulimits": _ulimits(kit, spec.ulimits),
        "CpuShares": max(spec.cpu_units, 2),
        "Memory": memory,
        "MemorySwap": memory,
        "ReadonlyRootfs": spec.has_read_only_root,
        "CapAdd": list(spec.added_capabilities),
        "CapDrop": list(dict.fromkeys(["MKNOD", *spec.dropped_capabilities])),
    }
    labels = {**task.labels, "com.amazonaws.ecs.container-name": spec.name}
    document = {
        "Image": runnable.reference,
        "Entrypoint": [spec.argv[0]],
        "Cmd": list(spec.argv[1:]),
        "Env": [f"{key}={value}" for key, value in spec.environment.items()],
        "WorkingDir": spec.working_directory or "/",
        "User": spec.user or "",
        "Labels": kit.labels(labels),
        # Only the task definition's health check counts on ECS; the task runtime runs it.
        "Healthcheck": {"Test": ["NONE"]},
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": host,
    }
    return document, laid


def _host_part(kit: Kit, task: TaskPlace, laid: Laid) -> dict[str, Any]:
    part: dict[str, Any] = {
        "LogConfig": {"Type": "none"},
        "Mounts": [dict(mount) for mount in laid.mounts],
        "Tmpfs": dict(laid.tmpfs),
        # A region that runs as root must not hand out the machine's disks.
        "CapDrop": ["MKNOD"],
    }
    if task.has_group:
        return {**part, "CgroupParent": kit.group_path(task.name)}
    return {**part, "NanoCpus": int(task.cpu_vcpu * 1e9)}


def _ulimits(kit: Kit, asked: Sequence[Ulimit]) -> list[dict[str, Any]]:
    if kit.ceiling is None:
        return [{"Name": u.name, "Soft": u.soft, "Hard": u.hard} for u in asked]
    try:
        limits, clipped = grant(asked, kit.ceiling)
    except ValueError as error:
        raise CannotStartContainer(str(error)) from error
    # Podman raises these two where they are not named.
    limits = {**{name: kit.ceiling[name] for name in ("nofile", "nproc")}, **limits}
    for one in clipped:
        kit.clipped[(one.name, one.wanted.soft, one.wanted.hard)] = one
    return [{"Name": k, "Soft": soft, "Hard": hard} for k, (soft, hard) in limits.items()]


def _plain_layout(kit: Kit, task: TaskPlace, spec: ContainerSpec, directory: Path) -> Layout:
    network = _network_files(kit, task, spec, directory)
    steps: list[Step] = [Bind(source, path, False) for path, source in network.items()]
    for mount in spec.mounts:
        if not mount.source.exists():
            raise CannotStartContainer(f"mount source {mount.source} does not exist")
        steps.append(Bind(mount.source, mount.target, mount.is_read_only))
    steps += [own_memory(one, one.target) for one in spec.tmpfs]
    return Layout((), tuple(steps), RootView([]), (), spec.has_read_only_root)


def _network_files(
    kit: Kit, task: TaskPlace, spec: ContainerSpec, directory: Path
) -> dict[str, Path]:
    hostname = host_name_of(spec)
    return write_network_files(directory.parent, hostname, task.address, kit.ground.resolver)


def _layout_on_host(
    kit: Kit, task: TaskPlace, spec: ContainerSpec, runnable: Runnable, directory: Path
) -> tuple[Layout, ContainerSpec]:
    """As the embedded engine lays it, with the user and the program found by us: Docker would look
    for both in its own image, which has nothing but links."""
    assert runnable.local is not None
    root = runnable.local.root
    network = _network_files(kit, task, spec, directory)
    prepared = prepare(
        spec,
        root,
        kit.host,
        directory,
        (kit.ground.state,),
        network=network,
        can_keep_writes_on_disk=True,
    )
    files = {source: path for path, source in network.items()}
    layout = prepared.layout
    visible = tuple(Bind(path, str(path), True) for path in root.visible)
    layout = replace(
        layout,
        steps=(*layout.steps, *(one for one in visible if one not in layout.steps)),
        mounts=literal_targets(layout.mounts, files),
    )
    user = prepared.user
    environment = container_environment(spec.environment, user, prepared.hostname)
    return layout, replace(spec, user=f"{user.uid}:{user.gid}", environment=environment)
