"""Layers of the images that hikkoshi.yaml describes: files of the project, and packages."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from hikkoshi.image.packages import close_over, copy_distribution
from hikkoshi.image.python_home import PREFIX, PythonHome
from hikkoshi.model.images import EmbeddedImage, ImageNotHere


def place_in_layer(layer: Path, target: str) -> Path:
    """Where a file for the absolute path `target` goes. What is a link at the top of the machine's
    root (/lib → usr/lib) is followed, for the layer lies over it. Raises ImageNotHere."""
    pure = PurePosixPath(target)
    if not pure.is_absolute() or ".." in pure.parts or len(pure.parts) < 2:
        raise ImageNotHere(f"{target!r} is not an absolute path in an image")
    top = Path("/") / pure.parts[1]
    if top.is_symlink():
        pure = PurePosixPath(str(top.resolve())).joinpath(*pure.parts[2:])
    return layer.joinpath(*pure.parts[1:])


def source_of(project: Path, name: str, image: str) -> Path:
    """The project's file or directory; it must not lead out of the project by `..`."""
    source = project / name
    if Path(name).is_absolute() or not source.resolve().is_relative_to(project.resolve()):
        raise ImageNotHere(f"image {image}: {name!r} lies outside the project's directory")
    if not source.exists():
        raise ImageNotHere(f"image {image}: {source} does not exist")
    return source


def write_files(image: EmbeddedImage, project: Path, layer: Path) -> None:
    for name, target in sorted(image.copy.items()):
        source = source_of(project, name, image.name)
        place = place_in_layer(layer, target)
        if source.is_dir():
            ignore = shutil.ignore_patterns(".hikkoshi", ".git", "__pycache__")
            shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True, ignore=ignore)
        else:
            if target.endswith("/"):
                place = place / source.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)


def write_packages(image: EmbeddedImage, home: PythonHome, layer: Path) -> None:
    for distribution in close_over(image.packages, home.site_directories):
        copy_distribution(distribution, layer / home.site_packages, layer / PREFIX[1:] / "bin")


def digest_of_tree(directory: Path, *seasoning: str) -> str:
    """sha256 over names, modes and contents, the same on every machine."""
    total = hashlib.sha256("\0".join(seasoning).encode())
    for path in _walk(directory):
        relative = path.relative_to(directory).as_posix()
        if path.is_symlink():
            total.update(f"l{relative}\0{path.readlink()}\0".encode())
        elif path.is_file() and path.suffix != ".pyc":
            executable = int(os.access(path, os.X_OK))
            total.update(f"f{executable}{relative}\0".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return f"sha256:{total.hexdigest()}"


def _walk(directory: Path) -> Iterable[Path]:
    for top, directories, files in os.walk(directory):
        directories.sort()
        for name in sorted([*files, *(d for d in directories if (Path(top) / d).is_symlink())]):
            yield Path(top) / name
