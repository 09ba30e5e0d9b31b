"""The results as JSON and as JUnit's XML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any
from xml.etree import ElementTree

from hikkoshi.base.units import format_duration
from hikkoshi.synthetic.reply import Timings
from hikkoshi.synthetic.run import State, SyntheticResult

# What XML 1.0 cannot hold, even escaped.
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(results: Sequence[SyntheticResult]) -> dict[str, Any]:
    states = [result.state for result in results]
    return {
        "is_passed": all(result.is_passed or result.is_skipped for result in results),
        **{state.value: states.count(state) for state in State},
        "tests": [asdict(result) for result in results],
    }


def as_junit(results: Sequence[SyntheticResult], suite: str) -> str:
    """One suite; a degraded test passes and says so in its output."""
    failures = sum(result.state is State.FAILED for result in results)
    skipped = sum(result.state is State.NOT_TRIED for result in results)
    root = ElementTree.Element(
        "testsuite",
        name=_plain(suite),
        tests=str(len(results)),
        failures=str(failures),
        errors="0",
        skipped=str(skipped),
        time=f"{sum(result.t_end - result.t_start for result in results):.3f}",
    )
    for result in results:
        seconds = f"{result.t_end - result.t_start:.3f}"
        name = _plain(result.name)
        case = ElementTree.SubElement(root, "testcase", name=name, classname=root.get("name", ""))
        case.set("time", seconds)
        if result.state is State.NOT_TRIED:
            told = _plain(f"not tried: {'; '.join(result.not_tried)}")
            ElementTree.SubElement(case, "skipped", message=told)
        elif result.state is State.FAILED:
            failure = ElementTree.SubElement(case, "failure", message=_plain(result.reason))
            failure.text = _plain("\n".join(result_lines(result)))
        elif result.state is State.DEGRADED:
            ElementTree.SubElement(case, "system-out").text = _plain(f"degraded: {result.reason}")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode")


def result_lines(result: SyntheticResult) -> list[str]:
    """Each broken check of a result, and each error, a line."""
    lines = []
    for step in result.steps:
        if step.error is not None:
            lines.append(f"{step.title}: {step.error}")
        for check in step.broken:
            lines.append(
                f"{step.title}: {check.what}: expected {check.expected}, came {check.came}"
            )
    return [*lines, *(f"not tried: {each}" for each in result.not_tried)]


def phases(timings: Timings) -> str:
    """`dns 1.2 ms, connect 3 ms, …, total 60 ms`; empty when nothing was measured."""
    told = []
    for phase in fields(timings):
        seconds = getattr(timings, phase.name)
        if seconds is not None:
            words = phase.name.removesuffix("_s").replace("_", " ")
            told.append(f"{words} {format_duration(seconds)}")
    return ", ".join(told)


def _plain(text: str) -> str:
    return _NOT_XML.sub("�", text)
