"""`hikkoshi image`: images without Docker."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.base.units import format_bytes
from hikkoshi.cli.image_registry import pull, push
from hikkoshi.image.build import Outcome, build, clear_layout
from hikkoshi.image.inspect import Inspected, inspect_archive
from hikkoshi.image.layout_writer import pack
from hikkoshi.image.names import normalise
from hikkoshi.image.python_home import current_python
from hikkoshi.image.recipe import SCRATCH, Recipes
from hikkoshi.model.images import EmbeddedImage, ImageNotHere
from hikkoshi.model.project import ImageSettings
from hikkoshi.project.load import load_project


@click.group()
def image() -> None:
    """Make, look at and move container images, without Docker and without root.

    \b
    Examples:
      hikkoshi image build . --oci build/images
      hikkoshi image build --program ./server -t server:1.4 -o server.tar
      hikkoshi image inspect server.tar

    Exit codes: 0 done, 2 wrong use or bad input, 3 could not run.
    """


image.add_command(push)
image.add_command(pull)


@image.command("build")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option(
    "--image", "only", multiple=True, metavar="NAME", help="Only this one of the project."
)
@click.option("-t", "--tag", help="The name it gets; with one image only.")
@click.option("--program", help="Not a project: this program of the machine, with what it needs.")
@click.option("--include", multiple=True, metavar="PATH", help="With --program: these files, too.")
@click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False, exists=True), default=Path("/"),
    help="The root that files come from: a mounted disk, a debootstrap tree.",
)  # fmt: skip
@click.option("--oci", type=click.Path(path_type=Path), help="Write an OCI layout directory.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write one tar archive.")
@click.option("--shell", is_flag=True, help="With /bin/sh; without this there is none.")
@click.option("--json", "as_json", is_flag=True, help="What was built, as JSON.")
def build_command(directory: Path, **options: Any) -> int:
    """Build the images that DIRECTORY's hikkoshi.yaml describes, or one of a program.

    An image has exactly the files that its program needs: shared libraries by the dynamic linker's
    rules, the interpreter, certificates, time zones, a user that is not root, and a list of its
    packages (CycloneDX). The same input gives the same digest; SOURCE_DATE_EPOCH sets its time.

    \b
    Examples:
      hikkoshi image build examples/genba/after --oci build/images
      hikkoshi image build --program /usr/sbin/nginx --include /etc/nginx -o nginx.tar
      docker load < nginx.tar

    Exit codes: 0 built, 1 some image cannot be built without Docker, 2 wrong use or bad input,
    3 could not run.
    """
    recipes, images, skipped = _wanted(directory, options)
    try:
        outcome = _build_to(recipes, images, options)
    except ImageNotHere as error:
        raise CannotRun(str(error)) from error
    except OSError as error:
        place = options["oci"] or options["output"]
        raise CannotRun(
            f"the image cannot be written to {place}: {error.strerror}"
            + (f" ({error.filename})" if error.filename else ""),
            fix="its files stand beside it while it is made: give --oci or -o elsewhere",
        ) from error
    outcome = dataclasses.replace(outcome, skipped=tuple(skipped))
    _show(outcome, options["as_json"])
    return 1 if outcome.skipped else 0


def _wanted(
    directory: Path, options: dict[str, Any]
) -> tuple[Recipes, list[tuple[EmbeddedImage, str]], list[tuple[str, str]]]:
    if options["oci"] is None and options["output"] is None:
        raise BadInput("nowhere to write to", fix="give --oci DIRECTORY or -o FILE.tar")
    python, root = current_python(), options["root"]
    if options["program"]:
        return _of_program(options, Recipes(None, {}, python, root))
    project = load_project(directory)
    described = {
        name: EmbeddedImage.from_settings(name, how.embedded)
        for name, how in project.settings.images.items()
        if how.embedded is not None
    }
    recipes = Recipes(directory, {normalise(n): i for n, i in described.items()}, python, root)
    images: list[tuple[EmbeddedImage, str]] = []
    skipped: list[tuple[str, str]] = []
    for name in _named(options["only"], project.settings.images):
        if name not in described:
            skipped.append((name, "hikkoshi.yaml has no `embedded:` for it; build it with Docker"))
            continue
        try:
            recipes.chain(described[name])
        except ImageNotHere as error:
            skipped.append((name, str(error)))
            continue
        images.append((described[name], options["tag"] or name))
    if options["tag"] and len(images) > 1:
        raise BadInput(
            f"one tag for {len(images)} images", where="--tag", fix="choose one with --image NAME"
        )
    if not images:
        what = "; ".join(why for _, why in skipped) or "hikkoshi.yaml describes no image"
        raise BadInput(what, where=str(directory))
    return recipes, images, skipped


def _of_program(
    options: dict[str, Any], recipes: Recipes
) -> tuple[Recipes, list[tuple[EmbeddedImage, str]], list[tuple[str, str]]]:
    """A program by its name or absolute path is where it is; one named by a relative path is the
    user's own and goes to /app."""
    program: str = options["program"]
    path = Path(program)
    name = options["tag"] or f"localhost/{path.name}:latest"
    copy: dict[str, str] = {}
    if "/" in program and not path.is_absolute():
        if not path.is_file():
            raise BadInput(f"there is no file {program}", where="--program")
        recipes = dataclasses.replace(recipes, project=path.parent)
        copy, program = {path.name: f"/app/{path.name}"}, f"/app/{path.name}"
    found = EmbeddedImage(
        name, SCRATCH, copy=copy, include=options["include"], entry_point=(program,)
    )
    return recipes, [(found, name)], []


