"""Every image that the embedded engine knows, found by name and made at its first use."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from hikkoshi.image.layers import digest_of_tree, write_files, write_packages
from hikkoshi.image.names import normalise
from hikkoshi.image.oci import unpack
from hikkoshi.image.python_home import PREFIX, PythonHome, write_home
from hikkoshi.image.recipe import HOST, PYTHON, SCRATCH, Recipes, compose
from hikkoshi.image.stand_ins import StandIn, match
from hikkoshi.model.images import EmbeddedImage, ImageNotHere, LocalImage, RootFs

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LocalLibrary:
    """`ImageLibrary` over: the images that the project describes, archives by name, localhost/host,
    localhost/python, stand-ins; looked for in this order.

    directory: where layers are made (one place a region; it may be kept and used again). Safe to
    use from several threads; an image is made once."""

    def __init__(
        self,
        directory: Path,
        python: PythonHome,
        *,
        project: Path | None = None,
        images: Sequence[EmbeddedImage] = (),
        archives: Mapping[str, Path] | None = None,
        stand_ins: Sequence[StandIn] = (),
    ) -> None:
        self._directory = directory
        self._python = python
        self._project = project
        self._images = {normalise(image.name): image for image in images}
        self._archives = {normalise(key): path for key, path in (archives or {}).items()}
        self._stand_ins = tuple(stand_ins)
        self._made: dict[str, LocalImage] = {}
        self._lock = threading.RLock()
        self._being_made: list[str] = []

    def load(self, name: str, archive: Path) -> LocalImage:
        """Take an archive or layout into the store under this name. Raises ImageNotHere."""
        with self._lock:
            key = normalise(name)
            self._archives[key] = archive
            self._made.pop(key, None)
            return self.find(name)

    def find(self, name: str) -> LocalImage:
        key = normalise(name)
        with self._lock:
            if key not in self._made:
                if key in self._being_made:
                    chain = " → ".join([*self._being_made, key])
                    raise ImageNotHere(f"images are made from each other in a circle: {chain}")
                self._being_made.append(key)
                try:
                    self._made[key] = self._make(name, key)
                except OSError as error:
                    raise ImageNotHere(f"{name} cannot be made: {error}") from error
                finally:
                    self._being_made.pop()
            return replace(self._made[key], name=name)

    def _make(self, name: str, key: str) -> LocalImage:
        if key in self._images:
            return self._build(self._images[key])
        if key in self._archives:
            return unpack(self._archives[key], name, self._directory)
        if key == normalise(HOST):
            return LocalImage(name, _digest("host"), RootFs(is_on_host=True), command=("/bin/sh",))
        if key == normalise(PYTHON):
            return self._python_image(name, with_hikkoshi=False)
        stand_in = match(name, self._stand_ins)
        if stand_in is not None:
            return self._play(name, key, stand_in)
        if name.startswith(("/", "./")) and Path(name).exists():
            return unpack(Path(name), name, self._directory)
        raise ImageNotHere(
            f"pull image manifest has been retried 1 time(s): failed to resolve ref {key}: {key}: "
            "not found here; the embedded engine pulls nothing: describe it under images: in "
            "hikkoshi.yaml, give an archive by path, or use --engine docker"
        )

    def _play(self, name: str, key: str, stand_in: StandIn) -> LocalImage:
        program = stand_in.found_on_machine()
        if program is not None:
            return LocalImage(
                name,
                _digest("machine", program),
                RootFs(is_on_host=True),
                entry_point=(program, *stand_in.machine_arguments),
                stand_in=f"{program}, this machine's own",
            )
        if stand_in.entry_point is None:
            raise ImageNotHere(
                f"pull image manifest has been retried 1 time(s): failed to resolve ref {key}: no "
                f"stand-in for {stand_in.program} is implemented; leave the container out, or use "
                "--engine docker"
            )
        image = self._python_image(name, with_hikkoshi=True)
        return replace(
            image, entry_point=stand_in.entry_point, command=(), stand_in=stand_in.program
        )

    def _python_image(self, name: str, *, with_hikkoshi: bool) -> LocalImage:
        """The machine, with the interpreter that hikkoshi runs with as python3."""
        python = self._python
        paths = (python.code, *python.site_directories) if with_hikkoshi else ()
        layer = self._new_layer()
        write_home(python, layer, paths)
        digest = digest_of_tree(layer, name if with_hikkoshi else PYTHON)
        return LocalImage(
            name,
            digest,
            RootFs(True, (self._keep(layer, digest),), (python.prefix, *paths)),
            command=("python3",),
            environment={
                "PATH": f"{PREFIX}/bin:{_PATH}",
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONUNBUFFERED": "1",
                "LANG": "C.UTF-8",
            },
        )

    def _build(self, image: EmbeddedImage) -> LocalImage:
        recipes = Recipes(self._project, self._images, self._python)
        if self._is_whole(image, recipes):
            return self._build_whole(image, recipes)
        base = self.find(image.from_image)
        layer = self._new_layer()
        if image.copy:
            if self._project is None:
                raise ImageNotHere(f"image {image.name} copies files, but there is no project")
            write_files(image, self._project, layer)
        if image.packages:
            if "python3" not in base.command and PREFIX not in base.environment.get("PATH", ""):
                raise ImageNotHere(
                    f"image {image.name} has packages, but {image.from_image} has no Python of "
                    f"hikkoshi's: write from: {PYTHON}"
                )
            write_packages(image, self._python, layer)
        digest = digest_of_tree(layer, base.digest, json.dumps(asdict(image), sort_keys=True))
        root = base.root
        if any(layer.iterdir()):
            root = replace(root, layers=(*root.layers, self._keep(layer, digest)))
        else:
            layer.rmdir()
        return LocalImage(
            image.name,
            digest,
            root,
            image.entry_point or base.entry_point,
            # As in a Dockerfile: a new ENTRYPOINT forgets the base's CMD.
            image.command or (() if image.entry_point else base.command),
            {**base.environment, **image.environment},
            image.working_directory or base.working_directory,
            image.user or base.user,
            image.stop_signal,
            base.stand_in,
        )

    def _is_whole(self, image: EmbeddedImage, recipes: Recipes) -> bool:
        """Made from scratch: nothing of the machine lies beneath it."""
        try:
            return recipes.chain(image)[0].from_image == SCRATCH
        except ImageNotHere:
            return False  # A base that is played, or not there: `find` tells.

    def _build_whole(self, image: EmbeddedImage, recipes: Recipes) -> LocalImage:
        layer = self._new_layer()
        configuration = compose(recipes, image, layer, shell=False).configuration
        digest = digest_of_tree(layer, json.dumps(asdict(image), sort_keys=True))
        return LocalImage(
            image.name,
            digest,
            RootFs(is_on_host=False, layers=(self._keep(layer, digest),)),
            configuration.entry_point,
            configuration.command,
            configuration.environment,
            configuration.working_directory,
            configuration.user,
            image.stop_signal,
        )

    def _new_layer(self) -> Path:
        self._directory.mkdir(parents=True, exist_ok=True)
        layer = Path(tempfile.mkdtemp(prefix="layer-", dir=self._directory))
        layer.chmod(0o755)
        return layer

    def _keep(self, layer: Path, digest: str) -> Path:
        """Under its digest; the same layer made before is used instead."""
        place = self._directory / digest.removeprefix("sha256:")[:32]
        if place.exists():
            shutil.rmtree(layer)
        else:
            layer.rename(place)
        return place


def _digest(*parts: str) -> str:
    return "sha256:" + hashlib.sha256("\0".join(parts).encode()).hexdigest()
