"""The whole corpus: `make corpus`. Prints a table, and with --write puts it into docs/rules/.

    python tests/corpus/measure.py [--write] [--only WORD]… [--label TEXT] [--rows FILE]

--rows: results are added to FILE, and what is in it already is not rehearsed again, so that a run
can be taken up where it was broken off.

Exit codes: 0 every planted defect was named and no twin has a fact, 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from cases import CASES, Case
from rehearsed import Named, project_of, rehearse

PAGE = Path(__file__).parents[2] / "docs" / "rules" / "README.md"
START, END = "<!-- corpus: begin -->", "<!-- corpus: end -->"


@dataclass(frozen=True)
class Row:
    """found: fact, likely, hint, consequence (of a cause that was named) or missed. others: facts
    about the planted service that are not the planted one. on_twin: facts on the repaired one."""

    name: str
    language: str
    rule: str
    found: str
    others: list[str]
    on_twin: list[str]


def row_of(case: Case, planted: Named, twin: Named) -> Row:
    followed = f"consequence of {planted.consequences.get(case.rule)}"
    found = planted.certainty(case.rule) or (
        followed if case.rule in planted.consequences else "missed"
    )
    others = sorted(planted.facts - {case.rule, planted.consequences.get(case.rule)})
    return Row(case.name, case.language, case.rule, found, others, sorted(twin.facts))


def run(cases: list[Case], scratch: Path, known: dict[str, Row], rows_file: Path | None) -> None:
    """Fills `known`."""
    twins: dict[str, Named] = {}
    for number, case in enumerate(cases, 1):
        if case.name in known:
            continue
        planted = _one(case, scratch / f"{case.name}-planted", is_planted=True)
        directory = scratch / f"{case.name}-repaired"
        settings = project_of(case, directory, is_planted=False)
        key = json.dumps([case.language, case.only, case.rate, case.is_quick, case.has_database,
                          sorted(settings.items())])  # fmt: skip
        if key not in twins:
            twins[key] = rehearse(case, directory)
        shutil.rmtree(directory, ignore_errors=True)
        row = known[case.name] = row_of(case, planted, twins[key])
        if rows_file is not None:
            with rows_file.open("a") as file:
                file.write(json.dumps(asdict(row)) + "\n")
        others = f"; also {', '.join(row.others)}" if row.others else ""
        twin = f"; ON THE TWIN {', '.join(row.on_twin)}" if row.on_twin else ""
        print(f"[{number}/{len(cases)}] {case.name}: {row.found}{others}{twin}", flush=True)
        if row.found == "missed":
            print(f"    {planted}", flush=True)


def _one(case: Case, directory: Path, *, is_planted: bool) -> Named:
    project_of(case, directory, is_planted=is_planted)
    try:
        return rehearse(case, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def table(rows: list[Row], skipped: list[Case], label: str) -> str:
    found = [row for row in rows if row.found != "missed"]
    facts = [row for row in rows if row.found == "fact"]
    false = sum(len(row.on_twin) for row in rows) + sum(len(row.others) for row in rows)
    named = len(facts) + false
    lines = [
        f"{label}: {len(found)} of {len(rows)} planted defects named "
        f"({len(facts)} as facts); facts that name something else: "
        f"{sum(len(row.others) for row in rows)} on planted services, "
        f"{sum(len(row.on_twin) for row in rows)} on repaired twins. "
        f"Recall {len(found) / max(1, len(rows)):.2f}, "
        f"precision of facts {len(facts) / max(1, named):.2f}.",
        "",
        "| service | planted | named as | other facts | facts on the twin |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.language} | {row.rule} | {row.found} | "
        f"{', '.join(row.others) or '–'} | {', '.join(row.on_twin) or '–'} |"
        for row in rows
    ]
    lines += [f"| {c.language} | {c.rule} | skipped: {c.why_not} | | |" for c in skipped]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--label", default=time.strftime("%Y-%m-%d"))
    asked = parser.parse_args()
    chosen = [c for c in CASES if not asked.only or any(w in c.name for w in asked.only)]
    skipped = [c for c in chosen if c.why_not]
    for case in skipped:
        print(f"SKIPPED {case.name}: {case.why_not}", flush=True)
    known: dict[str, Row] = {}
    if asked.rows is not None and asked.rows.exists():
        found = [Row(**json.loads(line)) for line in asked.rows.read_text().splitlines()]
        known = {row.name: row for row in found}
    with tempfile.TemporaryDirectory(prefix="corpus-") as scratch:
        run([c for c in chosen if not c.why_not], Path(scratch), known, asked.rows)
    rows = [known[c.name] for c in chosen if c.name in known]
    text = table(rows, skipped, asked.label)
    print(text)
    if asked.write:
        page = PAGE.read_text("utf-8")
        before, after = page.split(START)[0], page.split(END)[1]
        PAGE.write_text(f"{before}{START}\n{text}{END}{after}", "utf-8")
    is_good = all(row.found != "missed" and not row.on_twin for row in rows)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
