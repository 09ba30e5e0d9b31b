"""Images of a project, or one of a program, into an OCI layout."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hikkoshi.image.layout_writer import Built, LayoutWriter
from hikkoshi.image.recipe import Recipes, compose
from hikkoshi.model.images import EmbeddedImage


@dataclass(frozen=True)
class Outcome:
    """skipped: (image, why it was not built)."""

    built: tuple[Built, ...]
    warnings: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


def build(
    recipes: Recipes,
    images: Sequence[tuple[EmbeddedImage, str]],
    layout: Path,
    *,
    epoch: int = 0,
    shell: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """images: each with the name that it gets. epoch: seconds since 1970 for every time in them.

    The same input gives the same digests. Raises ImageNotHere."""
    built: list[Built] = []
    warnings: list[str] = []
    writer = LayoutWriter(layout, epoch)
    for image, name in images:
        # Beside the layout, so that files can be linked and not copied.
        with tempfile.TemporaryDirectory(prefix=".stage-", dir=layout) as directory:
            say(f"{name}: gathering files")
            composed = compose(recipes, image, Path(directory), shell=shell)
            count = sum(len(layer) for layer in composed.layers)
            say(f"{name}: packing {count} entries")
            built.append(
                writer.add(name, composed.configuration, composed.layers, composed.comments)
            )
            warnings += [f"{name}: {warning}" for warning in composed.warnings]
    writer.close()
    return Outcome(tuple(built), tuple(dict.fromkeys(warnings)))


def clear_layout(layout: Path) -> None:
    """An earlier layout there is removed; anything else is left alone."""
    if (layout / "oci-layout").is_file():
        for name in ("blobs", "index.json", "oci-layout", "manifest.json"):
            place = layout / name
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)
