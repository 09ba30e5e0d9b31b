"""Which reader a target file is for, by what is asked for or by how it begins."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hikkoshi.base.errors import BadInput
from hikkoshi.load.formats.alb_log import is_alb_log, parse_alb_log
from hikkoshi.load.formats.found import Found, without_origin
from hikkoshi.load.formats.har import parse_har
from hikkoshi.load.formats.openapi import parse_openapi
from hikkoshi.load.targets import parse_targets

FORMATS = ("auto", "http", "json", "har", "openapi", "alb-log")
_LARGEST_BYTES = 512 * 1024 * 1024
_OPENAPI_YAML = re.compile(r"^(openapi|swagger)\s*:", re.MULTILINE)


def read_found(
    path: Path, form: str = "auto", *, methods: Iterable[str] = (), is_rebased: bool = False
) -> Found:
    """As `parse_found`, from a file, which may be gzipped as logs in S3 are."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = _unpacked(data)
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, zlib.error, EOFError) as error:
        raise BadInput(
            f"the targets cannot be read: {error}",
            where=str(path),
            fix="name a readable file in UTF-8",
        ) from error
    return parse_found(
        text, form, where=str(path), directory=path.parent, methods=methods, is_rebased=is_rebased
    )


def parse_found(
    text: str,
    form: str = "auto",
    *,
    where: str,
    directory: Path | None = None,
    methods: Iterable[str] = (),
    is_rebased: bool = False,
) -> Found:
    """methods: only these. is_rebased: hosts of recordings, logs and documents give way to a base
    address. Never without a target: that is a BadInput."""
    wanted = frozenset(each.strip().upper() for each in methods if each.strip())
    form = guess(text) if form == "auto" else form
    if form == "har":
        found = parse_har(text, where)
    elif form == "openapi":
        found = parse_openapi(text, where, wanted or None)
    elif form == "alb-log":
        found = parse_alb_log(text, where)
    else:
        found = Found(parse_targets(text, where=where, directory=directory, form=form))
    if wanted:
        kept = tuple(each for each in found.targets if each.method in wanted)
        if not kept:
            raise BadInput(
                f"no target with the method {', '.join(sorted(wanted))}", where=where,
                fix="leave out --methods, or name others",
            )  # fmt: skip
        found = replace(found, targets=kept)
    if is_rebased and form in ("har", "openapi", "alb-log"):
        found = replace(found, targets=without_origin(found.targets))
    return found


def guess(text: str) -> str:
    start = text.lstrip()[:65536]
    if start.startswith("{"):
        return _guess_of_json(text)
    if _OPENAPI_YAML.search(start):
        return "openapi"
    return "alb-log" if is_alb_log(start) else "http"


def _guess_of_json(text: str) -> str:
    """One document, or one a line."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        # Whoever meant one of these two wants to hear what is wrong with it.
        first = re.match(r'\s*\{\s*"(log|openapi|swagger)"\s*:', text)
        return {"log": "har", None: "json"}.get(first and first[1], "openapi")
    for key, form in (("log", "har"), ("openapi", "openapi"), ("swagger", "openapi")):
        if key in document:
            return form
    return "json"


def _unpacked(data: bytes) -> bytes:
    """Not more than fits: a gzipped file may hold a thousand times its size."""
    unpacker = zlib.decompressobj(31)
    out = unpacker.decompress(data, _LARGEST_BYTES)
    if unpacker.unconsumed_tail:
        raise zlib.error(f"more than {_LARGEST_BYTES} bytes in it")
    # A log may be several gzip members, one after another.
    return out + gzip.decompress(unpacker.unused_data) if unpacker.unused_data else out
