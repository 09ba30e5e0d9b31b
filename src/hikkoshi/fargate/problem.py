"""One reason to refuse a document, and where in it."""

from __future__ import annotations

from dataclasses import dataclass

Path = tuple[str | int, ...]
"""Keys and indices from the document's root: ("containerDefinitions", 0, "stopTimeout")."""


@dataclass(frozen=True, slots=True)
class Problem:
    """message is what AWS's ClientException says; fix adds what to write instead, where that is
    not in the message already."""

    path: Path
    message: str
    fix: str | None = None
