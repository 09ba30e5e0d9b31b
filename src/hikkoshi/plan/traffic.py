"""Targets with the access log's mix, and synthetic tests that expect what production answered."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hikkoshi.model.survey import AccessLog, Endpoint
from hikkoshi.plan.choice import Notebook

_SAFE_PATH = re.compile(r"^/[!-~]*$")
_ACTION = re.compile(r"\{n\}/[A-Za-z][\w-]*$")
BODIES = "body "
"""Answers `body POST /reports` give the body that an endpoint is asked with."""
_MOST = 40


@dataclass(frozen=True, slots=True)
class Traffic:
    """files: of bodies. left_out: endpoints of the log that are not sent, with the reason."""

    targets: str
    synthetic: str
    rate: int
    p99_ms: float | None
    files: Mapping[str, str]
    left_out: tuple[str, ...]


def plan_traffic(
    service: str, logs: Sequence[AccessLog], health_path: str, notebook: Notebook
) -> Traffic:
    log = max(logs, key=lambda log: log.lines, default=None)
    endpoints = list(log.endpoints) if log else []
    chosen, left_out, files = _choose(endpoints, notebook)
    if not chosen:
        notebook.note(
            "load", "10/s", "there is no access log: only the health check is asked for",
        )  # fmt: skip
        comment = "# No access log was found: this is no production mix."
        targets = f"{comment}\nGET {_url(service, health_path)}\n"
        return Traffic(targets, _tests([], health_path), 10, None, files, tuple(left_out))
    assert log is not None
    rate = max(1, round(log.peak_rate))
    rate_text = notebook.note(
        "load", f"{rate}/s", f"the busiest second of {log.path} had {rate} requests "
        f"({log.mean_rate:g}/s on average, {log.lines} lines)",
    )  # fmt: skip
    said = re.match(r"^(\d+)(?:/s)?$", rate_text)
    slowest = max((e.p99_ms for e, *_ in chosen if e.p99_ms is not None), default=None)
    return Traffic(
        _targets(service, chosen),
        _tests(chosen, health_path),
        int(said[1]) if said else rate,
        slowest,
        files,
        tuple(left_out),
    )


Sent = tuple[Endpoint, str | None]


def _choose(
    endpoints: Sequence[Endpoint], notebook: Notebook
) -> tuple[list[Sent], list[str], dict[str, str]]:
    chosen: list[Sent] = []
    left_out: list[str] = []
    files: dict[str, str] = {}
    for endpoint in endpoints:
        title = f"{endpoint.method} {endpoint.template}"
        good = sum(n for code, n in endpoint.statuses.items() if code[0] in "123")
        body = notebook.answers.get(BODIES + title)
        if body is not None:
            notebook.note(BODIES + title, body, "the log has no bodies")
        if good * 2 < endpoint.count:
            left_out.append(f"{title}: most of its {endpoint.count} requests failed")
        elif len(chosen) >= _MOST:
            left_out.append(f"{title}: {_MOST} endpoints are enough ({endpoint.count} requests)")
        elif not _SAFE_PATH.match(endpoint.examples[0][0]) or "⟨" in endpoint.examples[0][0]:
            left_out.append(f"{title}: its path cannot be written as a target")
        elif endpoint.method in ("GET", "HEAD") or _is_bodiless(endpoint):
            chosen.append((endpoint, None))
        elif body is not None:
            name = f"bodies/{len(files) + 1}-{_word(endpoint.template)}.json"
            files[name] = body
            chosen.append((endpoint, name))
        else:
            left_out.append(
                f"{title}: {endpoint.count} requests whose body no log has; give it in the answers "
                f'as "{BODIES}{title}"'
            )
    return chosen, left_out, files


def _is_bodiless(endpoint: Endpoint) -> bool:
    """`POST /reports/7/approve` says all by its path; `POST /reports` does not."""
    return endpoint.method == "DELETE" or (
        endpoint.method in ("POST", "PUT") and bool(_ACTION.search(endpoint.template))
    )


def _word(template: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", template.lower()).strip("-")[:40] or "root"


def _url(service: str, path: str) -> str:
    return f"http://{service}{path}"


def _targets(service: str, chosen: Sequence[Sent]) -> str:
    """Weights keep the log's mix to a thousandth; an endpoint's examples share its weight."""
    total = sum(endpoint.count for endpoint, _ in chosen)
    out = [
        "# The mix of the access log. `name` is the endpoint, `weight` its share of a thousand.\n"
    ]
    for endpoint, body in chosen:
        shown = [(p, s) for p, s in endpoint.examples if _SAFE_PATH.match(p) and "⟨" not in p]
        whole = sum(share for _, share in shown) or 1.0
        for path, share in shown:
            weight = max(1, round(1000 * endpoint.count / total * share / whole))
            lines = [f"# name: {endpoint.method} {endpoint.template}", f"# weight: {weight}"]
            lines.append(f"{endpoint.method} {_url(service, path)}")
            if body is not None:
                lines += ["Content-Type: application/json", f"@{body}"]
            out.append("\n".join(lines) + "\n")
    return "\n".join(out)


def _tests(chosen: Sequence[Sent], health_path: str) -> str:
    tests = [("it is alive", "GET", health_path, 200, 1000.0)]
    for endpoint, body in chosen:
        if endpoint.method not in ("GET", "HEAD") or body is not None:
            continue
        status = max(endpoint.statuses.items(), key=lambda pair: pair[1])[0]
        path = endpoint.examples[0][0]
        if path != health_path:
            slow = max(1000.0, (endpoint.p99_ms or 0) * 3)
            tests.append((f"{endpoint.method} {endpoint.template}", endpoint.method, path,
                          int(status), slow))  # fmt: skip
    lines = [
        "# One test for each endpoint that is only read; the status is what production answered."
    ]
    lines.append("tests:")
    for name, method, path, wanted, slow in tests:
        lines += [
            f"  - name: {json.dumps(name, ensure_ascii=False)}",
            f"    request: {json.dumps(f'{method} {path}')}",
            f"    expect: {{ status: {wanted}, time: {slow:.0f}ms }}",
            "",
        ]
    return "\n".join(lines)
