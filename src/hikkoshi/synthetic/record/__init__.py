"""Writes tests of our own format from what there is: an OpenAPI document, an access log, a HAR."""

from __future__ import annotations

from pathlib import Path

import yaml

from hikkoshi.base.errors import BadInput
from hikkoshi.synthetic.record.access_log import from_access_log
from hikkoshi.synthetic.record.drafts import Drafts
from hikkoshi.synthetic.record.har import from_har
from hikkoshi.synthetic.record.openapi import from_openapi

SOURCES = ("openapi", "access-log", "har")


def record(source: str, path: Path) -> tuple[str, list[str]]:
    """The tests as YAML, and what was left out. BadInput: the file is not of that kind, or there
    is nothing in it to test."""
    try:
        text = path.read_text("utf-8-sig", "replace")
    except OSError as error:
        raise BadInput(
            f"cannot be read: {error.strerror}", where=str(path), fix="name a file"
        ) from error
    read = {"openapi": from_openapi, "access-log": from_access_log, "har": from_har}[source]
    drafts: Drafts = read(text, str(path))
    if not drafts.tests:
        why = f": {drafts.notes[0]}" if drafts.notes else ""
        raise BadInput(f"nothing in it to test{why}", where=str(path), fix=f"is it {source}?")
    whole = yaml.safe_dump(
        {"tests": list(drafts.tests)}, sort_keys=False, allow_unicode=True, width=100
    )
    return whole, list(drafts.notes)
