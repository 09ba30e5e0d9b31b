"""docs/conformance.md: the table is written from results, the rest of the page is kept."""

from __future__ import annotations

from pathlib import Path

from contract_items import ITEMS

BEGIN = "<!-- the contract suite's results: make conformance writes them -->"
END = "<!-- end of the results -->"
_WORDS = {"passed": "holds", "failed": "FAILS", "skipped": "not tried"}


def table(results: dict[tuple[str, str], str]) -> str:
    lines = ["| item | behaviour | embedded | docker | source |", "|---|---|---|---|---|"]
    for item, (behaviour, source) in ITEMS.items():
        found = [results.get((item, engine), "skipped") for engine in ("embedded", "docker")]
        marks = [_WORDS[one] for one in found]
        lines.append(f"| {item} | {behaviour} | {marks[0]} | {marks[1]} | {source} |")
    return "\n".join(lines)


def write_page(page: Path, results: dict[tuple[str, str], str]) -> None:
    text = page.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}", "utf-8")
