"""What a region is told when it is started, as JSON: timers, and the images of its projects."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hikkoshi.model.images import EmbeddedImage
from hikkoshi.model.project import Project
from hikkoshi.model.timers import Timers

ACCOUNT_ID = "123456789012"

JOURNAL = "control-plane.jsonl"
"""In the directory of records, since the state directory does not outlive a killed region."""
BALANCERS_JOURNAL = "load-balancers.jsonl"
"""Beside it, ELBv2's."""
SCALING_JOURNAL = "autoscaling.jsonl"
DATABASES_JOURNAL = "databases.jsonl"
JOURNALS = (JOURNAL, BALANCERS_JOURNAL, SCALING_JOURNAL, DATABASES_JOURNAL)


@dataclass(frozen=True, slots=True)
class ProjectImages:
    """The images that one project describes. archives: name → OCI layout or archive, absolute."""

    directory: str
    images: tuple[EmbeddedImage, ...] = ()
    archives: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Payload:
    region: str = "ap-northeast-1"
    account_id: str = ACCOUNT_ID
    timers: Timers = Timers()
    projects: tuple[ProjectImages, ...] = ()
    engine: str = "embedded"


def payload_of(
    project: Project | None,
    timers: Timers,
    region: str | None = None,
    engine: str = "embedded",
    built: frozenset[str] = frozenset(),
) -> Any:
    """JSON for `LaunchSettings.payload`; the project it is compared with brings its images too.
    region: AWS's name of it; else the project's. built: images that Docker has, however else they
    are described."""
    found = [p for p in (project, project.old_home if project else None) if p is not None]
    payload = Payload(
        region=region or (project.settings.region if project else "ap-northeast-1"),
        timers=timers,
        projects=tuple(_images_of(each, built) for each in found),
        engine=engine,
    )
    return msgspec.to_builtins(payload)


def read_payload(document: Any) -> Payload:
    return msgspec.convert(document or {}, Payload)


def _images_of(project: Project, built: frozenset[str]) -> ProjectImages:
    directory = project.directory.absolute()
    return ProjectImages(
        str(directory),
        tuple(
            EmbeddedImage.from_settings(name, how.embedded)
            for name, how in project.settings.images.items()
            if how.embedded is not None and name not in built
        ),
        {
            name: str(Path(directory) / how.path)
            for name, how in project.settings.images.items()
            if how.path is not None and how.embedded is None and name not in built
        },
    )
