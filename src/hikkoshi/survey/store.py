"""survey.json: written whole or not at all, read back with its mistakes named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.model.survey import VERSION, Survey


def save_survey(survey: Survey, path: Path) -> None:
    text = msgspec.json.format(msgspec.json.encode(clean(msgspec.to_builtins(survey))), indent=1)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(text + b"\n")
        fresh.replace(path)
    except OSError as error:
        raise CannotRun(
            f"cannot write {path}: {error.strerror}", fix="-o FILE elsewhere"
        ) from error


def clean(value: Any) -> Any:
    """Names that are no UTF-8 (surrogates) are written with question marks."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    return value


def load_survey(path: Path) -> Survey:
    """BadInput: no such file, no JSON, another version, or a key that is not as it was written."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadInput(
            f"the survey cannot be read: {error.strerror}",
            where=str(path),
            fix="make one: hikkoshi survey --host ssh://user@host -o survey.json",
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"this is no survey: {error}", where=str(path), fix="make it anew: hikkoshi survey"
        ) from error
    if not isinstance(data, dict) or not isinstance(data.get("version"), int):
        raise BadInput(
            "this is no survey: it has no version", where=str(path), fix="hikkoshi survey makes one"
        )
    if data["version"] != VERSION:
        age = "an older" if data["version"] < VERSION else "a newer"
        raise BadInput(
            f"this survey is of {age} version ({data['version']}; this hikkoshi reads {VERSION})",
            where=f"{path}: version",
            fix="survey again: a survey is cheap, a misread one is not",
        )
    try:
        return msgspec.convert(data, Survey)
    except msgspec.ValidationError as error:
        raise BadInput(
            f"this survey is damaged: {error}", where=str(path), fix="survey again"
        ) from error
