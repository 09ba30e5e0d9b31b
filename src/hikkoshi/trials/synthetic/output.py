"""The results as JSON and as JUnit's XML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from hikkoshi.trials.synthetic.run import State, SyntheticResult

# What XML 1.0 cannot hold, even escaped.
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(results: Sequence[SyntheticResult]) -> dict[str, Any]:
    states = [result.state for result in results]
    return {
        "is_passed": State.FAILED not in states,
        **{state.value: states.count(state) for state in State},
        "tests": [asdict(result) for result in results],
    }


def as_junit(results: Sequence[SyntheticResult], suite: str) -> str:
    """One suite; a degraded test passes and says so in its output."""
    failures = sum(not result.is_passed for result in results)
    root = ElementTree.Element(
        "testsuite",
        name=_plain(suite),
        tests=str(len(results)),
        failures=str(failures),
        errors="0",
        time=f"{sum(result.t_end - result.t_start for result in results):.3f}",
    )
    for result in results:
        seconds = f"{result.t_end - result.t_start:.3f}"
        name = _plain(result.name)
        case = ElementTree.SubElement(root, "testcase", name=name, classname=root.get("name", ""))
        case.set("time", seconds)
        if not result.is_passed:
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
    return lines


def _plain(text: str) -> str:
    return _NOT_XML.sub("�", text)
