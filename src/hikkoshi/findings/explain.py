"""The page of each rule, as it is packaged."""

from __future__ import annotations

import difflib
from importlib import resources

from hikkoshi.base.errors import BadInput
from hikkoshi.findings.registry import RULES


def rule_titles() -> dict[str, str]:
    """Name → title of every rule, in the order in which they are judged."""
    return {rule.NAME: rule.TITLE for rule in RULES}


def page_of(name: str) -> str:
    """The rule's page in Markdown. BadInput, with the nearest name, for a rule that is not."""
    known = rule_titles()
    if name not in known:
        near = difflib.get_close_matches(name.replace("_", "-"), known, n=1, cutoff=0.4)
        raise BadInput(
            f"there is no rule {name!r}",
            fix=f"did you mean {near[0]}?" if near else f"the rules are {', '.join(known)}",
        )
    page = resources.files("hikkoshi.findings") / "pages" / f"{name}.md"
    return page.read_text(encoding="utf-8")
