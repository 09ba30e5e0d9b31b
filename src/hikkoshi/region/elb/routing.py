"""What a rule does with its requests, as lines of a HAProxy frontend."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hikkoshi.region.elb.answers import answer_with, quoted, unavailable
from hikkoshi.region.elb.model import Document, Holdings, Listener, forwarded, group_stickiness


def lines_of(
    holdings: Holdings, actions: Sequence[Document], matches: str, listener: Listener
) -> list[str]:
    final = max(actions, key=lambda action: action.get("Order", 1))
    if final["Type"] == "fixed-response":
        return answer_with(_fixed(final["FixedResponseConfig"]), matches)
    if final["Type"] == "redirect":
        return _redirect(final["RedirectConfig"], matches, listener)
    groups = [
        (holdings.target_groups[arn].backend, weight) for arn, weight in forwarded(tuple(actions))
    ]
    weighted = [(backend, weight) for backend, weight in groups if weight > 0]
    if not weighted:
        return answer_with(unavailable(), matches)
    kept_s = group_stickiness(tuple(actions))
    if kept_s is not None and len(groups) > 1:
        return _sticky(groups, kept_s, matches)
    if len(weighted) == 1:
        return [f"  use_backend {weighted[0][0]} if {matches}"]
    total = sum(weight for _, weight in weighted)
    lines = [f"  http-request set-var(txn.die) rand({total}) if {matches}"]
    below = 0
    for backend, weight in weighted[:-1]:
        below += weight
        lines.append(f"  use_backend {backend} if {matches} {{ var(txn.die) -m int lt {below} }}")
    return [*lines, f"  use_backend {weighted[-1][0]} if {matches}"]


def _sticky(groups: Sequence[tuple[str, int]], kept_s: int, matches: str) -> list[str]:
    """A client with a cookie of a group of this rule stays there, also where the weight has become
    0; others are shared out. Our cookie is `group.end`, where AWS's is encrypted."""
    weighted = [(backend, weight) for backend, weight in groups if weight > 0]
    lines = [
        f"  http-request set-var(txn.now) date() if {matches}",
        "  http-request set-var(txn.left) req.cook(AWSALBTG),field(2,.),sub(txn.now) "
        f"if {matches} {{ req.cook(AWSALBTG) -m found }}",
    ]
    for backend, _ in groups:
        lines.append(
            f"  http-request set-var(txn.group) str({backend}) if {matches} "
            f"{{ req.cook(AWSALBTG),field(1,.) -m str {backend} }} {{ var(txn.left) -m int gt 0 }}"
        )
    total, below = sum(weight for _, weight in weighted), 0
    lines.append(f"  http-request set-var(txn.die) rand({total}) if {matches}")
    for backend, weight in weighted:
        below += weight
        lines.append(
            f"  http-request set-var(txn.group) str({backend}) if {matches} "
            f"!{{ var(txn.group) -m found }} {{ var(txn.die) -m int lt {below} }}"
        )
    lines.append(
        f'  http-response add-header Set-Cookie "AWSALBTG=%[var(txn.group)].%[date({kept_s})]; '
        f'Expires=%[date({kept_s}),http_date]; Path=/" '
        f"if {matches} {{ var(txn.group) -m found }}"
    )
    for backend, _ in groups:
        lines.append(f"  use_backend {backend} if {matches} {{ var(txn.group) -m str {backend} }}")
    return lines


def _fixed(config: Document) -> str:
    body = config.get("MessageBody") or ""
    kind = config.get("ContentType") or "text/plain"
    text = f"status {config['StatusCode']} hdr Server awselb/2.0"
    return f"{text} content-type {quoted(kind)} string {quoted(body)}" if body else text


def _redirect(config: Document, matches: str, listener: Listener) -> list[str]:
    """AWS always writes the port; an empty query leaves no question mark."""
    fields = {
        "#{protocol}": listener.protocol.lower(),
        "#{port}": str(listener.port),
        "#{host}": "%[req.hdr(host),field(1,:)]",
        "#{path}": "%[path,regsub(^/,)]",
        "#{query}": "%[query]",
    }

    def expand(name: str, default: str) -> str:
        pieces = re.split(r"(#\{[a-z]+\})", config.get(name) or default)
        return "".join(fields.get(piece, piece.replace("%", "%%")) for piece in pieces)

    protocol = expand("Protocol", "#{protocol}").lower()
    where = f"{protocol}://{expand('Host', '#{host}')}:{expand('Port', '#{port}')}"
    where += expand("Path", "/#{path}")
    query = config.get("Query", "#{query}")
    lines = []
    if query == "#{query}":
        lines.append('  http-request set-var-fmt(txn.query) "?%[query]" if { query -m len gt 0 }')
        where += "%[var(txn.query)]"
    elif query:
        where += "?" + expand("Query", "")
    code = config["StatusCode"].removeprefix("HTTP_")
    return [
        *lines,
        f"  http-request set-var-fmt(txn.to) {quoted(where)} if {matches}",
        f"  http-request redirect code {code} location %[var(txn.to)] if {matches}",
    ]
