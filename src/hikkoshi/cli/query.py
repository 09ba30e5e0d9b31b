"""`hikkoshi query`: SQL over the evidence of a run."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from hikkoshi.cli.report import evidence_of
from hikkoshi.evidence.store import Answer, EvidenceStore
from hikkoshi.report.text import one_line


@click.command()
@click.argument("sql")
@click.argument("run", required=False)
@click.option("--json", "is_json", is_flag=True, help="A JSON array of objects, all rows.")
@click.option("--csv", "is_csv", is_flag=True, help="CSV with a header line, all rows.")
@click.option("--limit", default=200, show_default=True, help="Rows of the table to show.")
def query(sql: str, run: str | None, is_json: bool, is_csv: bool, limit: int) -> None:
    """Ask the evidence of RUN (as for `hikkoshi report`; the latest here) with one SQL statement.

    The evidence is a DuckDB file, opened read-only; a statement reaches no other file and no
    network. docs/evidence.md tells the tables; SHOW TABLES and DESCRIBE requests work too.

    \b
    Examples:
      hikkoshi query "SELECT endpoint, count(*), quantile_cont(latency_s, 0.99) FROM requests
                      GROUP BY ALL ORDER BY 3 DESC"
      hikkoshi query "SELECT * FROM spans WHERE fault LIMIT 5" examples/genba/before --json
      hikkoshi query "SELECT t, connections FROM database ORDER BY t" --csv > connections.csv

    Exit codes: 0 answered, 2 wrong SQL or no such run.
    """
    if is_json and is_csv:
        raise click.UsageError("--json and --csv exclude each other")
    with EvidenceStore.open(evidence_of(run, Path.cwd())) as store:
        answer = store.ask(sql, None if is_json or is_csv else max(1, limit))
    if is_json:
        rows = [dict(zip(answer.columns, map(_plain, row), strict=True)) for row in answer.rows]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif is_csv:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows(answer.rows)
        click.echo(text.getvalue(), nl=False)
    else:
        _show(answer, limit)


def _show(answer: Answer, limit: int) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for place, name in enumerate(answer.columns):
        values = [row[place] for row in answer.rows]
        is_number = any(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
        table.add_column(
            one_line(name), justify="right" if is_number else "left", no_wrap=is_number
        )
    for row in answer.rows:
        table.add_row(*(_told(value) for value in row))
    console = Console(highlight=False, markup=False)
    console.print(table)
    if answer.has_more:
        click.echo(f"the first {limit} rows; --limit, --json or --csv give more", err=True)
    elif not answer.rows:
        click.echo("no rows", err=True)


def _told(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) >= 1e6 else f"{value:.6g}"
    return one_line(str(value), 300)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return str(value)
