"""Each endpoint alone, one request after the other, between two marks of pg_stat_statements.

This is how queries are counted for each request with nothing added to the application.
"""

from __future__ import annotations

import http.client
import time
from urllib.parse import urlsplit

from hikkoshi.load.targets import Target, load_targets
from hikkoshi.model.trials import Outcome, TrialResult
from hikkoshi.trials.context import Context, result

NAME = "one-by-one"
TITLE = "each endpoint alone, its queries counted"


def try_one_by_one(context: Context) -> TrialResult:
    t_start = time.time()
    settings = context.project.settings
    assert settings.load is not None
    targets = load_targets(context.project.directory / settings.load.targets)
    failures: list[str] = []
    for number, target in enumerate(targets):
        failures += _probe(context, number, target)
    if failures:
        return result(NAME, TITLE, t_start, Outcome.BROKE, "; ".join(failures[:3]))
    return result(
        NAME,
        TITLE,
        t_start,
        Outcome.HELD,
        f"{len(targets)} endpoints, {context.pace.probe_requests} requests each",
    )


def _probe(context: Context, number: int, target: Target) -> list[str]:
    """Sends the endpoint once to warm it, then counted; failures as sentences."""
    failures: list[str] = []
    before, after = f"probe-{number}-before", f"probe-{number}-after"
    _send_one(context, target)
    t_start = time.time()
    context.home.access.ask("mark", {"name": before})
    for _ in range(context.pace.probe_requests):
        status = _send_one(context, target)
        if not 200 <= status < 400:
            failures.append(f"{target.endpoint} answered {status or 'nothing'}")
    context.home.access.ask("mark", {"name": after})
    context.recorder.record(
        "probes",
        endpoint=target.endpoint,
        requests=context.pace.probe_requests,
        mark_before=before,
        mark_after=after,
        t_start=t_start,
        t_end=time.time(),
    )
    return failures


def _send_one(context: Context, target: Target) -> int:
    """The status, or 0 when there was no answer."""
    place = urlsplit(context.home.base_url)
    url = urlsplit(target.url)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    connection = http.client.HTTPConnection(place.netloc, timeout=15)
    try:
        headers = {"Host": url.netloc or place.netloc, **dict(target.headers)}
        connection.request(target.method, path, body=target.body or None, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