def _named(only: tuple[str, ...], images: Any) -> list[str]:
    known: dict[str, ImageSettings] = dict(images)
    for name in only:
        if name not in known:
            raise BadInput(
                f"hikkoshi.yaml has no image {name!r}",
                where="--image",
                fix=f"one of {', '.join(known)}",
            )
    return list(only) or list(known)


def _build_to(
    recipes: Recipes, images: list[tuple[EmbeddedImage, str]], options: dict[str, Any]
) -> Outcome:
    def say(text: str) -> None:
        if sys.stderr.isatty():
            click.echo(text, err=True)

    layout, archive = options["oci"], options["output"]
    epoch = _epoch()
    if layout is not None:
        layout.mkdir(parents=True, exist_ok=True)
        clear_layout(layout)
        outcome = build(recipes, images, layout, epoch=epoch, shell=options["shell"], say=say)
        if archive is not None:
            pack(layout, archive)
        return outcome
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".image-", dir=archive.parent) as directory:
        outcome = build(
            recipes, images, Path(directory), epoch=epoch, shell=options["shell"], say=say
        )
        pack(Path(directory), archive)
    return outcome


def _epoch() -> int:
    text = os.environ.get("SOURCE_DATE_EPOCH", "0")
    if not text.isdigit():
        raise BadInput(f"SOURCE_DATE_EPOCH is {text!r}", fix="seconds since 1970, as a number")
    return int(text)


def _show(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(outcome), indent=2))
        return
    for built in outcome.built:
        click.echo(f"{built.name}\n  {built.digest}  {format_bytes(built.size)}")
    for warning in outcome.warnings:
        click.echo(f"warning: {warning}", err=True)
    for name, why in outcome.skipped:
        click.echo(f"not built: {name}: {why}", err=True)


@image.command("inspect")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option("--packages", is_flag=True, help="The image's package list (CycloneDX) alone.")
@click.option("--json", "as_json", is_flag=True, help="All of it, as JSON.")
def inspect_command(source: Path, packages: bool, as_json: bool) -> int:
    """Show what is in an OCI layout, an OCI archive or a `docker save` archive.

    \b
    Examples:
      hikkoshi image inspect build/images
      hikkoshi image inspect server.tar --packages > server.cdx.json

    Exit codes: 0 shown, 1 it carries no package list (--packages), 2 wrong use, 3 cannot be read.
    """
    try:
        found = inspect_archive(source)
    except ImageNotHere as error:
        raise CannotRun(str(error)) from error
    if packages:
        lists = [one.packages for one in found if one.packages is not None]
        if not lists:
            click.echo("there is no package list in it", err=True)
            return 1
        click.echo(json.dumps(lists[0] if len(lists) == 1 else lists, indent=1))
        return 0
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
        return 0
    for one in found:
        _show_inspected(one)
    return 0


def _show_inspected(one: Inspected) -> None:
    config = one.config
    count = len((one.packages or {}).get("components", ()))
    lines = {
        "digest": one.digest,
        "platform": f"linux/{one.architecture}",
        "created": one.created,
        "size": format_bytes(one.size),
        "runs": " ".join([*config.get("Entrypoint", []), *config.get("Cmd", [])]),
        "user": config.get("User") or "root",
        "directory": config.get("WorkingDir"),
        "packages": f"{count} (--packages)" if one.packages else None,
    }
    click.echo(one.name or "(no name)")
    for label, value in lines.items():
        if value:
            click.echo(f"  {label:<10} {value}")
    for layer in one.layers:
        click.echo(
            f"  layer      {layer.digest}  {format_bytes(layer.size)}  {layer.entries} entries"
        )
