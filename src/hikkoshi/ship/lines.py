"""A container's last log lines, from where its task definition sends them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hikkoshi.aws.access import Access, calling
from hikkoshi.base.errors import AwsRefused

Document = dict[str, Any]
LAST = 10


def stream_of(container: Document, task_id: str) -> tuple[str, str] | None:
    """(log group, log stream) of an awslogs container; None for any other driver."""
    configuration = container.get("logConfiguration") or {}
    options = configuration.get("options") or {}
    if configuration.get("logDriver") != "awslogs" or not options.get("awslogs-group"):
        return None
    prefix = options.get("awslogs-stream-prefix")
    stream = f"{prefix}/{container['name']}/{task_id}" if prefix else task_id
    return str(options["awslogs-group"]), stream


def last_lines(
    access: Access, container: Document, task_id: str, kept: Path | None = None, count: int = LAST
) -> tuple[list[str], str | None]:
    """(lines, None), or ([], why there are none). kept: where a local region keeps all lines."""
    place = stream_of(container, task_id)
    name = container["name"]
    if kept is not None and (kept / task_id / f"{name}.log").is_file():
        text = (kept / task_id / f"{name}.log").read_text("utf-8", "replace")
        return [clean(line) for line in text.splitlines()[-count:]], None
    if place is None:
        driver = (container.get("logConfiguration") or {}).get("logDriver")
        if driver is None:
            return [], f"{name} has no logConfiguration, so its output is kept nowhere"
        return [], f"{name} logs through {driver}; only awslogs can be read here"
    group, stream = place
    logs = access.client("logs")
    try:
        events = calling(
            "logs:GetLogEvents", logs.get_log_events, logGroupName=group, logStreamName=stream,
            limit=count, startFromHead=False,
        )["events"]  # fmt: skip
    except AwsRefused as error:
        if "ResourceNotFoundException" in error.what:
            return [], f"{name} wrote nothing to {group}"
        return [], error.what
    return [clean(line) for event in events for line in event["message"].splitlines()], None


def clean(text: str) -> str:
    """Without control characters: it comes from a container and goes to a terminal."""
    return "".join(c if c.isprintable() or c == "\t" else "�" for c in text)
