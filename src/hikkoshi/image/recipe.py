"""From the description of an image to a root file system that needs nothing around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hikkoshi.image import distribution
from hikkoshi.image.layers import source_of
from hikkoshi.image.layout_writer import Configuration, architecture
from hikkoshi.image.names import normalise
from hikkoshi.image.packages_list import packages_of
from hikkoshi.image.python_home import PREFIX, PythonHome
from hikkoshi.image.python_stage import ENVIRONMENT, compile_all, put_packages, put_python
from hikkoshi.image.rooted import Rooted
from hikkoshi.image.stage import SEARCH_PATH, Stage
from hikkoshi.image.stand_ins import STAND_INS, match
from hikkoshi.model.images import EmbeddedImage, ImageNotHere

HOST, PYTHON, SCRATCH = "localhost/host", "localhost/python", "scratch"
NOBODY = 65532
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_ZONES = "/usr/share/zoneinfo"
PACKAGE_LIST = "/usr/share/sbom/image.cdx.json"
_FILES = {
    "/etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\n"
    f"app:x:{NOBODY}:{NOBODY}:app:/home/app:/sbin/nologin\n",
    "/etc/group": f"root:x:0:\napp:x:{NOBODY}:\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


@dataclass(frozen=True)
class Recipes:
    """All images of a project by normalised name; `machine` is the root that files come from."""

    project: Path | None
    images: Mapping[str, EmbeddedImage]
    python: PythonHome
    machine: Path = field(default=Path("/"))

    def chain(self, image: EmbeddedImage) -> list[EmbeddedImage]:
        """The image and those it is made from, lowest first. Raises ImageNotHere."""
        found = [image]
        while (base := found[0].from_image) not in (HOST, PYTHON, SCRATCH):
            below = self.images.get(normalise(base))
            if below is None:
                raise ImageNotHere(_why_not(image.name, base))
            if below in found:
                raise ImageNotHere(f"image {image.name} is made from itself")
            found.insert(0, below)
        return found


def _why_not(image: str, base: str) -> str:
    if match(base, STAND_INS) is not None:
        return (
            f"image {image} is made from {base}, which the region only plays: build its Dockerfile "
            "with Docker"
        )
    return f"image {image} is made from {base}, which is not described and cannot be pulled here"


@dataclass(frozen=True)
class Composed:
    """layers: the machine's part and the project's, each as `Stage.walk` gives it, the empty one
    left out. warnings: what some file asks for and nobody has."""

    configuration: Configuration
    layers: tuple[tuple[tuple[str, Path], ...], ...]
    comments: tuple[str, ...]
    warnings: tuple[str, ...]


def compose(recipes: Recipes, image: EmbeddedImage, directory: Path, *, shell: bool) -> Composed:
    """directory: an empty one, which the layers stand in afterwards. Raises ImageNotHere, also if
    the program to run lacks a library."""
    chain = recipes.chain(image)
    root = next((i.root for i in reversed(chain) if i.root != "/"), None)
    machine = recipes.machine if root is None else (recipes.project or Path()) / root
    if not machine.is_dir():
        raise ImageNotHere(f"image {image.name}: there is no directory {machine}")
    stage = Stage(directory, Rooted(machine))
    has_python = chain[0].from_image == PYTHON
    if has_python:
        put_python(stage, recipes.python)
    own = _put_own(stage, recipes, chain, has_python)
    configuration = _configuration(chain, has_python)
    words = (*configuration.entry_point, *configuration.command)
    path = configuration.environment.get("PATH", SEARCH_PATH)
    program = stage.take_program(words[0], path) if words else None
    if shell:
        stage.take_program("sh")
    stage.complete()
    _refuse_broken(stage, program)
    if has_python:
        compile_all(stage, recipes.python)
    _put_common(stage)
    stage.put_text(PACKAGE_LIST, packages_of(stage, image.name))
    configuration = Configuration(
        configuration.entry_point,
        configuration.command,
        configuration.environment,
        configuration.working_directory,
        configuration.user or f"{NOBODY}:{NOBODY}",
        configuration.stop_signal,
        architecture=architecture(stage.machine),
    )
    entries = list(stage.walk())
    parts = (
        (tuple(e for e in entries if not _is_below(e[0], own)), "the machine's files"),
        (tuple(e for e in entries if _is_below(e[0], own)), "the project's files"),
    )
    kept = [(layer, comment) for layer, comment in parts if layer]
    missing = tuple(f"{who} asks for {what}, which is not there" for who, what in stage.missing)
    return Composed(configuration, tuple(k[0] for k in kept), tuple(k[1] for k in kept), missing)


def _put_own(
    stage: Stage, recipes: Recipes, chain: list[EmbeddedImage], has_python: bool
) -> tuple[str, ...]:
    """What the project gives; the paths below which its files are."""
    own: list[str] = []
    for image in chain:
        if image.packages and not has_python:
            raise ImageNotHere(f"image {image.name} has packages: write from: {PYTHON}")
        if image.packages:
            put_packages(stage, recipes.python, image.packages)
            own.append(PREFIX.strip("/"))
        if image.system_packages:
            distribution.put_packages(stage, image.system_packages)
        for path in image.include:
            stage.take(path)
        for path in image.directories:
            distribution.make_writable(stage, path)
        # Last, as a Dockerfile's COPY: the project's file wins over a package's of the same name.
        for name, target in sorted(image.copy.items()):
            if recipes.project is None:
                raise ImageNotHere(f"image {image.name} copies files, but there is no project")
            source = source_of(recipes.project, name, image.name)
            place = f"{target.rstrip('/')}/{source.name}" if target.endswith("/") else target
            stage.put(place, source)
            own.append(place.strip("/"))
    return tuple(own)


def _configuration(chain: list[EmbeddedImage], has_python: bool) -> Configuration:
    """Each image over the one below, as a Dockerfile's lines: a new ENTRYPOINT forgets the CMD."""
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ("python3",) if has_python else ()
    environment = dict(ENVIRONMENT) if has_python else {"PATH": SEARCH_PATH}
    # Every build of OpenSSL has its own idea of where these are; all take the variable.
    environment["SSL_CERT_FILE"] = _CERTIFICATES
    directory: str | None = None
    user: str | None = None
    for image in chain:
        command = image.command or (() if image.entry_point else command)
        entry_point = image.entry_point or entry_point
        environment |= image.environment
        directory = image.working_directory or directory
        user = image.user or user
    signal = chain[-1].stop_signal
    return Configuration(
        entry_point, command, environment, directory, user, None if signal == "SIGTERM" else signal
    )


def _put_common(stage: Stage) -> None:
    """What any program may look for: certificates, time zones, names of users, places to write."""
    for path, text in _FILES.items():
        if stage.here.real(path) is None:
            stage.put_text(path, text)
    for path in (_CERTIFICATES, _ZONES):
        stage.take_if_there(path)
    for half in ("posix", "right"):
        stage.remove(f"{_ZONES}/{half}")
    for directory in ("/tmp", "/run", "/var/tmp", "/home/app", "/proc", "/dev", "/sys"):
        stage.make_directory(directory)


def _refuse_broken(stage: Stage, program: str | None) -> None:
    lacking = [what for who, what in stage.missing if who == program]
    if lacking:
        raise ImageNotHere(
            f"{program} needs {', '.join(lacking)}, which is not in {stage.source.root}"
        )


def _is_below(path: str, tops: tuple[str, ...]) -> bool:
    return any(path == top or path.startswith(f"{top}/") for top in tops)
