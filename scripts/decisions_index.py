"""Write docs/decisions/README.md from the pages beside it; `--check` only compares."""

from __future__ import annotations

import sys
from pathlib import Path

PAGES = Path(__file__).resolve().parent.parent / "docs" / "decisions"
INTRODUCTION = """\
# Decisions

One short page for each decision that was hard to take: what was chosen, what else there was, and
what would make us think again.

"""


def index() -> str:
    pages = sorted(PAGES.glob("[0-9]*.md"))
    titles = [page.read_text("utf-8").splitlines()[0].removeprefix("# ") for page in pages]
    lines = [f"- [{title}]({page.name})\n" for title, page in zip(titles, pages, strict=True)]
    return INTRODUCTION + "".join(lines)


if __name__ == "__main__":
    place = PAGES / "README.md"
    if "--check" in sys.argv:
        sys.exit(0 if place.read_text("utf-8") == index() else "run: make decisions")
    place.write_text(index(), "utf-8")
