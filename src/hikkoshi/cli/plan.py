"""`hikkoshi plan`: a survey into the files of the new home."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from hikkoshi.cli.survey import printable
from hikkoshi.model.survey import Survey
from hikkoshi.plan.choice import Choice, Notebook
from hikkoshi.plan.make import make_plan
from hikkoshi.plan.write import ANSWERS_FILE, read_answers, write_plan
from hikkoshi.survey.store import load_survey


@click.command()
@click.argument("survey_file", metavar="SURVEY.json", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False),
              help="The directory of the new home.")  # fmt: skip
@click.option("--answers", type=click.Path(path_type=Path), help="KEY: ANSWER lines (YAML).")
@click.option("--yes", is_flag=True, help="Ask nothing: assume what is not known.")
@click.option("--json", "as_json", is_flag=True, help="Print the choices as JSON.")
def plan(survey_file: Path, output: Path, answers: Path | None, yes: bool, as_json: bool) -> int:
    """Turn a survey into the files of the new home, and say why for each choice.

    Writes hikkoshi.yaml, Dockerfile, ecs-task-def.json, ecs-service-def.json, the log router's
    configuration, targets.http, synthetic.yaml, MOVING.md and plan.json. What only a person can
    know is asked once on a terminal and kept in answers.yaml; elsewhere it is assumed and marked.

    \b
    Examples:
      hikkoshi plan survey.json -o home
      hikkoshi plan survey.json -o home --answers answers.yaml
      hikkoshi plan survey.json -o home --json | jq '.choices[] | select(.by == "assumed")'

    Exit codes: 0 written, 2 wrong use or bad input, 3 could not write.
    """
    survey = load_survey(survey_file)
    said = read_answers(output / ANSWERS_FILE) if (output / ANSWERS_FILE).is_file() else {}
    base = Path.cwd()
    if answers is not None:
        said |= read_answers(answers)
    is_terminal = sys.stdin.isatty() and sys.stderr.isatty() and not yes and not as_json
    notebook = Notebook(dict(said), _ask if is_terminal else None)
    planned = make_plan(survey, notebook)
    write_plan(planned, notebook.answers, output, _kept(survey, survey_file), base)
    if as_json:
        document = json.loads((output / "plan.json").read_text("utf-8"))
        click.echo(json.dumps({key: document[key] for key in document if key != "files"}, indent=1))
        return 0
    _show(planned.choices)
    for reason in planned.reasons_not:
        click.echo(f"{click.style('before a rehearsal:', fg='yellow')} {reason}")
    click.echo(f"written: {len(planned.files)} files in {output}; read {output}/MOVING.md. "
               f"Next: hikkoshi rehearse {output}")  # fmt: skip
    return 0


def _kept(survey: Survey, survey_file: Path) -> Path | None:
    if survey.files is None or "/" in survey.files or survey.files in ("", ".", ".."):
        return None
    place = survey_file.with_name(survey.files)
    return place if place.is_dir() else None


def _ask(question: str, default: str, choices: tuple[str, ...]) -> str:
    kind = click.Choice(choices) if choices else str
    said: str = click.prompt(question, default=default, type=kind, err=True)
    return said


def _show(choices: tuple[Choice, ...]) -> None:
    marks = {
        "assumed": click.style(" (assumed)", fg="yellow"),
        "answered": click.style(" (you said so)", fg="cyan"),
    }
    for choice in choices:
        mark = marks.get(choice.by, "")
        answer = printable(choice.answer) or "none"
        click.echo(
            f"{click.style(choice.key, bold=True)} {answer}{mark}: {printable(choice.because)}"
        )
