"""Several projects' images side by side: each name is looked for where it is described."""

from __future__ import annotations

from collections.abc import Mapping

from hikkoshi.image.names import normalise
from hikkoshi.model.images import ImageLibrary, LocalImage


class Libraries:
    """`ImageLibrary` over one library a project; a name that none describes is `common`'s."""

    def __init__(self, common: ImageLibrary, described: Mapping[str, ImageLibrary]) -> None:
        self._common = common
        self._described = {normalise(name): library for name, library in described.items()}

    def find(self, name: str) -> LocalImage:
        return self._described.get(normalise(name), self._common).find(name)
