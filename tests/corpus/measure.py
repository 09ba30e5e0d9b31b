"""The whole corpus: `make corpus`. Prints a table, and with --write puts it into docs/rules/.

    python tests/corpus/measure.py [--write] [--only-write] [--only WORD]… [--label TEXT]
        [--rows FILE] [--keep DIRECTORY] [--turn FILE]

--rows: results are added to FILE (those of twins to FILE.twins), and what is in it already is not
rehearsed again, so that a run can be taken up where it was broken off.
--only-write: nothing is rehearsed, the table is made of FILE.
--keep: projects with their runs stay there when the defect was missed or the twin has a fact.
--turn: FILE is locked (flock) while cases are rehearsed, for machines on which others measure, too;
after three minutes it is the others' turn.

Exit codes: 0 every planted defect was named and no twin has a fact, 1 otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from cases import CASES, Case
from rehearsed import Named, project_of, rehearse

PAGE = Path(__file__).parents[2] / "docs" / "rules" / "README.md"
NOT_JUDGED = "not judged"
TURN_S = 180.0
START, END = "<!-- corpus: begin -->", "<!-- corpus: end -->"


@dataclass(frozen=True)
class Row:
    """found: fact, likely, hint, consequence (of a cause that was named), not judged (the rule said
    why) or missed. others: facts about the planted service that are not the planted one. on_twin:
    facts on the repaired one. when: the day it was rehearsed."""

    name: str
    language: str
    rule: str
    found: str
    others: list[str]
    on_twin: list[str]
    when: str = ""


def row_of(case: Case, planted: Named, facts_on_twin: Iterable[str]) -> Row:
    followed = f"consequence of {planted.consequences.get(case.rule)}"
    if case.rule in planted.consequences:
        otherwise = followed
    else:
        otherwise = NOT_JUDGED if case.rule in planted.not_judged else "missed"
    found = planted.certainty(case.rule) or otherwise
    others = sorted(planted.facts - {case.rule, planted.consequences.get(case.rule)})
    return Row(case.name, case.language, case.rule, found, others, sorted(facts_on_twin), _today())


def _today() -> str:
    return time.strftime("%Y-%m-%d")


@dataclass(frozen=True)
class Bench:
    """Where rehearsals happen; the files may be None."""

    scratch: Path
    rows: Path | None
    keep: Path | None
    turn: Path | None

    @contextlib.contextmanager
    def turns(self) -> Iterator[Callable[[], None]]:
        """To be called before each case: waits for the lock, which it keeps for TURN_S."""
        if self.turn is None:
            yield lambda: None
            return
        with self.turn.open("a") as file:
            end = 0.0

            def take() -> None:
                nonlocal end
                if time.monotonic() < end:
                    return
                fcntl.flock(file, fcntl.LOCK_UN)
                # flock hands nothing over: whoever waited must be awake before it is taken again.
                time.sleep(0.5)
                fcntl.flock(file, fcntl.LOCK_EX)
                end = time.monotonic() + TURN_S

            yield take

    def put_away(self, directory: Path, *, is_wanted: bool) -> None:
        if is_wanted and self.keep is not None:
            self.keep.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self.keep / directory.name, ignore_errors=True)
            shutil.move(directory, self.keep / directory.name)
        shutil.rmtree(directory, ignore_errors=True)

    def known(self) -> dict[str, Row]:
        if self.rows is None or not self.rows.exists():
            return {}
        found = [Row(**json.loads(line)) for line in self.rows.read_text().splitlines()]
        return {row.name: row for row in found}

    def known_twins(self) -> dict[str, list[str]]:
        file = self._twins
        if file is None or not file.exists():
            return {}
        return dict(json.loads(line) for line in file.read_text().splitlines())

    def add(self, row: Row) -> None:
        _append(self.rows, asdict(row))

    def add_twin(self, key: str, facts: list[str]) -> None:
        _append(self._twins, [key, facts])

    @property
    def _twins(self) -> Path | None:
        return None if self.rows is None else self.rows.with_name(f"{self.rows.name}.twins")


def _append(path: Path | None, value: object) -> None:
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps(value) + "\n")


def run(cases: list[Case], bench: Bench) -> dict[str, Row]:
    known = bench.known()
    with bench.turns() as wait_for_turn:
        _run(cases, bench, known, wait_for_turn)
    return known


def _run(
    cases: list[Case], bench: Bench, known: dict[str, Row], wait_for_turn: Callable[[], None]
) -> None:
    twins = bench.known_twins()
    for number, case in enumerate(cases, 1):
        if case.name in known:
            continue
        directory = bench.scratch / f"{case.name}-planted"
        project_of(case, directory, is_planted=True)
        wait_for_turn()
        planted = rehearse(case, directory)
        row = known[case.name] = row_of(case, planted, _facts_on_twin(case, bench, twins))
        bench.put_away(directory, is_wanted=row.found == "missed" or bool(row.others))
        bench.add(row)
        others = f"; also {', '.join(row.others)}" if row.others else ""
        twin = f"; ON THE TWIN {', '.join(row.on_twin)}" if row.on_twin else ""
        print(f"[{number}/{len(cases)}] {case.name}: {row.found}{others}{twin}", flush=True)
        if row.found in ("missed", NOT_JUDGED):
            print(f"    {planted}", flush=True)


def _facts_on_twin(case: Case, bench: Bench, twins: dict[str, list[str]]) -> list[str]:
    directory = bench.scratch / f"{case.name}-repaired"
    settings = project_of(case, directory, is_planted=False)
    key = json.dumps([case.language, case.only, case.rate, case.is_quick, case.has_database,
                      sorted(settings.items())])  # fmt: skip
    if key not in twins:
        twin = rehearse(case, directory)
        if twin.code not in (0, 1):
            raise RuntimeError(f"the twin of {case.name} could not be rehearsed: {twin.said}")
        twins[key] = sorted(twin.facts)
        bench.add_twin(key, twins[key])
        if twin.findings:
            print(f"    twin of {case.name}: {twin.findings}", flush=True)
    bench.put_away(directory, is_wanted=bool(twins[key]))
    return twins[key]


def table(rows: list[Row], skipped: list[Case], label: str, waiting: Iterable[Case] = ()) -> str:
    """waiting: cases that were chosen and not rehearsed yet."""
    found = [row for row in rows if row.found not in ("missed", NOT_JUDGED)]
    not_judged = sum(row.found == NOT_JUDGED for row in rows)
    facts = [row for row in rows if row.found == "fact"]
    false = sum(len(row.on_twin) for row in rows) + sum(len(row.others) for row in rows)
    named = len(facts) + false
    lines = [
        f"{label}: {len(found)} of {len(rows)} planted defects named "
        f"({len(facts)} as facts), {not_judged} not judged; facts that name something else: "
        f"{sum(len(row.others) for row in rows)} on planted services, "
        f"{sum(len(row.on_twin) for row in rows)} on repaired twins. "
        f"Recall {len(found) / max(1, len(rows)):.2f}, "
        f"precision of facts {len(facts) / max(1, named):.2f}.",
        "",
        "| service | planted | named as | other facts | facts on the twin | rehearsed |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.language} | {row.rule} | {row.found} | "
        f"{', '.join(row.others) or '–'} | {', '.join(row.on_twin) or '–'} | {row.when} |"
        for row in rows
    ]
    lines += [f"| {c.language} | {c.rule} | skipped: {c.why_not} | | | |" for c in skipped]
    if names := [case.name for case in waiting]:
        told = f"Not yet rehearsed, so nothing is claimed of them ({len(names)})"
        lines += ["", f"{told}: {', '.join(names)}."]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--only-write", action="store_true")
    for name in ("--rows", "--keep", "--turn"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--label", default=_today())
    asked = parser.parse_args()
    chosen = [c for c in CASES if not asked.only or any(w in c.name for w in asked.only)]
    skipped = [c for c in chosen if c.why_not]
    for case in skipped:
        print(f"SKIPPED {case.name}: {case.why_not}", flush=True)
    with tempfile.TemporaryDirectory(prefix="corpus-") as scratch:
        bench = Bench(Path(scratch), asked.rows, asked.keep, asked.turn)
        ready = [c for c in chosen if not c.why_not]
        known = bench.known() if asked.only_write else run(ready, bench)
    rows = [known[c.name] for c in chosen if c.name in known]
    waiting = [c for c in chosen if c.name not in known and not c.why_not]
    text = table(rows, skipped, asked.label, waiting)
    print(text)
    if asked.write or asked.only_write:
        page = PAGE.read_text("utf-8")
        before, after = page.split(START)[0], page.split(END)[1]
        PAGE.write_text(f"{before}{START}\n{text}{END}{after}", "utf-8")
    is_good = all(row.found != "missed" and not row.on_twin for row in rows)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
