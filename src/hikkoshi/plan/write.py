"""A plan onto the disk: its files, the application's own, plan.json with the answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath

import yaml

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.plan.choice import Planned

PLAN_FILE = "plan.json"
ANSWERS_FILE = "answers.yaml"


def read_answers(path: Path) -> dict[str, str]:
    """A flat mapping in YAML or JSON. BadInput for anything else."""
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the answers cannot be read: {error}", where=str(path)) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise BadInput(f"the answers are no YAML: {error}", where=str(path)) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise BadInput("answers are a mapping", where=str(path), fix="write KEY: ANSWER lines")
    wrong = [key for key, value in data.items() if isinstance(value, (dict, list))]
    if wrong:
        raise BadInput(
            f"the answer to {wrong[0]!r} is not a text", where=str(path), fix="write KEY: ANSWER"
        )
    return {str(key): "" if value is None else str(value) for key, value in data.items()}


def write_plan(
    planned: Planned, answers: Mapping[str, str], directory: Path, kept: Path | None, base: Path
) -> None:
    """kept: the survey's files. base: what relative paths in answers start from.

    A file that somebody changed since the last plan is not overwritten: BadInput names it."""
    before = _last_plan(directory)
    changed = [
        name
        for name, text in planned.files.items()
        if (directory / name).exists()
        and (directory / name).read_bytes() != text.encode()
        and (directory / name).read_bytes() != before.get(name, "").encode()
    ]
    if changed:
        raise BadInput(
            f"{', '.join(changed[:5])} in {directory} would be overwritten, and was not written by "
            "the last plan",
            fix="give another -o, or remove the file",
        )
    try:
        for name, text in planned.files.items():
            place = directory / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, "utf-8")
        _copy(planned.copies, directory, kept, base)
        (directory / PLAN_FILE).write_text(_document(planned, answers), "utf-8")
        if answers:
            text = "# What was asked and answered; hikkoshi plan reads it again.\n"
            text += yaml.safe_dump(dict(answers), allow_unicode=True)
            (directory / ANSWERS_FILE).write_text(text, "utf-8")
    except OSError as error:
        raise CannotRun(
            f"cannot write {error.filename or directory}: {error.strerror}", fix="give another -o"
        ) from error


def _document(planned: Planned, answers: Mapping[str, str]) -> str:
    document = {
        "version": 1,
        "service": planned.service,
        "is_rehearsable": planned.is_rehearsable,
        "reasons_not": list(planned.reasons_not),
        "choices": [asdict(choice) for choice in planned.choices],
        "answers": dict(answers),
        "files": planned.files,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _last_plan(directory: Path) -> dict[str, str]:
    try:
        files = json.loads((directory / PLAN_FILE).read_text("utf-8"))["files"]
        return {str(key): str(value) for key, value in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _copy(copies: Mapping[str, str], directory: Path, kept: Path | None, base: Path) -> None:
    for name, source in copies.items():
        if source.startswith("file:"):
            found = base / source.removeprefix("file:")
            if not found.is_file():
                raise BadInput(f"there is no file {found}", where="answers: schema")
        else:
            if kept is None:
                continue
            found = kept.joinpath(*PurePosixPath(source).parts[1:])
        place = directory / name
        if ".." in PurePosixPath(name).parts:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if found.is_symlink():
            if not place.is_symlink() and not place.exists():
                place.symlink_to(found.readlink())
        elif found.is_file():
            shutil.copy2(found, place)
