"""botocore's service models without their documentation, and each read as seldom as can be.

A model is half prose, which nobody in the region reads; of EC2's, which moto has loaded to answer,
that is some 40 MB of the region's memory with botocore's ordered dictionaries. And moto asks
botocore eleven times which regions there are while EC2 is imported: a model of 4 MB for one word.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from botocore.exceptions import UnknownServiceError
from botocore.loaders import JSONFileLoader, Loader
from botocore.session import Session

# A name as JSON has it, with its colon: within a text its quotes would be escaped. A member of a
# structure may itself have that name: its value is no text, and stays.
_PROSE = re.compile(rb'"documentation"\s*:\s*"[^"\\]*(?:\\.[^"\\]*)*"')
_SHARED = ("endpoints.json", "partitions.json")


class SlimFileLoader(JSONFileLoader):  # type: ignore[misc]
    """Reads what JSONFileLoader reads, into plain dictionaries. botocore makes a loader for each
    session: the lists of endpoints, which nobody alters, are the same ones for all of them."""

    def _load_file(self, full_path: str, open_method: Callable[..., Any]) -> Any:
        if full_path.endswith(_SHARED):
            return _read_once(full_path)
        return _read(full_path, open_method)


def _read(path: str, open_method: Callable[..., Any]) -> Any:
    if not Path(path).is_file():
        return None
    with open_method(path, "rb") as file:
        return msgspec.json.decode(without_documentation(file.read()))


@functools.cache
def _read_once(path: str) -> Any:
    return _read(path, open)


def without_documentation(model: bytes) -> bytes:
    """Pure: JSON to JSON. The texts are empty, not gone, since botocore adds to some of them."""
    return _PROSE.sub(b'"documentation":""', model)


class _Head(msgspec.Struct):
    metadata: dict[str, Any] = {}


class _HeadFileLoader(JSONFileLoader):  # type: ignore[misc]
    """Of a model only its metadata, which is read without making anything of the rest."""

    def _load_file(self, full_path: str, open_method: Callable[..., Any]) -> Any:
        if not Path(full_path).is_file():
            return None
        with open_method(full_path, "rb") as file:
            return {"metadata": msgspec.json.decode(file.read(), type=_Head).metadata}


_heads = Loader(file_loader=_HeadFileLoader())


def available_regions(
    session: Any, service_name: str, partition_name: str = "aws", allow_non_regional: bool = False
) -> list[str]:
    """As botocore's `Session.get_available_regions`, which loads the whole model."""
    try:
        head = _heads.load_service_model(service_name, "service-2")["metadata"]
    except UnknownServiceError:
        return []
    prefix = head.get("endpointPrefix", service_name)
    resolver = session._get_internal_component("endpoint_resolver")
    regions: list[str] = resolver.get_available_endpoints(
        prefix, partition_name, allow_non_regional
    )
    return regions


def slim_models() -> None:
    """For this process, from now on."""
    Loader.FILE_LOADER_CLASS = SlimFileLoader
    Session.get_available_regions = available_regions
