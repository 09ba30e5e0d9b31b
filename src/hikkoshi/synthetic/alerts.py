"""Where alerts go: a webhook of one's own, or anything that apprise knows."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.synthetic.watch import Alert, Turn

Teller = Callable[[Alert], str | None]
"""Sends an alert; in words why it could not be sent, else None."""

_MARKS = {Turn.FAILING: "failure", Turn.DEGRADED: "warning", Turn.RECOVERED: "success"}


def teller(target: str, env: Mapping[str, str]) -> Teller:
    """target: http(s)://… gets JSON; another address is apprise's (slack://…, mailto://…);
    `env:NAME` takes it from the environment, for most addresses are secrets.

    BadInput: no such address, or not in the environment. CannotRun: apprise is not installed.
    """
    if target.startswith("env:"):
        name = target.removeprefix("env:")
        if not env.get(name):
            raise BadInput(f"{name} is not in the environment", where="--alert", fix=f"set {name}")
        target = env[name]
    if urlsplit(target).scheme in ("http", "https"):
        return lambda alert: _post(target, alert)
    return _by_apprise(target)


def words(alert: Alert) -> tuple[str, str]:
    """Title and text."""
    since = datetime.fromtimestamp(alert.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{alert.turn.value}: {alert.test}", f"{alert.reason}\nsince {since}"


def _post(url: str, alert: Alert) -> str | None:
    title, text = words(alert)
    # `text` is what Slack's, Mattermost's and Teams' own webhooks show.
    document = {**asdict(alert), "title": title, "text": f"{title}\n{text}"}
    request = urllib.request.Request(
        url,
        data=json.dumps(document, ensure_ascii=False).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "hikkoshi"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10):
            return None
    except urllib.error.HTTPError as error:
        return f"the webhook answered with status {error.code}"
    except (OSError, ValueError) as error:
        return f"the webhook cannot be reached: {error}"


def _by_apprise(target: str) -> Teller:
    try:
        import apprise
    except ImportError:
        raise CannotRun(
            "alerts to other places than webhooks need apprise",
            fix="pip install 'hikkoshi[alerts]', or give an http(s) address",
        ) from None
    sender: Any = apprise.Apprise()
    if not sender.add(target):
        raise BadInput(
            "not an address that apprise knows", where="--alert", fix="slack://…, mailto://…, …"
        )

    def tell(alert: Alert) -> str | None:
        title, text = words(alert)
        is_sent = sender.notify(title=title, body=text, notify_type=_MARKS[alert.turn])
        return None if is_sent else "apprise could not send it"

    return tell
