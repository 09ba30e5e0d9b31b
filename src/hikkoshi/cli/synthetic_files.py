"""`hikkoshi synthetic import, export, record`: tests from elsewhere, and to there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from hikkoshi.base.errors import BadInput
from hikkoshi.synthetic import load_tests
from hikkoshi.synthetic.datadog.kept import as_documents, as_yaml
from hikkoshi.synthetic.reading import files_of, load_kept, parse_tests
from hikkoshi.synthetic.record import SOURCES, record

IMPORT_EXAMPLES = """
\b
Examples:
  hikkoshi synthetic import datadog tests.json -o synthetic/
  hikkoshi synthetic import datadog exported/*.json *.synthetics.json -o synthetic/
"""
EXPORT_EXAMPLES = """
\b
Examples:
  hikkoshi synthetic export datadog synthetic/tests.yaml > tests.json
  hikkoshi synthetic export datadog synthetic/ -o exported/ --base-url https://example.com
"""
RECORD_EXAMPLES = """
\b
Examples:
  hikkoshi synthetic record --from openapi openapi.yaml > tests.yaml
  hikkoshi synthetic record --from access-log /var/log/nginx/access.log -o tests.yaml
  hikkoshi synthetic record --from har session.har -o tests.yaml
"""


@click.group("import")
def import_group() -> None:
    """Take over tests that were made elsewhere.

    \b
    Example:
      hikkoshi synthetic import datadog tests.json -o synthetic/

    Exit codes: 0 done, 2 a file cannot be read, or is no export.
    """


@import_group.command("datadog", epilog=IMPORT_EXAMPLES)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A directory.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
def import_datadog(files: tuple[Path, ...], output: Path, force: bool) -> None:
    """Keep Datadog's API tests (exported as JSON) as files of ours in the directory OUTPUT.

    Nothing of a test is lost: `export datadog` gives the same JSON back. Each file of JSON becomes
    one file of YAML; what of it cannot be run here is said.

    Exit code: 0 done; 2 a file cannot be read, or is no export.
    """
    written: set[Path] = set()
    for file in files:
        try:
            text = file.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(
                f"cannot be read: {error}", where=str(file), fix="name a file"
            ) from error
        whole = as_yaml(text, str(file))
        stem = file.name.removesuffix(".json").removesuffix(".synthetics")
        place = output / f"{stem}.yaml"
        if place in written or (place.exists() and not force):
            raise BadInput("is there already", where=str(place), fix="give --force, or another -o")
        written.add(place)
        _write(place, whole)
        tests = parse_tests(whole, str(place))
        click.echo(f"{place}: {len(tests)} test{'s' if len(tests) != 1 else ''}")
        for test in tests:
            for step in test.steps:
                if step.why_not:
                    click.echo(f"  cannot be run here: {test.name}: {step.title}: {step.why_not}")


@click.group("export")
def export_group() -> None:
    """Hand tests over to where they are run, too.

    \b
    Example:
      hikkoshi synthetic export datadog synthetic/tests.yaml > tests.json

    Exit codes: 0 done, 2 wrong use or bad input.
    """


@export_group.command("datadog", epilog=EXPORT_EXAMPLES)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--base-url", help="Put before the paths of our own tests.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="A directory; else standard output."
)
def export_datadog(paths: tuple[Path, ...], base_url: str | None, output: Path | None) -> None:
    """Write tests as the JSON that Datadog's API takes (POST /api/v1/synthetics/tests/api).

    Tests that came from Datadog come back as they were. Of our own, what Datadog has no word for
    is left out and said.

    Exit code: 0 done; 2 wrong use or bad input.
    """
    files = [file for path in paths for file in files_of(path)]
    if output is None and len(files) > 1:
        raise BadInput(f"{len(files)} files", fix="give -o DIRECTORY, or name one file")
    for file in files:
        document, notes = as_documents(load_tests(file), load_kept(file), base_url)
        for note in notes:
            click.echo(f"{file}: {note}", err=True)
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        if output is None:
            click.echo(text, nl=False)
        else:
            place = output / f"{file.stem}.json"
            _write(place, text)
            click.echo(str(place))


@click.command("record", epilog=RECORD_EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "source", required=True, type=click.Choice(SOURCES), help="What FILE is.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Else standard output.")
def record_command(file: Path, source: str, output: Path | None) -> None:
    """Draft tests from FILE. Secrets in it are not written down: they become {{env.NAME}}.

    Exit code: 0 done; 2 the file is not of that kind, or has nothing to test.
    """
    text, notes = record(source, file)
    for note in notes:
        click.echo(note, err=True)
    parse_tests(text, "the drafted tests")
    if output is None:
        sys.stdout.write(text)
    else:
        _write(output, text)
        click.echo(str(output))


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"cannot be written: {error.strerror}", where=str(path), fix="name a writable place"
        ) from error
