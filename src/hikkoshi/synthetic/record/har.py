"""Tests from a HAR, as browsers save it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from hikkoshi.base.errors import BadInput
from hikkoshi.synthetic.record.drafts import (
    Drafts,
    from_environment,
    is_secret,
    named_apart,
    path_of,
    without_secrets,
)

_KEPT_HEADERS = ("accept", "content-type", "x-requested-with")
_ASSETS = ("image/", "font/", "text/css", "application/javascript", "text/javascript", "video/")


def from_har(text: str, file: str) -> Drafts:
    """A test for each request to the origin that was asked most; what was asked of others, and
    pictures, styles and scripts, are left out."""
    try:
        entries = json.loads(text)["log"]["entries"]
        asked = [(each["request"], each["response"]) for each in entries]
        origins = Counter(_origin(request["url"]) for request, _ in asked)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"not a HAR: {error!r}", where=file, fix="save it again, as HAR with content"
        ) from error
    if not origins:
        return Drafts(())
    own = origins.most_common(1)[0][0]
    tests = []
    elsewhere = assets = 0
    for request, response in asked:
        kind = str((response.get("content") or {}).get("mimeType") or "")
        if _origin(request["url"]) != own:
            elsewhere += 1
        elif kind.startswith(_ASSETS):
            assets += 1
        elif int(response.get("status") or 0) >= 100:
            tests.append(_test(request, response, kind))
    notes = [f"the base address was {own}"]
    if elsewhere:
        notes.append(f"{elsewhere} requests to other hosts are left out")
    if assets:
        notes.append(f"{assets} pictures, styles and scripts are left out")
    return Drafts(named_apart(tests), tuple(notes))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _test(request: dict[str, Any], response: dict[str, Any], kind: str) -> dict[str, Any]:
    target = f"{request['method']} {path_of(request['url'])}"
    test: dict[str, Any] = {"name": target, "request": target}
    headers = {
        h["name"]: from_environment(h["name"]) if is_secret(h["name"]) else h["value"]
        for h in request.get("headers") or []
        if h["name"].lower() in _KEPT_HEADERS or h["name"].lower() == "authorization"
    }
    if headers:
        test["headers"] = headers
    body = (request.get("postData") or {}).get("text")
    if body:
        try:
            test["body"] = without_secrets(json.loads(body))
        except ValueError:
            test["body"] = body
    expect: dict[str, Any] = {"status": int(response["status"])}
    if kind:
        expect["header"] = {"content-type": kind.partition(";")[0].strip()}
    return {**test, "expect": expect}
