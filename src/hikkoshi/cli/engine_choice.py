"""Which engine runs the containers, and the images that Docker has to build first."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.iac.images import build_context
from hikkoshi.image.names import normalise
from hikkoshi.image.stand_ins import STAND_INS, match
from hikkoshi.model.project import ImageSettings, Project
from hikkoshi.region.boot import linux
from hikkoshi.region.boot.docker_socket import docker_socket, docker_version

engine_option = click.option(
    "--engine",
    type=click.Choice(["auto", "embedded", "docker"]),
    default="auto",
    show_default=True,
    help="What runs the containers. auto: Docker only if an image needs it and it answers.",
)


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """built: images that Docker has under their names, whatever `embedded:` says of them."""

    engine: str
    because: str
    socket: str = ""
    built: frozenset[str] = frozenset()


EMBEDDED = EngineChoice("embedded", "the default")


@dataclass(frozen=True, slots=True)
class DockerHere:
    """socket: "" where there is none. refusal: why Docker cannot be used; None if it can."""

    socket: str
    refusal: CannotRun | None


def look_for_docker(environment: Mapping[str, str]) -> DockerHere:
    socket = docker_socket(environment)
    if socket is None or docker_version(socket) is None:
        return DockerHere(
            "",
            CannotRun(
                "Docker does not answer on a socket of this machine",
                where=environment.get("DOCKER_HOST") or "/var/run/docker.sock",
                fix="start it, or leave --engine out: the embedded engine needs no Docker",
            ),
        )
    if os.geteuid() != 0 or not linux.has_capability(linux.CAP_SYS_ADMIN):
        return DockerHere(
            socket,
            CannotRun(
                "the Docker engine needs root: it lays the region's network into the namespaces "
                "of Docker's containers",
                fix="run it as root, or leave --engine out: the embedded engine needs no root",
            ),
        )
    return DockerHere(socket, None)


def decide(asked: str, needs_docker: list[str], docker: Callable[[], DockerHere]) -> EngineChoice:
    """needs_docker: images that only Docker can build or pull. Raises what Docker's refusal is
    where Docker was asked for."""
    if asked == "embedded" or (asked == "auto" and not needs_docker):
        return EngineChoice(
            "embedded", "asked for" if asked == "embedded" else "no image needs Docker"
        )
    here = docker()
    if here.refusal is None:
        because = "asked for" if asked == "docker" else f"{needs_docker[0]} needs it"
        return EngineChoice("docker", because, here.socket)
    if asked == "docker":
        raise here.refusal
    return EngineChoice("embedded", here.refusal.what)


def refuse_engine(asked: str) -> None:
    """Before anything is written: Docker was asked for, and cannot be used here."""
    if asked == "docker" and (refusal := look_for_docker(os.environ).refusal) is not None:
        raise refusal


def images_that_need_docker(project: Project | None) -> list[str]:
    """Of the task definition: what is neither described without Docker, nor localhost's, nor
    played by a stand-in."""
    if project is None:
        return []
    described = {normalise(name): how for name, how in project.settings.images.items()}
    found = []
    for container in project.task_definition.get("containerDefinitions") or []:
        name = str(container.get("image", ""))
        how = described.get(normalise(name))
        if how is not None:
            is_here = how.embedded is not None or how.path is not None
        else:
            stand_in = match(name, STAND_INS)
            is_here = name.startswith(("localhost/", "/", "./")) or (
                stand_in is not None
                and (stand_in.entry_point is not None or stand_in.found_on_machine() is not None)
            )
        if name and not is_here:
            found.append(name)
    return found


def choose_engine(asked: str, project: Project | None, say: Callable[[str], None]) -> EngineChoice:
    """Also builds, with Docker's own command, the images that have a Dockerfile. say: progress."""
    choice = decide(asked, images_that_need_docker(project), lambda: look_for_docker(os.environ))
    if choice.engine != "docker":
        return choice
    say(f"the containers are Docker's ({choice.because})")
    homes = [home for home in (project, project.old_home if project else None) if home is not None]
    built = {
        name
        for home in homes
        for name, how in home.settings.images.items()
        if how.dockerfile is not None and build_with_docker(home.directory, name, how, choice, say)
    }
    return EngineChoice("docker", choice.because, choice.socket, frozenset(built))


def build_with_docker(
    directory: Path,
    name: str,
    how: ImageSettings,
    choice: EngineChoice,
    say: Callable[[str], None],
) -> bool:
    """False where it could not be built and `embedded:` can make it instead. Raises CannotRun."""
    docker = shutil.which("docker")
    if docker is None:
        raise CannotRun("the program docker is missing", fix="install Docker's command line")
    say(f"{name}: docker build")
    dockerfile = directory / str(how.dockerfile)
    if not dockerfile.is_file():
        raise BadInput("there is no such Dockerfile", where=str(dockerfile), fix="mend its path")
    command = [docker, "build", "-t", name, "-f", str(dockerfile)]
    done = subprocess.run(
        [*command, str(directory / build_context(directory, str(how.dockerfile)))],
        env={**os.environ, "DOCKER_HOST": f"unix://{choice.socket}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode == 0:
        return True
    lines = done.stdout.decode(errors="replace").strip().splitlines() or ["no output"]
    if how.embedded is not None:
        say(f"{name}: docker build failed ({lines[-1].strip()}); made by its `embedded:` instead")
        return False
    tail = "\n".join(lines[-15:])
    raise CannotRun(
        f"docker build of {name} failed:\n{tail}",
        where=str(dockerfile),
        fix="mend the Dockerfile, or describe the image under embedded:",
    )
