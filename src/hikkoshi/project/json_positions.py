"""A strict JSON reader that knows where each value stands, and says what a person did wrong.

The standard library's reader gives a position for its first error but none for values, and calls a
missing comma "Expecting ',' delimiter" at the *next* token, which is often another line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

Path = tuple[str | int, ...]
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
_SPACE = re.compile(r"[ \t\r\n]*")
_COMMENT = re.compile(r"//[^\n]*|#[^\n]*|/\*.*?\*/", re.DOTALL)
_MEMBER = re.compile(r'"(?:[^"\\\n]|\\.)*"\s*:')
_WORDS = {"true": True, "false": False, "null": None}


class JsonMistake(ValueError):
    """What is wrong, with its line and column (both from 1)."""

    def __init__(self, what: str, text: str, offset: int, fix: str | None = None) -> None:
        self.what = what
        self.fix = fix
        self.earlier: tuple[JsonMistake, ...] = ()
        self.line = text.count("\n", 0, offset) + 1
        self.column = offset - (text.rfind("\n", 0, offset) + 1) + 1
        super().__init__(f"{self.line}:{self.column}: {what}")


@dataclass(frozen=True)
class JsonText:
    """What a text says. places: for each path the line and column (both from 1) at which its key,
    or else it, stands. mistakes: those that a reader can see past, in the order of the text."""

    value: Any
    places: dict[Path, tuple[int, int]]
    mistakes: tuple[JsonMistake, ...] = ()


def read_json(text: str) -> JsonText:
    """Raises JsonMistake at the first thing that is not JSON."""
    reader = _Reader(text)
    return JsonText(reader.read_document(), reader.places)


def read_json_leniently(text: str) -> JsonText:
    """Reads past what people leave out or put in too much (a comma, a comment, the braces around
    it all) and tells each. Raises JsonMistake, with those before it in `earlier`, where it cannot
    be known what was meant."""
    reader = _Reader(text, is_lenient=True)
    try:
        value = reader.read_document()
    except JsonMistake as error:
        error.earlier = tuple(reader.mistakes)
        raise
    return JsonText(value, reader.places, tuple(reader.mistakes))


class _Reader:
    def __init__(self, text: str, *, is_lenient: bool = False) -> None:
        self.text = text
        self.at = 0
        self.places: dict[Path, tuple[int, int]] = {}
        self.mistakes: list[JsonMistake] = []
        self._is_lenient = is_lenient
        self._line_offset = 0
        self._line = 1

    def read_document(self) -> Any:
        if self.text.startswith("\ufeff"):
            self.at = 1
        self._skip()
        if self._is_lenient and self._is_member():
            return self._bare_members()
        start = self.at
        value = self._value(())
        self._skip()
        if self._is_lenient and isinstance(value, dict) and self.text[self.at : self.at + 1] == ",":
            return self._bare_items(start)
        if self.at < len(self.text):
            raise self._mistake("there is more text after the end of the document")
        return value

    def _is_member(self) -> bool:
        return bool(_MEMBER.match(self.text, self.at))

    def _bare_members(self) -> dict[str, Any]:
        """`"containerDefinitions": [...]` with no braces around it, as examples are pasted."""
        self._tell(
            self._mistake("the document has no braces around it", fix="put { before it and } after")
        )
        self.text += "}"
        self.places[()] = self._place_of(self.at)
        value = self._members((), self.at)
        self._skip()
        if self.at < len(self.text):
            raise self._mistake("there is more text after the end of the document")
        return value

    def _bare_items(self, start: int) -> list[Any]:
        """`{...}, {...}` with no brackets around it: read again, as a list."""
        self._tell(
            JsonMistake(
                "several objects stand with no brackets around them",
                self.text,
                start,
                "put [ before the first and ] after the last",
            )
        )
        self.at, self.places, self._line, self._line_offset = start, {(): (1, 1)}, 1, 0
        del self.mistakes[:-1]
        found: list[Any] = []
        while True:
            self._skip()
            found.append(self._value((len(found),)))
            self._skip()
            if not self._take(","):
                break
        if self.at < len(self.text):
            raise self._mistake("there is more text after the end of the document")
        return found

    def _tell(self, mistake: JsonMistake) -> None:
        """Raise it, or note it and go on."""
        if not self._is_lenient:
            raise mistake
        self.mistakes.append(mistake)

    def _value(self, path: Path) -> Any:
        self.places.setdefault(path, self._place_of(self.at))
        if len(path) > 200:
            raise self._mistake("nested more than 200 deep")
        char = self.text[self.at : self.at + 1]
        if char == "{":
            return self._object(path)
        if char == "[":
            return self._array(path)
        if char == '"':
            return self._string()
        for word, value in _WORDS.items():
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return value
        number = _NUMBER.match(self.text, self.at)
        if number:
            self.at = number.end()
            is_whole = number.group(1) is None and number.group(2) is None
            return int(number.group()) if is_whole else float(number.group())
        raise self._unexpected("a value")

    def _object(self, path: Path) -> dict[str, Any]:
        opened = self.at
        self.at += 1
        self._skip()
        if self._take("}"):
            return {}
        return self._members(path, opened)

    def _members(self, path: Path, opened: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while True:
            if self.text[self.at : self.at + 1] != '"':
                raise self._unexpected("a key in double quotes", opened)
            key_at = self.at
            key = self._string()
            if key in found:
                self._tell(self._mistake(f'the key "{key}" stands twice', key_at))
            self.places[(*path, key)] = self._place_of(key_at)
            self._skip()
            if not self._take(":"):
                raise self._unexpected(f'a colon after the key "{key}"', opened)
            self._skip()
            found[key] = self._value((*path, key))
            if self._is_last("}", opened):
                return found

    def _array(self, path: Path) -> list[Any]:
        found: list[Any] = []
        opened = self.at
        self.at += 1
        self._skip()
        if self._take("]"):
            return found
        while True:
            found.append(self._value((*path, len(found))))
            if self._is_last("]", opened):
                return found

    def _is_last(self, closing: str, opened: int) -> bool:
        """After a member: take the comma (False) or the closing bracket (True)."""
        ended = self.at
        self._skip()
        if self._take(closing):
            return True
        if not self._take(","):
            if self.at >= len(self.text):
                raise self._unexpected(f'"," or "{closing}"', opened)
            if self.text[self.at] in '"{[-0123456789tfn':
                last = self.text[:ended].rsplit("\n", 1)[-1].strip()
                self._tell(
                    JsonMistake(
                        f"a comma is missing after `{last[-60:]}`",
                        self.text,
                        ended,
                        "put a comma there",
                    )
                )
                return False
            raise self._unexpected(f'"," or "{closing}"', opened)
        comma = self.at - 1
        self._skip()
        if self.text[self.at : self.at + 1] == closing:
            self._tell(
                JsonMistake(
                    f'a comma stands before the closing "{closing}"',
                    self.text,
                    comma,
                    "take it out",
                )
            )
            self.at += 1
            return True
        return False

    def _string(self) -> str:
        try:
            value, self.at = scanstring(self.text, self.at + 1, True)
        except ValueError as error:
            raise self._mistake(f"this string is broken: {str(error).split(':')[0]}") from error
        return str(value)

    def _take(self, char: str) -> bool:
        if self.text.startswith(char, self.at):
            self.at += 1
            return True
        return False

    def _skip(self) -> None:
        while True:
            match = _SPACE.match(self.text, self.at)
            assert match is not None
            self.at = match.end()
            comment = _COMMENT.match(self.text, self.at) if self._is_lenient else None
            if comment is None:
                return
            self._tell(self._mistake("JSON has no comments", fix="take it out"))
            self.at = comment.end()

    def _place_of(self, offset: int) -> tuple[int, int]:
        """Asked in the order of the text: lines are counted on from the last one."""
        self._line += self.text.count("\n", self._line_offset, offset)
        self._line_offset = max(offset, self._line_offset)
        return self._line, offset - self.text.rfind("\n", 0, offset)

    def _unexpected(self, wanted: str, opened: int | None = None) -> JsonMistake:
        found = self.text[self.at : self.at + 1]
        if not found:
            since = "" if opened is None else f" (opened on line {self._count(opened)})"
            return self._mistake(f"the text ends where {wanted} should be{since}")
        if found == "'":
            return self._mistake("JSON wants double quotes, not single ones")
        if self.text.startswith(("//", "#", "/*"), self.at):
            return self._mistake("JSON has no comments")
        return self._mistake(f"{wanted} should be here, not {found!r}")

    def _count(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1

    def _mistake(self, what: str, offset: int | None = None, fix: str | None = None) -> JsonMistake:
        return JsonMistake(what, self.text, self.at if offset is None else offset, fix)
