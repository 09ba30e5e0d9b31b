"""Tests from an access log: common or combined format (Apache, nginx), or a load balancer's."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any

from hikkoshi.synthetic.record.drafts import Drafts, named_apart, path_of

_COMMON = re.compile(r'"(?P<method>[A-Z]+) (?P<url>\S+) HTTP/[\d.]+" (?P<status>\d{3})\b')
_BALANCER = re.compile(
    r"^(?:https?|h2|grpcs?|wss?) \S+ \S+ \S+ \S+ [\d.-]+ [\d.-]+ [\d.-]+ (?P<status>\d{3}|-) .*?"
    r'"(?P<method>[A-Z]+) (?P<url>\S+) HTTP/[\d.]+"'
)
MOST = 100


def from_access_log(text: str, file: str) -> Drafts:
    """A test for each path that was read (GET, HEAD), the most frequent first, with the status it
    most often had. What writes is left out: to repeat it would change things."""
    statuses: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    writing = unread = 0
    for line in text.splitlines():
        found = _BALANCER.search(line) or _COMMON.search(line)
        if found is None or found["status"] == "-":
            unread += bool(line.strip())
        elif found["method"] not in ("GET", "HEAD"):
            writing += 1
        else:
            statuses[found["method"], path_of(found["url"])][int(found["status"])] += 1
    ranked = sorted(statuses.items(), key=lambda item: (-item[1].total(), item[0]))
    tests: list[dict[str, Any]] = []
    failing = 0
    for (method, path), counts in ranked:
        status = counts.most_common(1)[0][0]
        if status >= 500:
            failing += 1
        elif len(tests) < MOST:
            test = {"name": f"{method} {path}", "request": f"{method} {path}"}
            tests.append({**test, "expect": {"status": status}})
    notes = [
        f"{count} {what}"
        for count, what in (
            (writing, "requests that write are left out"),
            (failing, "paths that mostly failed (5xx) are left out"),
            (max(0, len(ranked) - failing - MOST), f"paths beyond the {MOST} most frequent"),
            (unread, "lines are no requests"),
        )
        if count
    ]
    return Drafts(named_apart(tests), tuple(notes))
