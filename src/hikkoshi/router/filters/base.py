"""What a filter that holds nothing back has in common with the others."""

from __future__ import annotations


class Passing:
    def tick(self, now: float) -> None:
        return None

    def close(self) -> None:
        return None


def strip_quotes(text: str) -> str:
    """Fluent Bit lets a value with blanks stand in double quotes."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1]
    return text


def split_words(text: str, count: int) -> list[str]:
    """At most `count` words, the last being the rest; a word in double quotes may hold blanks."""
    words: list[str] = []
    rest = text.strip()
    while rest and len(words) < count - 1:
        if rest[0] == '"' and '"' in rest[1:]:
            end = rest.index('"', 1)
            words.append(rest[1:end])
            rest = rest[end + 1 :].lstrip()
            continue
        word, _, rest = rest.partition(" ")
        words.append(word)
        rest = rest.lstrip()
    if rest:
        words.append(strip_quotes(rest))
    return words
