"""Words from outside, made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Control characters as their escapes (`\\x1b`), line ends and tabs left: a name or a message
    from outside must neither move the cursor nor hide what stands beside it."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text
    )


def one_line(text: str) -> str:
    """As `printable`, line ends and tabs escaped too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")
