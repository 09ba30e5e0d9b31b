"""XPath (2.0, by elementpath) over XML, and over HTML as browsers let it be written."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import elementpath

_EMPTY = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source",
          "track", "wbr"}  # fmt: skip
# An opening tag of the first ends an open one of the second.
_ENDS = {"li": {"li"}, "p": {"p"}, "td": {"td", "th"}, "th": {"td", "th"}, "option": {"option"},
         "tr": {"tr", "td", "th"}, "dt": {"dt", "dd"}, "dd": {"dt", "dd"}}  # fmt: skip
MAX_DEPTH = 500


class NotMarkup(Exception):
    """Neither XML nor HTML."""


def find(path: str, body: bytes) -> list[str]:
    """The texts of what the path leads to. ValueError: not an XPath. NotMarkup: not a document."""
    root = _parse(body)
    try:
        found = elementpath.select(root, path, parser=elementpath.XPath2Parser)
    except (elementpath.ElementPathError, TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{path!r} is not an XPath: {error}") from error
    return [_text(each) for each in (found if isinstance(found, list) else [found])]


def _text(value: Any) -> str:
    if isinstance(value, ElementTree.Element):
        return "".join(value.itertext())
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(getattr(value, "value", value))


def _parse(body: bytes) -> ElementTree.Element:
    text = body.lstrip()
    if not text.startswith(b"<"):
        raise NotMarkup("the body is not XML or HTML")
    if b"<!ENTITY" not in body:
        try:
            return _without_namespaces(ElementTree.fromstring(body))
        except (ElementTree.ParseError, LookupError, ValueError):
            pass
    builder = _Builder()
    builder.feed(body.decode("utf-8", "replace"))
    builder.close()
    return builder.root


def _without_namespaces(root: ElementTree.Element) -> ElementTree.Element:
    """XHTML's default namespace is what nobody writes in a path."""
    if root.tag == "{http://www.w3.org/1999/xhtml}html":
        for element in root.iter():
            if isinstance(element.tag, str):
                element.tag = element.tag.rpartition("}")[2]
    return root


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = ElementTree.Element("html")
        self._open = [self.root]
        self._last: ElementTree.Element | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.root.attrib.update(given)
            return
        if self._open[-1].tag in _ENDS.get(tag, set()):
            self._end()
        if len(self._open) > MAX_DEPTH:
            raise NotMarkup(f"nested deeper than {MAX_DEPTH}")
        element = ElementTree.SubElement(self._open[-1], tag, given)
        self._last = element if tag in _EMPTY else None
        if tag not in _EMPTY:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _EMPTY and tag != "html":
            self._end()

    def handle_endtag(self, tag: str) -> None:
        if tag in (each.tag for each in self._open[1:]):
            while self._open[-1].tag != tag:
                self._end()
            self._end()

    def handle_data(self, data: str) -> None:
        if self._last is not None:
            self._last.tail = (self._last.tail or "") + data
        else:
            self._open[-1].text = (self._open[-1].text or "") + data

    def _end(self) -> None:
        self._last = self._open.pop()
