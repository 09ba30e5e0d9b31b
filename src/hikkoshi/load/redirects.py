"""What a redirect leads to (RFC 9110, 15.4; the methods as browsers keep them)."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urljoin, urlsplit

from hikkoshi.base.errors import HikkoshiError
from hikkoshi.load.checking import header_of
from hikkoshi.load.request import Address, Form, Prepared, prepare_one
from hikkoshi.load.response import Head
from hikkoshi.load.targets import Target, url_problem

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SECRET = frozenset({"authorization", "cookie", "proxy-authorization"})
_OF_BODY = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding"})
_KEPT = 1024


class Redirector:
    """Remembers where redirects lead, so that a name is resolved once."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._addresses: dict[tuple[str, str], Address] = {}
        self._known: dict[tuple[int, str, str], Prepared] = {}

    def follow(self, target: Prepared, head: Head) -> Prepared | None:
        """None when there is nowhere to go to: no Location, or one that is no address."""
        location = header_of(head.raw, b"location")
        if not location:
            return None
        try:
            url = urljoin(target.url, location).partition("#")[0]
        except ValueError:  # http://[
            return None
        if url_problem(url) or not url.startswith("http"):
            return None
        key = (target.index, url, f"{head.status} {target.method}")
        found = self._known.get(key)
        if found is None:
            self._seed(target)
            try:
                found = prepare_one(
                    target.index, _next(target, head.status, url), self._form, self._addresses
                )
            except HikkoshiError:
                return None
            found = replace(found, endpoint=target.endpoint)
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[key] = found
        return found

    def addresses(self) -> list[Address]:
        """Those that redirects led to."""
        return list(self._addresses.values())

    def _seed(self, target: Prepared) -> None:
        """A redirect to the same host shares its connections."""
        parts = urlsplit(target.url)
        self._addresses.setdefault((parts.scheme, parts.netloc), target.address)


def _next(prepared: Prepared, status: int, url: str) -> Target:
    target = prepared.target
    method, body, headers = prepared.method, target.body, target.headers
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", b""
        headers = tuple(pair for pair in headers if pair[0].lower() not in _OF_BODY)
    if urlsplit(url)[:2] != urlsplit(prepared.url)[:2]:
        headers = tuple(pair for pair in headers if pair[0].lower() not in _SECRET | {"host"})
    # What the server wrote is no template of ours.
    return replace(
        target, method=method, url=url.replace("${", "$%7B"), headers=headers, body=body,
        name=prepared.endpoint,
    )  # fmt: skip
