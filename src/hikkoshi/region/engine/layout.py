"""How a container's root is laid, as bwrap's arguments. Decides only; touches nothing but to look.

Beneath `localhost/host` the machine's top-level entries are bound read-only into an empty root, so
that new top-level directories can be added; those into which something is to be put are overlays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from hikkoshi.model.images import RootFs
from hikkoshi.region.engine.port import Mount, TmpfsMount
from hikkoshi.region.engine.view import Place, RootView

_HIDDEN = {"/tmp": "1777", "/run": "0755", "/var/tmp": "1777"}
_OWN = ("proc", "dev", "sys", "lost+found")
_SHM_BYTES = 64 << 20
_SEALED = ("sys", "sysrq-trigger", "bus", "fs", "irq", "acpi", "scsi", "mtrr")
"""Of /proc, what changes the machine: Docker's readonlyPaths and those of its maskedPaths that can
be written. Where root started the region, a container's root is the machine's to the kernel, which
lets it write /proc/sys by its number alone; bwrap seals less."""


@dataclass(frozen=True, slots=True)
class HostTree:
    """The machine's top level: directories, and links with their targets."""

    directories: tuple[str, ...]
    links: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path = Path("/")) -> HostTree:
        entries = sorted(root.iterdir())
        return cls(
            tuple(e.name for e in entries if e.is_dir() and not e.is_symlink()),
            {f"/{e.name}": str(e.readlink()) for e in entries if e.is_symlink()},
        )


@dataclass(frozen=True, slots=True)
class Scratch:
    """upper: where a container's own writes go, None to keep them in memory. masked: directories
    of the machine that no container may see."""

    upper: Path | None
    masked: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Bind:
    source: Path
    target: str
    is_read_only: bool


@dataclass(frozen=True, slots=True)
class Overlay:
    """sources: lowest first. upper and work are None where writes stay in memory."""

    sources: tuple[Path, ...]
    target: str
    upper: Path | None = None
    work: Path | None = None


@dataclass(frozen=True, slots=True)
class Tmpfs:
    target: str
    mode: str
    is_mask: bool = False
    """Hides something of the machine; nothing is written there."""
    size_mib: int | None = None
    options: tuple[str, ...] = ()
    """Of mount(8); bwrap knows `ro`, and lays every tmpfs nosuid and nodev."""


@dataclass(frozen=True, slots=True)
class Link:
    target: str
    to: str


@dataclass(frozen=True, slots=True)
class Directory:
    target: str


Step = Bind | Overlay | Tmpfs | Link | Directory


@dataclass(frozen=True, slots=True)
class Layout:
    """steps: what is laid over what, in this order. proc, dev, sys and /dev/shm come on top of
    them, before what the container mounts (`mounts`)."""

    steps: tuple[Step, ...]
    mounts: tuple[Step, ...]
    view: RootView
    directories: tuple[Path, ...]
    """To be made (with parents) before the container starts."""
    is_read_only: bool = False


def bwrap_layout(layout: Layout) -> list[str]:
    """The layout as bwrap's arguments."""
    arguments = [word for step in layout.steps for word in _words(step)]
    arguments += ["--proc", "/proc", "--dev", "/dev", "--ro-bind-try", "/sys", "/sys"]
    for name in _SEALED:
        arguments += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
    arguments += ["--size", str(_SHM_BYTES), "--perms", "1777", "--tmpfs", "/dev/shm"]
    arguments += [word for step in layout.mounts for word in _words(step)]
    for step in layout.mounts:
        if isinstance(step, Tmpfs) and "ro" in step.options:
            arguments += ["--remount-ro", step.target]
    if layout.is_read_only:
        writable = [
            step.target
            for step in layout.steps
            if isinstance(step, Overlay) or (isinstance(step, Tmpfs) and not step.is_mask)
        ]
        for target in ["/", *writable]:
            arguments += ["--remount-ro", target]
    return arguments


def _words(step: Step) -> list[str]:
    match step:
        case Bind(source, target, is_read_only):
            return ["--ro-bind" if is_read_only else "--bind", str(source), target]
        case Tmpfs(target, mode, is_mask, size_mib):
            size = ["--size", str(size_mib << 20)] if size_mib else []
            perms = [] if is_mask else ["--perms", mode]
            return [*perms, *size, "--tmpfs", target]
        case Link(target, to):
            return ["--symlink", to, target]
        case Directory(target):
            return ["--dir", target]
        case Overlay(sources, target, upper, work):
            words = [word for one in sources for word in ("--overlay-src", str(one))]
            if upper is None:
                return [*words, "--tmp-overlay", target]
            return [*words, "--overlay", str(upper), str(work), target]


@dataclass(slots=True)
class _Draft:
    scratch: Scratch
    steps: list[Step] = field(default_factory=list)
    directories: list[Path] = field(default_factory=list)

    def overlay(self, target: str, sources: Sequence[Path]) -> None:
        if self.scratch.upper is None:
            self.steps.append(Overlay(tuple(sources), target))
            return
        name = target.strip("/").replace("/", "-") or "root"
        upper, work = (self.scratch.upper / kind / name for kind in ("upper", "work"))
        self.directories += [upper, work]
        self.steps.append(Overlay(tuple(sources), target, upper, work))


