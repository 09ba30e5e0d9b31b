"""Reads the imports of every module and holds them against the layers of docs/architecture.md."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "hikkoshi"

# Who may import whom, by top folder; everyone may import itself, `hikkoshi` and what is below.
BELOW: dict[str, set[str]] = {
    "base": set(),
    "model": {"base"},
    "session": {"base"},
    "fargate": {"base", "model"},
    "project": {"base", "model", "fargate"},
    "aws": {"base", "model"},
    "database": {"base"},
    "evidence": {"base", "model", "fargate"},
    "load": {"base", "model", "fargate", "aws"},
    "image": {"base", "model", "fargate"},
    "router": {"base"},
    "lint": {"base", "model", "fargate", "project", "router"},
    "survey": {"base", "model", "fargate", "aws"},
    "plan": {"base", "model", "fargate", "project", "router"},
    "parity": {"base", "model", "router", "evidence"},
    "iac": {"base", "model", "fargate", "project"},
    "ship": {"base", "model", "fargate", "project", "aws", "session", "lint"},
    "cutover": {"base", "model", "fargate", "aws"},
    "region": {"base", "model", "fargate", "image", "evidence", "session"},
    "synthetic": {"base", "model"},
    "faults": {"base", "model", "fargate", "aws", "session", "load"},
    "trials": {
        "base",
        "model",
        "fargate",
        "load",
        "aws",
        "session",
        "cutover",
        "synthetic",
        "database",
        "faults",
    },
    "findings": {"base", "model", "fargate", "evidence"},
    "tuning": {"base", "model", "fargate", "evidence"},
    "report": {"base", "model", "fargate", "evidence"},
    "live": {"base", "model", "evidence", "report"},
}
BOTO3_FOLDERS = {"aws", "region"}
FOR_LAMBDA = SOURCE / "cutover" / "account" / "put_back.py"
"""A file that runs in the account, where there is no hikkoshi; nothing here imports it."""


@functools.cache
def modules() -> list[tuple[Path, ast.Module]]:
    return [(p, ast.parse(p.read_text("utf-8"))) for p in sorted(SOURCE.rglob("*.py"))]


def imports(tree: ast.Module) -> list[str]:
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def folder_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).parts
    return parts[0] if len(parts) > 1 else ""


def test_every_folder_is_in_the_table() -> None:
    folders = {folder_of(path) for path, _ in modules()} - {""}
    assert folders <= set(BELOW) | {"cli"}


def test_a_layer_imports_only_what_is_below_it() -> None:
    wrong = []
    for path, tree in modules():
        folder = folder_of(path)
        if folder in ("", "cli"):
            continue
        for name in imports(tree):
            parts = name.split(".")
            if parts[0] != "hikkoshi" or len(parts) < 2 or not (SOURCE / parts[1]).is_dir():
                continue
            if parts[1] != folder and parts[1] not in BELOW[folder]:
                wrong.append(f"{path.relative_to(SOURCE)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_a_room_of_the_region_imports_no_other_room() -> None:
    wrong = []
    for path, tree in modules():
        parts = path.relative_to(SOURCE).parts
        if parts[0] != "region" or len(parts) < 3:
            continue
        room = parts[1]
        for name in imports(tree):
            target = name.split(".")
            if target[:2] != ["hikkoshi", "region"] or len(target) < 3 or target[2] == room:
                continue
            is_port = name.startswith(
                (
                    "hikkoshi.region.ports",
                    "hikkoshi.region.front.port",
                    "hikkoshi.region.engine.port",
                    "hikkoshi.region.engine.instances",
                )
            )
            is_room = (SOURCE / "region" / target[2]).is_dir()
            if (
                is_room
                and not is_port
                and name not in ("hikkoshi.region.front", "hikkoshi.region.engine")
            ):
                wrong.append(f"{path.relative_to(SOURCE)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_base_is_standard_library_only() -> None:
    import sys

    wrong = [
        f"{path.relative_to(SOURCE)} imports {name}"
        for path, tree in modules()
        if folder_of(path) == "base"
        for name in imports(tree)
        if name.split(".")[0] not in sys.stdlib_module_names | {"hikkoshi"}
    ]
    assert not wrong, "\n".join(wrong)


def test_boto3_is_imported_only_where_aws_is_reached() -> None:
    wrong = [
        str(path.relative_to(SOURCE))
        for path, tree in modules()
        if any(name.split(".")[0] == "boto3" for name in imports(tree))
        and folder_of(path) not in BOTO3_FOLDERS
        and path != FOR_LAMBDA
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_command_line_prints() -> None:
    wrong = []
    for path, tree in modules():
        if folder_of(path) == "cli":
            continue
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "print"
            ):
                wrong.append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert not wrong, "\n".join(wrong)
