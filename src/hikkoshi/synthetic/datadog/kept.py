"""Datadog's documents as files of ours, and back to the very same JSON.

A file of ours keeps each test whole under `datadog:`, and beside `tests:` the form of the document
that they came in: `datadog: {form: list | tests | single, rest: {…}}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from hikkoshi.base.errors import BadInput
from hikkoshi.synthetic.datadog.export import to_datadog
from hikkoshi.synthetic.datadog.read import documents_of
from hikkoshi.synthetic.definition import SyntheticTest

FORMS = ("list", "tests", "single")


def as_yaml(text: str, file: str) -> str:
    """A document of Datadog's as a file of ours. BadInput: it is none."""
    documents_of(text, file)
    document = json.loads(text)
    kept: dict[str, Any]
    if isinstance(document, list):
        kept, tests = {"form": "list"}, document
    elif isinstance(document.get("tests"), list):
        rest = {key: value for key, value in document.items() if key != "tests"}
        kept, tests = {"form": "tests", **({"rest": rest} if rest else {})}, document["tests"]
    else:
        kept, tests = {"form": "single"}, [document]
    whole = {"datadog": kept, "tests": [{"datadog": test} for test in tests]}
    try:
        return str(
            yaml.dump(
                whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100,
            )
        )  # fmt: skip
    except (yaml.YAMLError, UnicodeError) as error:
        raise BadInput(f"cannot be written as YAML: {error}", where=file) from error


class _Dumper(yaml.SafeDumper):
    """Without anchors: a test that repeats another's headers says them again."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def as_documents(
    tests: Sequence[SyntheticTest], kept: Mapping[str, Any] | None, base_url: str | None
) -> tuple[Any, list[str]]:
    """The JSON value that Datadog takes, and what of our own tests has no word there.

    kept: the file's own `datadog:`; without it, or with tests of ours between, one test stands
    alone and several stand in {"tests": […]}.
    """
    documents: list[Any] = []
    notes: list[str] = []
    for test in tests:
        if test.foreign is not None:
            documents.append(test.foreign)
        else:
            document, missing = to_datadog(test, base_url)
            documents.append(document)
            notes += [f"{test.name}: {each}" for each in missing]
    form = str((kept or {}).get("form") or ("single" if len(documents) == 1 else "tests"))
    if form == "list":
        return documents, notes
    if form == "single" and len(documents) == 1:
        return documents[0], notes
    return {**((kept or {}).get("rest") or {}), "tests": documents}, notes