def lay_out(
    root: RootFs,
    host: HostTree,
    scratch: Scratch,
    mounts: Sequence[Mount],
    working_directory: str,
    *,
    is_read_only: bool,
    memory: Sequence[TmpfsMount] = (),
) -> Layout:
    """mounts are bound in their order, memory after them; a target's links are followed, and a
    missing one is made. The working directory is made where it is missing."""
    draft = _Draft(scratch)
    places, links = (
        _lay_on_host(draft, root, host, [*mounts, *memory], working_directory)
        if root.is_on_host
        else _lay_layers(draft, root)
    )
    places += [Place("/dev", (Path("/dev"),)), Place("/proc", (Path("/proc"),))]
    view = RootView(places, links)
    own: list[Step] = []
    for mount in mounts:
        target = view.resolve(mount.target).path
        own.append(Bind(mount.source, target, mount.is_read_only))
        view = view.with_places([Place(target, (mount.source,))])
    for one in memory:
        target = view.resolve(one.target).path
        own.append(own_memory(one, target))
        view = view.with_places([Place(target, ())])
    directory = view.resolve(working_directory)
    if directory.real is None and directory.path not in ("/", *_HIDDEN, "/dev/shm"):
        own.append(Directory(directory.path))
    return Layout(tuple(draft.steps), tuple(own), view, tuple(draft.directories), is_read_only)


def own_memory(memory: TmpfsMount, target: str) -> Tmpfs:
    """With the mode that it asks for, else Docker's."""
    given = [one.partition("=")[2] for one in memory.options if one.startswith("mode=")]
    options = tuple(one for one in memory.options if not one.startswith(("mode=", "size=")))
    return Tmpfs(target, given[-1] if given else "1777", False, memory.size_mib, options)


def _lay_layers(draft: _Draft, root: RootFs) -> tuple[list[Place], dict[str, str]]:
    draft.overlay("/", root.layers)
    return [Place("/", tuple(reversed(root.layers)))], {}


def _lay_on_host(
    draft: _Draft,
    root: RootFs,
    host: HostTree,
    mounts: Sequence[Mount | TmpfsMount],
    working_directory: str,
) -> tuple[list[Place], dict[str, str]]:
    plain = RootView(_host_places(root, host), dict(host.links))
    wanted = [plain.resolve(mount.target) for mount in mounts] + [plain.resolve(working_directory)]
    missing = [PurePosixPath(one.path).parts for one in wanted if one.real is None]
    touched = {parts[1] for parts in missing if len(parts) > 1}
    places: list[Place] = [Place("/", ())]
    for link, target in host.links.items():
        draft.steps.append(Link(link, target))
    layered = {name for layer in root.layers for name in _names(layer)}
    for name in sorted({*host.directories, *layered} - set(_OWN)):
        own = [layer / name for layer in root.layers if (layer / name).is_dir()]
        is_of_host = name in host.directories and f"/{name}" not in _HIDDEN
        sources = [Path(f"/{name}"), *own] if is_of_host else own
        if f"/{name}" in _HIDDEN and not own:
            draft.steps.append(Tmpfs(f"/{name}", _HIDDEN[f"/{name}"]))
        elif own or (name in touched and is_of_host):
            draft.overlay(f"/{name}", sources)
        else:
            draft.steps.append(Bind(Path(f"/{name}"), f"/{name}", True))
        places.append(Place(f"/{name}", tuple(reversed(sources))))
    if "var" in host.directories and not any((layer / "var/tmp").exists() for layer in root.layers):
        draft.steps.append(Tmpfs("/var/tmp", _HIDDEN["/var/tmp"]))
        places.append(Place("/var/tmp", ()))
    for name, path in _top_files(root.layers).items():
        if name not in host.directories and f"/{name}" not in host.links:
            draft.steps.append(Bind(path, f"/{name}", True))
            places.append(Place(f"/{name}", (path,)))
    for path in draft.scratch.masked:
        if path.is_dir() and not _is_hidden(path):
            draft.steps.append(Tmpfs(str(path), "0755", is_mask=True))
            places.append(Place(str(path), ()))
    for path in root.visible:
        if _is_hidden(path) or any(path.is_relative_to(one) for one in draft.scratch.masked):
            draft.steps.append(Bind(path, str(path), True))
            places.append(Place(str(path), (path,)))
    return places, dict(host.links)


def _host_places(root: RootFs, host: HostTree) -> list[Place]:
    places = [Place("/", tuple(reversed(root.layers)))]
    for name in host.directories:
        own = tuple(layer / name for layer in reversed(root.layers))
        base = () if f"/{name}" in _HIDDEN else (Path(f"/{name}"),)
        places.append(Place(f"/{name}", (*own, *base)))
    return places


def _names(layer: Path) -> list[str]:
    return [entry.name for entry in layer.iterdir() if entry.is_dir()]


def _top_files(layers: Sequence[Path]) -> dict[str, Path]:
    """Files right beneath the root, as /extra.conf for FireLens in AWS's examples; the topmost
    layer's. They are read-only: only directories can be overlays."""
    return {
        entry.name: entry
        for layer in layers
        for entry in sorted(layer.iterdir())
        if entry.is_file() and not entry.name.startswith(".wh.")
    }


def _is_hidden(path: Path) -> bool:
    return any(path.is_relative_to(hidden) for hidden in _HIDDEN)
