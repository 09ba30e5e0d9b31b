"""Fluent Bit's own multiline parsers, on traces that the languages' own runtimes wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from router_process import Start, through

GO = """panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
main.pick(...)
\t/src/main.go:9
main.main()
\t/src/main.go:5 +0x1d
exit status 2""".splitlines()
JAVA = """Exception in thread "main" java.lang.IllegalStateException: no checklist
\tat jp.genba.Reports.open(Reports.java:31)
\tat jp.genba.Main.main(Main.java:12)
Caused by: java.sql.SQLException: refused
\tat jp.genba.Db.connect(Db.java:7)
\t... 1 more""".splitlines()
RUBY = """/app/run.rb:3:in `fetch': key not found: :site (KeyError)
\tfrom /app/run.rb:3:in `block in <main>'
\tfrom /app/run.rb:2:in `each'""".splitlines()


def python_trace() -> list[str]:
    program = "def at(n):\n    return [][n]\n\nat(5)\n"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return ended.stderr.splitlines()


def joined(start: Start, tmp_path: Path, names: str, lines: list[str]) -> list[str]:
    """What comes out of the filter, in the order of their first lines."""
    filters = (
        "[FILTER]\n    Name multiline\n    Match *\n    multiline.key_content log\n"
        f"    multiline.parser {names}\n"
    )
    records = [{"log": line, "n": number} for number, line in enumerate(lines)]
    found = through(start, tmp_path, records, filters)
    return [one["log"] for one in sorted(found, key=lambda one: one["n"])]


@pytest.mark.parametrize("name", ["python", "java", "ruby"])
def test_a_trace_is_one_record_and_its_neighbours_are_left(
    name: str, start_router: Start, tmp_path: Path
) -> None:
    trace = {"python": python_trace(), "java": JAVA, "ruby": RUBY}[name]
    assert len(trace) >= 3
    found = joined(start_router, tmp_path, name, ["before", *trace, "after"])
    assert found == ["before", "\n".join(trace), "after"]


def test_go_joins_from_the_panic_to_the_last_frame(start_router: Start, tmp_path: Path) -> None:
    found = joined(start_router, tmp_path, "go", ["before", *GO])
    assert found == ["before", "\n".join(GO[:-1]), GO[-1]]


def test_of_several_parsers_each_takes_its_own(start_router: Start, tmp_path: Path) -> None:
    trace = python_trace()
    found = joined(start_router, tmp_path, "go, java, python", [*JAVA, *trace, *trace, "after"])
    assert found == ["\n".join(JAVA), "\n".join(trace), "\n".join(trace), "after"]
