"""`hikkoshi evidence`: the evidence of a run for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from hikkoshi.cli.report import evidence_of


@click.group()
def evidence() -> None:
    """Take the evidence of a run elsewhere.

    \b
    Examples:
      hikkoshi evidence export --parquet out
      hikkoshi evidence export examples/genba/before --csv out --table requests

    Exit codes: 0 written, 2 wrong use, 3 could not be read or written.
    """


@evidence.command()
@click.argument("run", required=False)
@click.option(
    "--parquet",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write each table as DIR/<table>.parquet.",
)
@click.option(
    "--csv",
    "as_csv",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write each table as DIR/<table>.csv, with a header line.",
)
@click.option("--table", "tables", multiple=True, help="Only this table; may be repeated.")
def export(
    run: str | None, parquet: Path | None, as_csv: Path | None, tables: tuple[str, ...]
) -> None:  # fmt: skip
    """Write the tables of RUN (as for `hikkoshi report`; the latest here) that have rows.

    Files of the same name are replaced. docs/evidence.md tells the columns and their units.

    \b
    Examples:
      hikkoshi evidence export --parquet out
      hikkoshi evidence export 20201123T040000Z-1a2b --csv out --table requests --table spans

    Exit codes: 0 written, 2 no such run or table, 3 cannot write.
    """
    from hikkoshi.evidence.export import export as write

    if parquet is None and as_csv is None:
        raise click.UsageError("say where to: --parquet DIR or --csv DIR")
    source = evidence_of(run, Path.cwd())
    for directory, kind in ((parquet, "parquet"), (as_csv, "csv")):
        if directory is not None:
            for table, rows in write(source, directory, kind, tables).items():
                click.echo(f"{directory / table}.{kind}  {rows:,} rows")
