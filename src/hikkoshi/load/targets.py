"""What is asked for: vegeta's `http` and `json` target files, with two additions of our own.

`http`: a request line, header lines, the body as `@file`, `#` comments; blank lines part one target
from the next, and a new request line does too. A comment of the form `# name: list reports` gives
the next request's endpoint its name, `# weight: 3` lets it be sent three times as often.
`json`: one object a line, with `method`, `url`, `body` (base64), `header` ({name: [values]}), and
`name` and `weight`. An address may be a path alone (`GET /reports`) when a base address is given.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import gcd
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hikkoshi.base.errors import BadInput

TOKEN = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
_REQUEST = re.compile(r"^([A-Z][A-Z-]*)\s+(\S+)\s*$")
_DIRECTIVE = re.compile(r"^#\s*(name|weight)\s*:\s*(.*?)\s*$")
# Half a character, as JSON can write it (\ud83d alone), has no UTF-8.
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_JSON_KEYS = ("method", "url", "body", "header", "name", "weight")
MAX_WEIGHT = 1000


@dataclass(frozen=True, slots=True)
class Target:
    """One request to send. `url` is whole, or a path that a base address completes. where: the
    line it was read from."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    name: str = ""
    weight: int = 1
    where: str = field(default="", compare=False)

    @property
    def endpoint(self) -> str:
        """Its name, or method and path without the query."""
        return self.name or f"{self.method} {urlsplit(self.url).path or '/'}"


def load_targets(path: Path, form: str = "auto") -> tuple[Target, ...]:
    """Reads a target file; form: `http`, `json`, or `auto` (json when it opens with a brace).

    Bodies named by `@file` are looked for beside the target file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"the targets cannot be read: {error}",
            where=str(path),
            fix="name a readable file in UTF-8",
        ) from error
    return parse_targets(text, where=str(path), directory=path.parent, form=form)


def parse_targets(
    text: str, *, where: str = "targets", directory: Path | None = None, form: str = "auto"
) -> tuple[Target, ...]:
    """As `load_targets`, from text. Never empty: no target at all is a BadInput."""
    if form == "auto":
        form = "json" if text.lstrip().startswith("{") else "http"
    if form == "json":
        targets = _parse_json(text, where)
    elif form == "http":
        targets = _HttpReader(where, directory or Path()).read(text)
    else:
        raise BadInput(f"there is no target format {form!r}", fix="write http or json")
    if not targets:
        raise BadInput(
            "no target in it", where=where, fix="write at least one line like GET http://host/path"
        )
    return tuple(targets)


def order_by_weight(targets: Sequence[Target]) -> tuple[int, ...]:
    """The indexes of one round, heavier targets more often and evenly spread, no chance in it."""
    divisor = gcd(*(target.weight for target in targets))
    weights = [target.weight // divisor for target in targets]
    total = sum(weights)
    credit = [0] * len(weights)
    order = []
    for _ in range(total):
        credit = [have + weight for have, weight in zip(credit, weights, strict=True)]
        chosen = max(range(len(credit)), key=lambda index: (credit[index], -index))
        credit[chosen] -= total
        order.append(chosen)
    return tuple(order)


class _HttpReader:
    def __init__(self, where: str, directory: Path) -> None:
        self._where = where
        self._directory = directory
        self._targets: list[Target] = []
        self._open: dict[str, Any] | None = None
        self._next: dict[str, Any] = {}
        self._line = 0

    def read(self, text: str) -> list[Target]:
        for self._line, raw in enumerate(lines_of(text), 1):
            self._take(raw.strip())
        self._close()
        if self._next:
            raise self._error(
                "a name or weight stands here with no request after it",
                "put it on the line before the request",
            )
        return self._targets

    def _take(self, line: str) -> None:
        if line.startswith("#"):
            self._directive(line)
        elif not line:
            self._close()
        elif match := _REQUEST.match(line):
            self._close()
            method, url = match.groups()
            self._check_url(url)
            self._open = {"method": method, "url": url, "headers": [], **self._next}
            self._open["where"] = f"{self._where}:{self._line}"
            self._next = {}
        elif self._open is None:
            raise self._error(
                f"{line[:80]!r} is not a request line", "write METHOD URL, as in GET http://host/"
            )
        elif line.startswith("@"):
            self._body(line[1:].strip())
        else:
            self._header(line)

    def _directive(self, line: str) -> None:
        match = _DIRECTIVE.match(line)
        if match is None:
            return
        key, value = match.groups()
        if key == "weight":
            self._next["weight"] = _weight(value, f"{self._where}:{self._line}")
        elif value:
            self._next["name"] = value

    def _header(self, line: str) -> None:
        name, colon, value = line.partition(":")
        if not colon or not TOKEN.match(name.strip()) or CONTROL.search(value):
            raise self._error(f"{line[:80]!r} is not a header", "write Name: value")
        assert self._open is not None
        self._open["headers"].append((name.strip(), value.strip()))

    def _body(self, name: str) -> None:
        assert self._open is not None
        if "body" in self._open:
            raise self._error("a second body for one request", "keep one @file line")
        path = self._directory / name
        try:
            self._open["body"] = path.read_bytes()
        except OSError as error:
            raise self._error(
                f"the body {str(path)!r} cannot be read: {error.strerror}",
                "name a file beside the target file, or an absolute path",
            ) from error

    def _check_url(self, url: str) -> None:
        if problem := url_problem(url):
            raise self._error(f"{url[:120]!r} {problem}", "write http://host/path, or /path")

    def _close(self) -> None:
        if self._open is not None:
            headers = tuple(self._open.pop("headers"))
            self._targets.append(Target(headers=headers, **self._open))
            self._open = None

    def _error(self, what: str, fix: str) -> BadInput:
        return BadInput(what, where=f"{self._where}:{self._line}", fix=fix)


def lines_of(text: str) -> list[str]:
    """Only at line feeds: str.splitlines also cuts at what JSON, headers and logs may have within a
    line (U+2028, form feeds)."""
    return text.removesuffix("\n").split("\n")


def url_problem(url: str) -> str | None:
    """What is wrong with a target's address, as the end of a sentence; None if nothing."""
    if re.search(r"[\x00-\x20\x7f\ud800-\udfff]", url):
        return "has a space or control character, or half a character, in it"
    if url.startswith("/"):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"is not an address: {error}"
    if parts.scheme not in ("http", "https"):
        return "is neither http:// nor https:// nor a path"
    if not parts.hostname or port == 0:
        return "names no host, or port 0"
    if parts.username is not None:
        return "has a user name in it; send an Authorization header instead"
    return None


