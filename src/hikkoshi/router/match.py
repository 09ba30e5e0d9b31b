"""Which tags a filter or output takes, and Fluent Bit's regular expressions in Python's."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from hikkoshi.base.errors import BadInput
from hikkoshi.router.section import Settings

_POSIX = {
    "alnum": "A-Za-z0-9", "alpha": "A-Za-z", "blank": " \\t", "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9", "graph": "\\x21-\\x7e", "lower": "a-z", "print": "\\x20-\\x7e",
    "punct": "!-/:-@\\[-`{-~", "space": "\\s", "upper": "A-Z", "word": "\\w", "xdigit": "0-9A-Fa-f",
}  # fmt: skip


def compile_regex(pattern: str, where: str) -> re.Pattern[str]:
    """Onigmo's syntax, as far as Python's `re` can say it: named groups, POSIX classes, \\h.

    A pattern may stand between slashes. BadInput for what cannot be compiled."""
    text = pattern
    if len(text) >= 2 and text[0] == "/" and text.rfind("/") > 0 and text.rstrip("imx")[-1] == "/":
        end = text.rfind("/")
        flags, text = text[end + 1 :], text[1:end]
        text = (f"(?{flags.replace('m', 's')})" if flags else "") + text
    text = re.sub(r"\(\?<([A-Za-z_]\w*)>", r"(?P<\1>", text)
    text = re.sub(r"\[:(\w+):\]", lambda found: _POSIX.get(found.group(1), found.group(0)), text)
    text = text.replace("\\h", "[0-9A-Fa-f]").replace("\\z", "\\Z")
    try:
        return re.compile(text)
    except re.error as error:
        raise BadInput(
            f"could not compile the regular expression {pattern!r}: {error}",
            where=where,
            fix="Fluent Bit reads Onigmo's syntax; the stand-in takes what Python's `re` takes too",
        ) from error


def wildcard(pattern: str) -> re.Pattern[str]:
    """`*` stands for any text, also none; nothing else is special."""
    return re.compile("".join(".*" if c == "*" else re.escape(c) for c in pattern), re.DOTALL)


def tag_matcher(settings: Settings) -> Callable[[str], bool]:
    """From Match and Match_Regex; without either a section matches nothing, as in Fluent Bit."""
    plain = settings.text("match")
    regex = settings.find("match_regex")
    pattern = wildcard(plain) if plain is not None else None
    expression = compile_regex(regex.value, f"{regex.file}:{regex.line}") if regex else None

    @lru_cache(maxsize=256)
    def matches(tag: str) -> bool:
        if expression is not None and expression.search(tag):
            return True
        return pattern is not None and pattern.fullmatch(tag) is not None

    return matches
