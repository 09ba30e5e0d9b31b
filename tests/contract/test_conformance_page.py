"""docs/conformance.md is not stale in structure: every item, in the suite's own words."""

from __future__ import annotations

import re
from pathlib import Path

from contract_items import ITEMS
from contract_page import BEGIN, END, table

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "conformance.md"


def test_the_page_lists_every_item_with_a_result() -> None:
    written = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    wanted = table({}).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in written]
    assert [c[:2] + c[4:] for c in cells] == [
        [cell.strip() for cell in line.split("|")[1:-1]][:2]
        + [cell.strip() for cell in line.split("|")[1:-1]][4:]
        for line in wanted
    ]
    assert {mark for c in cells[2:] for mark in c[2:4]} <= {"holds", "FAILS", "not tried"}


def test_every_item_has_a_test_named_by_it() -> None:
    text = "".join(path.read_text("utf-8") for path in HERE.glob("test_contract_*.py"))
    tested = {f"C{int(number)}" for number in re.findall(r"^def test_c(\d\d)_", text, re.M)}
    assert tested == set(ITEMS)