def _parse_json(text: str, where: str) -> list[Target]:
    targets = []
    for number, line in enumerate(lines_of(text), 1):
        if not line.strip():
            continue
        place = f"{where}:{number}"
        try:
            document = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            at = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            told = getattr(error, "msg", "nested too deeply")
            raise BadInput(
                f"not JSON: {told}{at}", where=place, fix="one whole object a line"
            ) from error
        if not isinstance(document, dict):
            raise BadInput("not an object", where=place, fix='{"method": "GET", "url": "…"}')
        targets.append(_target_of(document, place))
    return targets


def _target_of(document: dict[str, Any], place: str) -> Target:
    for key in document:
        if key not in _JSON_KEYS:
            near = get_close_matches(key, _JSON_KEYS, 1)
            fix = f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(_JSON_KEYS)}"
            raise BadInput(f"unknown key {key!r}", where=place, fix=fix)
    method, url = document.get("method"), document.get("url")
    if not isinstance(method, str) or not TOKEN.match(method):
        raise BadInput(f"method is {method!r}", where=place, fix='write "method": "GET"')
    if not isinstance(url, str) or (problem := url_problem(url)):
        told = problem if isinstance(url, str) else "is not an address"
        raise BadInput(f"url {url!r} {told}", where=place, fix="write http://host/path, or /path")
    try:
        body = base64.b64decode(document.get("body") or "", validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise BadInput("body is not base64", where=place, fix="encode it in base64") from error
    name = document.get("name", "")
    if not isinstance(name, str):
        raise BadInput(f"name is {name!r}", where=place, fix="write a text")
    return Target(
        method=method,
        url=url,
        headers=tuple(_json_headers(document.get("header") or {}, place)),
        body=body,
        name=name,
        weight=_weight(document.get("weight", 1), place),
        where=place,
    )


def _json_headers(document: Any, place: str) -> list[tuple[str, str]]:
    fix = 'write "header": {"Name": ["value"]}'
    if not isinstance(document, dict):
        raise BadInput("header is not an object", where=place, fix=fix)
    headers = []
    for name, values in document.items():
        for value in values if isinstance(values, list) else [] if values is None else [values]:
            if not isinstance(value, str) or not TOKEN.match(name) or CONTROL.search(value):
                raise BadInput(f"header {name!r}: {value!r}", where=place, fix=fix)
            headers.append((name, value))
    return headers


def _weight(value: Any, place: str) -> int:
    try:
        weight = int(value)
    except (TypeError, ValueError):
        weight = 0
    if isinstance(value, bool) or not 1 <= weight <= MAX_WEIGHT or str(weight) != str(value):
        raise BadInput(
            f"weight is {value!r}", where=place, fix=f"write a whole number from 1 to {MAX_WEIGHT}"
        )
    return weight
