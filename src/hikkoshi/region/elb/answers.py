"""Answers of the load balancer's own, and how text is put into HAProxy's configuration."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[A-Za-z0-9_.,:;/=()\[\]{}<>|^*+?!@&~-]")

TITLES = {
    400: "Bad Request",
    408: "Request Time-out",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


def page_of(status: int) -> str:
    title = f"{status} {TITLES[status]}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n"
        f"<body><h1>{title}</h1></body>\r\n</html>\r\n"
    )


def unavailable() -> str:
    page = quoted(page_of(503))
    return f'status 503 content-type "text/html" string {page} hdr Server awselb/2.0'


def answer_with(answer: str, matches: str) -> list[str]:
    """An answer of the load balancer's own, marked so that a 503 in it is left as it is."""
    return [
        f"  http-request set-var(txn.refused) bool(true) if {matches}",
        f"  http-request return {answer} if {matches}",
    ]


def quoted(text: str) -> str:
    """One argument of HAProxy's configuration, whatever is in it: all that could mean something
    to HAProxy's reader is written as bytes in hexadecimal."""
    pieces = []
    for letter in text:
        if _PLAIN.fullmatch(letter) or letter == "%" or letter == " ":
            pieces.append(letter)
        else:
            pieces += [f"\\x{byte:02x}" for byte in letter.encode()]
    return '"' + "".join(pieces) + '"'
