"""What `iac check` makes of what cfn-lint 1.58.0 said; recorded."""

from __future__ import annotations

import subprocess

import pytest

from hikkoshi.base.errors import CannotRun
from hikkoshi.iac.check import lint_matches

NO_MAIN = (
    "python: No module named cfnlint.__main__; 'cfnlint' is a package and cannot be directly "
    "executed"
)


def said(code: int, out: str, err: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(["cfn-lint"], code, out, err)


@pytest.mark.parametrize(
    ("result", "rules"),
    [
        (said(0, "[]\n"), []),
        (said(2, '[{"Rule": {"Id": "E3002"}, "Level": "Error"}]'), ["E3002"]),
        (said(4, '[{"Rule": {"Id": "W3005"}, "Level": "Warning"}]'), ["W3005"]),
    ],
)
def test_what_it_judged(result: subprocess.CompletedProcess[str], rules: list[str]) -> None:
    assert [match["Rule"]["Id"] for match in lint_matches(result)] == rules


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (said(1, "", NO_MAIN), "cannot be directly executed"),
        (said(0, ""), "it said nothing"),
        (said(1, "[]", "Traceback"), "Traceback"),
        (said(0, "{}"), "it said nothing"),
    ],
)
def test_a_lint_that_did_not_run_is_not_clean(
    result: subprocess.CompletedProcess[str], words: str
) -> None:
    with pytest.raises(CannotRun, match=words):
        lint_matches(result)
