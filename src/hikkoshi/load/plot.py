"""Several runs over each other as one HTML file that needs nothing from the network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from hikkoshi.load.timeline import Timeline

_SHARES = (
    0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999, 1.0,
)  # fmt: skip


def plot_html(title: str, timelines: Sequence[Timeline]) -> str:
    page = resources.files("hikkoshi.load").joinpath("plot.html").read_text("utf-8")
    data = {"title": title, "runs": [_run(each) for each in timelines]}
    # Within a script element only these three can end it or open a comment.
    packed = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&":
        packed = packed.replace(letter, f"\\u{ord(letter):04x}")
    return page.replace("/*DATA*/null", packed, 1)


def _run(timeline: Timeline) -> dict[str, Any]:
    whole = timeline.whole()
    percentiles = whole.latency.percentiles(_SHARES)
    rows = []
    for at, each in enumerate(timeline.slices):
        p50, p95, p99, most = each.latency.percentiles((0.5, 0.95, 0.99, 1.0))
        rows.append([
            round((at + 0.5) * timeline.slice_s, 3), each.requests / timeline.slice_s,
            each.failed / timeline.slice_s, *(_ms(value) for value in (p50, p95, p99, most)),
        ])  # fmt: skip
    return {
        "name": timeline.name,
        "slice_s": timeline.slice_s,
        "requests": whole.requests,
        "failed": whole.failed,
        "rows": rows,
        "percentiles": [
            [share, _ms(value)] for share, value in zip(_SHARES, percentiles, strict=True)
        ],
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 4)
