"""SARIF 2.1.0, which code hosts show beside the line.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from hikkoshi.lint.complaint import Complaint
from hikkoshi.lint.rules import RULES

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def to_sarif(complaints: Sequence[Complaint], version: str) -> dict[str, Any]:
    used = sorted({c.rule for c in complaints})
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "hikkoshi lint",
                        "version": version,
                        "rules": [
                            {"id": rule, "shortDescription": {"text": RULES[rule][1]}}
                            for rule in used
                        ],
                    }
                },
                "results": [_result(c, used.index(c.rule)) for c in complaints],
            }
        ],
    }


def _result(complaint: Complaint, index: int) -> dict[str, Any]:
    text = complaint.message + (f"\nFix: {complaint.fix}" if complaint.fix else "")
    return {
        "ruleId": complaint.rule,
        "ruleIndex": index,
        "level": complaint.severity.value,
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(PurePath(complaint.file).as_posix())},
                    "region": {"startLine": complaint.line, "startColumn": complaint.column},
                }
            }
        ],
    }
