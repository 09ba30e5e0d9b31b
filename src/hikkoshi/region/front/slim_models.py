"""botocore's service models without their documentation.

A model is half prose, which nobody in the region reads; of EC2's, which moto has loaded to answer,
that is some 40 MB of the region's memory with botocore's ordered dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from botocore.loaders import JSONFileLoader, Loader


class SlimFileLoader(JSONFileLoader):  # type: ignore[misc]
    """Reads what JSONFileLoader reads, into plain dictionaries."""

    def _load_file(self, full_path: str, open_method: Callable[..., Any]) -> Any:
        if not Path(full_path).is_file():
            return None
        with open_method(full_path, "rb") as file:
            return without_documentation(msgspec.json.decode(file.read()))


def without_documentation(document: Any) -> Any:
    """Pure. Its texts are empty, not gone, since botocore adds to some of them. A member of a
    structure may itself have that name: its value is no text, and stays."""
    if isinstance(document, dict):
        return {
            key: ""
            if key == "documentation" and isinstance(value, str)
            else without_documentation(value)
            for key, value in document.items()
        }
    if isinstance(document, list):
        return [without_documentation(value) for value in document]
    return document


def slim_models() -> None:
    """For this process, from now on."""
    Loader.FILE_LOADER_CLASS = SlimFileLoader
