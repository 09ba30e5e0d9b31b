"""GitHub Actions' workflow commands: each complaint becomes an annotation at its line.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from hikkoshi.lint.complaint import Complaint, Severity

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def to_annotation(complaint: Complaint) -> str:
    text = complaint.message + (f"\nFix: {complaint.fix}" if complaint.fix else "")
    return (
        f"::{_COMMANDS[complaint.severity]} file={_property(complaint.file)},"
        f"line={complaint.line},col={complaint.column},title={_property(complaint.rule)}"
        f"::{_data(text)}"
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
