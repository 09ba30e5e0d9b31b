"""HAR 1.2 (what a browser's developer tools save): the requests of a recording.

Source: http://www.softwareishard.com/blog/har-12-spec/. Requests to other hosts than the first
one's are left out: a load test has no business with somebody else's servers.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from typing import Any
from urllib.parse import urlencode, urlsplit

from hikkoshi.base.errors import BadInput
from hikkoshi.load.formats.found import Found, endpoint_of, literal, told, weighted
from hikkoshi.load.targets import CONTROL, TOKEN, Target, url_problem

# Of the connection, or worked out anew.
_LEFT = frozenset({"host", "connection", "content-length", "transfer-encoding", "keep-alive",
                   "upgrade", "te", "proxy-connection"})  # fmt: skip
_FIX = "save it anew: developer tools, network, export HAR"


def parse_har(text: str, where: str) -> Found:
    """BadInput names the entry that cannot be used."""
    entries = _entries(text, where)
    left_out: Counter[str] = Counter()
    counts: Counter[Target] = Counter()
    host = ""
    for number, entry in enumerate(entries):
        place = f"{where}: log.entries[{number}]"
        request = entry.get("request") if isinstance(entry, dict) else None
        if not isinstance(request, dict):
            raise BadInput("an entry without a request", where=place, fix=_FIX)
        if request.get("method") == "CONNECT":
            left_out["CONNECT requests, to a proxy, were left out"] += 1
            continue
        url = str(request.get("url", "")).partition("#")[0]
        if not url.startswith(("http://", "https://")):
            left_out[f"requests that are not http were left out ({url.partition(':')[0]}:)"] += 1
            continue
        if problem := url_problem(url):
            raise BadInput(f"url {url[:120]!r} {problem}", where=place, fix=_FIX)
        host = host or urlsplit(url).netloc
        if urlsplit(url).netloc != host:
            left_out[f"requests to other hosts than {host} were left out"] += 1
            continue
        counts[_target(request, url, place)] += 1
    if not counts:
        why = f": {'; '.join(told(left_out))}" if left_out else ""
        raise BadInput(f"no request in it{why}", where=where, fix=_FIX)
    return Found(weighted(counts), told(left_out))


def _entries(text: str, where: str) -> list[Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(
            f"not JSON: {error.msg}", where=f"{where}:{error.lineno}", fix=_FIX
        ) from error
    except RecursionError as error:
        raise BadInput("not JSON: nested too deeply", where=where, fix=_FIX) from error
    log = document.get("log") if isinstance(document, dict) else None
    entries = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(entries, list):
        raise BadInput("no log.entries in it: not HAR", where=where, fix=_FIX)
    return entries


def _target(request: dict[str, Any], url: str, place: str) -> Target:
    method = request.get("method")
    if not isinstance(method, str) or not TOKEN.match(method):
        raise BadInput(f"method is {method!r}", where=place, fix=_FIX)
    body, kind = _body(request.get("postData"), place)
    headers = []
    for name, value in _pairs(request.get("headers"), f"{place}.request.headers"):
        if name.startswith(":") or name.lower() in _LEFT:
            continue
        if name.lower() == "accept-encoding":
            # Only what the conditions on bodies can read.
            value = "gzip, deflate"
        if not TOKEN.match(name) or CONTROL.search(value):
            raise BadInput(f"header {name!r} cannot be sent", where=place, fix=_FIX)
        headers.append((name, literal(value)))
    if kind and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", literal(kind)))
    name = endpoint_of(method, url)
    return Target(method, literal(url), tuple(headers), body, name=name, where=place)


def _pairs(listed: Any, place: str) -> list[tuple[str, str]]:
    pairs = listed or []
    if not isinstance(pairs, list) or not all(isinstance(each, dict) for each in pairs):
        raise BadInput("not a list of names and values", where=place, fix=_FIX)
    return [(str(each.get("name") or ""), str(each.get("value") or "")) for each in pairs]


def _body(data: Any, place: str) -> tuple[bytes, str]:
    if not isinstance(data, dict):
        return b"", ""
    kind = str(data.get("mimeType") or "")
    text = data.get("text")
    if isinstance(text, str) and text:
        if data.get("encoding") == "base64" or data.get("_encoding") == "base64":
            try:
                return _literal_body(base64.b64decode(text, validate=True)), kind
            except (binascii.Error, ValueError) as error:
                raise BadInput("postData is not base64", where=place, fix=_FIX) from error
        return _literal_body(_bytes_of(text)), kind
    pairs = [
        (_bytes_of(name), _bytes_of(value))
        for name, value in _pairs(data.get("params"), f"{place}.request.postData.params")
    ]
    return urlencode(pairs).encode(), kind


def _bytes_of(text: str) -> bytes:
    """Half a character, as browsers write what they have cut, is sent as browsers send it."""
    return text.encode("utf-8", "replace")


def _literal_body(body: bytes) -> bytes:
    """Variables are only looked for in a body that is text."""
    try:
        return literal(body.decode()).encode()
    except UnicodeDecodeError:
        return body
