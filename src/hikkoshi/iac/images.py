"""Which images are built here, and in which ECR repository each lives."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hikkoshi.model.project import Project

_ECR = re.compile(
    r"^(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/"
    r"(?P<name>[a-z0-9]+(?:[._/-][a-z0-9]+)*)(?::(?P<tag>[\w][\w.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?$"
)


@dataclass(frozen=True, slots=True)
class EcrImage:
    """`tag` is a digest where the image is named by one."""

    repository: str
    tag: str


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """One `docker build`, in words that a shell takes as they are."""

    repository: str
    dockerfile: str
    context: str
    platform: str


def ecr_image(name: str) -> EcrImage | None:
    """None for an image of another registry."""
    match = _ECR.match(name)
    if match is None:
        return None
    return EcrImage(match["name"], match["digest"] or match["tag"] or "latest")


def ecr_images(images: Iterable[str]) -> dict[str, str]:
    """repository → tag, in the order of the task definition."""
    found: dict[str, str] = {}
    for image in map(ecr_image, images):
        if image is not None:
            found.setdefault(image.repository, image.tag)
    return found


def built_images(project: Project) -> tuple[BuiltImage, ...]:
    """What `images:` gives a Dockerfile and the task definition uses.

    The context is the Dockerfile's own folder, if what it copies is there; else the project's."""
    used = {c["image"] for c in project.task_definition["containerDefinitions"]}
    platform = project.task_definition.get("runtimePlatform", {}).get("cpuArchitecture", "X86_64")
    found = []
    for name, how in project.settings.images.items():
        image = ecr_image(name)
        if image is None or how.dockerfile is None or name not in used:
            continue
        folder = build_context(project.directory, how.dockerfile)
        found.append(
            BuiltImage(
                shlex.quote(image.repository),
                shlex.quote(how.dockerfile),
                shlex.quote(folder),
                " --platform linux/arm64" if platform == "ARM64" else "",
            )
        )
    return tuple(found)


_COPY = re.compile(r"^\s*(?:COPY|ADD)\s+(?!.*--from)(?P<sources>.+)\s+\S+\s*$", re.I | re.M)


def build_context(directory: Path, dockerfile: str) -> str:
    """The folder, relative to the project's directory, that `docker build` is given."""
    folder = dockerfile.rpartition("/")[0] or "."
    text = (directory / dockerfile).read_text("utf-8", errors="replace")
    words = [word for match in _COPY.finditer(text) for word in match["sources"].split()]
    sources = [word for word in words if not word.startswith(("--", "http", "["))]
    is_whole = all(any((directory / folder).glob(word.strip("/") or ".")) for word in sources)
    return folder if is_whole else "."
