"""How a container's root is laid, as bwrap's arguments. Decides only; touches nothing but to look.

Beneath `localhost/host` the machine's top-level entries are bound read-only into an empty root, so
that new top-level directories can be added; those into which something is to be put are overlays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from hikkoshi.model.images import RootFs
from hikkoshi.region.engine.port import Mount
from hikkoshi.region.engine.view import Place, RootView

_HIDDEN = {"/tmp": "1777", "/run": "0755", "/var/tmp": "1777"}
_OWN = ("proc", "dev", "sys", "lost+found")
_SHM_BYTES = 64 << 20


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
class Layout:
    arguments: tuple[str, ...]
    view: RootView
    directories: tuple[Path, ...]
    """To be made (with parents) before bwrap starts."""


@dataclass(slots=True)
class _Draft:
    scratch: Scratch
    arguments: list[str] = field(default_factory=list)
    directories: list[Path] = field(default_factory=list)
    read_only_later: list[str] = field(default_factory=list)

    def overlay(self, target: str, sources: Sequence[Path]) -> None:
        for source in sources:
            self.arguments += ["--overlay-src", str(source)]
        if self.scratch.upper is None:
            self.arguments += ["--tmp-overlay", target]
        else:
            name = target.strip("/").replace("/", "-") or "root"
            upper, work = (self.scratch.upper / kind / name for kind in ("upper", "work"))
            self.directories += [upper, work]
            self.arguments += ["--overlay", str(upper), str(work), target]
        self.read_only_later.append(target)

    def tmpfs(self, target: str, mode: str) -> None:
        self.arguments += ["--perms", mode, "--tmpfs", target]
        self.read_only_later.append(target)


def lay_out(
    root: RootFs,
    host: HostTree,
    scratch: Scratch,
    mounts: Sequence[Mount],
    working_directory: str,
    *,
    is_read_only: bool,
) -> Layout:
    """mounts are bound in their order; a target's links are followed, and a missing one is made.
    The working directory is made where it is missing."""
    draft = _Draft(scratch)
    places, links = (
        _lay_on_host(draft, root, host, mounts, working_directory)
        if root.is_on_host
        else _lay_layers(draft, root)
    )
    arguments = draft.arguments
    arguments += ["--proc", "/proc", "--dev", "/dev", "--ro-bind-try", "/sys", "/sys"]
    arguments += ["--size", str(_SHM_BYTES), "--perms", "1777", "--tmpfs", "/dev/shm"]
    places += [Place("/dev", (Path("/dev"),)), Place("/proc", (Path("/proc"),))]
    view = RootView(places, links)
    for mount in mounts:
        target = view.resolve(mount.target).path
        option = "--ro-bind" if mount.is_read_only else "--bind"
        arguments += [option, str(mount.source), target]
        view = view.with_places([Place(target, (mount.source,))])
    directory = view.resolve(working_directory)
    if directory.real is None and directory.path not in ("/", *_HIDDEN, "/dev/shm"):
        arguments += ["--dir", directory.path]
    if is_read_only:
        for target in ["/", *draft.read_only_later]:
            arguments += ["--remount-ro", target]
    return Layout(tuple(arguments), view, tuple(draft.directories))


def _lay_layers(draft: _Draft, root: RootFs) -> tuple[list[Place], dict[str, str]]:
    draft.overlay("/", root.layers)
    return [Place("/", tuple(reversed(root.layers)))], {}


def _lay_on_host(
    draft: _Draft,
    root: RootFs,
    host: HostTree,
    mounts: Sequence[Mount],
    working_directory: str,
) -> tuple[list[Place], dict[str, str]]:
    plain = RootView(_host_places(root, host), dict(host.links))
    wanted = [plain.resolve(mount.target) for mount in mounts] + [plain.resolve(working_directory)]
    missing = [PurePosixPath(one.path).parts for one in wanted if one.real is None]
    touched = {parts[1] for parts in missing if len(parts) > 1}
    places: list[Place] = [Place("/", ())]
    for link, target in host.links.items():
        draft.arguments += ["--symlink", target, link]
    layered = {name for layer in root.layers for name in _names(layer)}
    for name in sorted({*host.directories, *layered} - set(_OWN)):
        own = [layer / name for layer in root.layers if (layer / name).is_dir()]
        is_of_host = name in host.directories and f"/{name}" not in _HIDDEN
        sources = [Path(f"/{name}"), *own] if is_of_host else own
        if f"/{name}" in _HIDDEN and not own:
            draft.tmpfs(f"/{name}", _HIDDEN[f"/{name}"])
        elif own or (name in touched and is_of_host):
            draft.overlay(f"/{name}", sources)
        else:
            draft.arguments += ["--ro-bind", f"/{name}", f"/{name}"]
        places.append(Place(f"/{name}", tuple(reversed(sources))))
    if "var" in host.directories and not any((layer / "var/tmp").exists() for layer in root.layers):
        draft.tmpfs("/var/tmp", _HIDDEN["/var/tmp"])
        places.append(Place("/var/tmp", ()))
    for path in draft.scratch.masked:
        if path.is_dir() and not _is_hidden(path):
            draft.arguments += ["--tmpfs", str(path)]
            places.append(Place(str(path), ()))
    for path in root.visible:
        if _is_hidden(path) or any(path.is_relative_to(one) for one in draft.scratch.masked):
            draft.arguments += ["--ro-bind", str(path), str(path)]
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


def _is_hidden(path: Path) -> bool:
    return any(path.is_relative_to(hidden) for hidden in _HIDDEN)
