"""A project into the files of its CDK app."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import jinja2

from hikkoshi.iac.code import source, title
from hikkoshi.iac.view import view_of
from hikkoshi.model.project import Project


@dataclass(frozen=True, slots=True)
class App:
    """files: path in the app's directory → text. left_out: what of the definitions it lacks."""

    files: dict[str, str]
    left_out: tuple[str, ...]


def write_app(project: Project) -> App:
    """Pure: the same project gives the same files. Raises BadInput."""
    view, left_out = view_of(project)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hikkoshi.iac"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.ChainableUndefined,
        autoescape=False,  # Python, YAML and Markdown; values pass the filter `py` or are checked
    )
    environment.filters |= {"py": _source, "title": title, "sh": shlex.quote}
    names = _files(view)
    files = {
        name: environment.get_template(f"{name}.j2").render(v=view).rstrip("\n") + "\n"
        for name in names
    }
    return App(files, tuple(left_out))


def _source(value: Any, indent: int = 0, used: int = 0) -> str:
    return source(value, indent, used)


def _files(view: dict[str, Any]) -> list[str]:
    return [
        ".gitignore",
        "README.md",
        "app.py",
        "cdk.json",
        "requirements.txt",
        "settings.py",
        "stacks/__init__.py",
        "stacks/network.py",
        "stacks/rules.py",
        *(["stacks/images.py"] if view["repositories"] else []),
        *(["stacks/database.py"] if view["database_is_new"] else []),
        "stacks/service.py",
        "stacks/task.py",
        *(["stacks/load_balancer.py"] if view["balancer"] else []),
        "stacks/watch.py",
        *(["stacks/pipeline.py"] if view["source"] else []),
        *(
            [f"buildspec/{n}.yml" for n in ("build", "rehearse", "deploy")]
            if view["source"]
            else []
        ),
        "github/deploy.yml",
    ]
