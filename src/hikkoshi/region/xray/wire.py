"""What both ends of the daemon's protocol know: datagrams and trace ids. Standard library only,
for every task starts the end that loads no more than this."""

from __future__ import annotations

import json
import re
from typing import Any

_TRACE_ID = re.compile(r"1-([0-9a-fA-F]{8})-([0-9a-fA-F]{24})")
_W3C_ID = re.compile(r"[0-9a-fA-F]{32}")
_ROOT = re.compile(r"\bRoot=(1-[0-9a-fA-F]{8}-[0-9a-fA-F]{24})(?![0-9a-fA-F])")
CAPTURED = "http.request.header.x_amzn_trace_id"
"""Where a server's span has the load balancer's header, when its SDK was told to capture it."""


class BadDocumentError(ValueError):
    """A document, or one part of it, that is refused. `reason` is short and fit for counting."""

    def __init__(self, reason: str, identifier: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.identifier = identifier


def parse_datagram(data: bytes) -> str:
    """What a datagram of the daemon's protocol carries: `{"format":"json","version":1}`, a line
    break, one document. Raises BadDocumentError."""
    header, separator, body = data.partition(b"\n")
    try:
        found = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise BadDocumentError("the header is not JSON") from error
    if not isinstance(found, dict) or not separator:
        raise BadDocumentError("no header")
    if str(found.get("format", "")).lower() != "json" or found.get("version") != 1:
        raise BadDocumentError("the header is not format json, version 1")
    if not body.strip():
        raise BadDocumentError("no document after the header")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise BadDocumentError("the document is not UTF-8") from error


def root_of(header: Any) -> str | None:
    """The trace id that X-Amzn-Trace-Id names as Root, whatever shape it was captured in."""
    found = _ROOT.search(str(header)) if header else None
    return found.group(1).lower() if found else None


def normal_trace_id(value: Any) -> str:
    """`1-8hex-24hex`, lower case; the OpenTelemetry form (32 hex digits) is taken too."""
    if isinstance(value, str):
        match = _TRACE_ID.fullmatch(value)
        if match:
            return f"1-{match.group(1)}-{match.group(2)}".lower()
        if _W3C_ID.fullmatch(value):
            return f"1-{value[:8]}-{value[8:]}".lower()
    raise BadDocumentError("no valid trace_id")
