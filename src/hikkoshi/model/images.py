"""Images that need no registry: how they are described, and what they are once made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hikkoshi.model.project import EmbeddedImageSettings


class ImageNotHere(Exception):
    """No such image on this machine, or it cannot be made; the text continues AWS's
    `CannotPullContainerError: `."""


@dataclass(frozen=True, slots=True)
class EmbeddedImage:
    """An image of the embedded engine, as `images:` in hikkoshi.yaml describes it.

    packages: Python distributions, taken with all they require from the environment that hikkoshi
    runs in. copy: path relative to the project's directory → absolute path in the image.
    include: absolute paths below `root` (`/`, or a directory of the project or of the machine) that
    are in the image with exactly what they need. system_packages: Debian packages of `root` with
    what they depend on. directories: absolute paths that the service may write into.
    from_image: localhost/host, localhost/python, scratch, or another image of the project."""

    name: str
    from_image: str = "localhost/host"
    packages: tuple[str, ...] = ()
    copy: Mapping[str, str] = field(default_factory=dict)
    include: tuple[str, ...] = ()
    system_packages: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    root: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str | None = None
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str | None = None
    stop_signal: str = "SIGTERM"

    @classmethod
    def from_settings(cls, name: str, settings: EmbeddedImageSettings) -> EmbeddedImage:
        return cls(
            name,
            settings.from_,
            settings.packages,
            settings.copy,
            settings.include,
            settings.system_packages,
            settings.directories,
            settings.root,
            settings.environment,
            settings.working_directory,
            settings.entry_point,
            settings.command,
            settings.user,
            settings.stop_signal,
        )


@dataclass(frozen=True, slots=True)
class RootFs:
    """A root file system that is laid when a container starts.

    is_on_host: the machine's own root, read-only, lies beneath. layers: directories laid over it,
    lowest first. visible: the machine's paths that are shown even where /tmp, /run or /var/tmp
    would hide them."""

    is_on_host: bool
    layers: tuple[Path, ...] = ()
    visible: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image that is here. stand_in names the program that plays it, if one does."""

    name: str
    digest: str
    root: RootFs
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str | None = None
    user: str | None = None
    stop_signal: str = "SIGTERM"
    stand_in: str | None = None


class ImageLibrary(Protocol):
    def find(self, name: str) -> LocalImage:
        """Blocking: an image may be made at its first use. Raises ImageNotHere."""
        ...
