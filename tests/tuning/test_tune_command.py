"""`hikkoshi tune` where nothing was rehearsed; tests/rehearse tunes a real run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hikkoshi.base.errors import BadInput
from hikkoshi.cli.tune import tune

HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")


def run(*arguments: object, cwd: Path, timeout: float = 60) -> tuple[int, str, str]:
    done = subprocess.run(
        [HIKKOSHI, *(str(one) for one in arguments)], cwd=cwd, text=True, capture_output=True,
        timeout=timeout, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_without_a_run_it_says_what_to_do(tmp_path: Path) -> None:
    code, out, error = run("tune", cwd=tmp_path)
    assert (code, out) == (2, "") and "hikkoshi rehearse DIR" in error
    code, _, error = run("tune", "--json", "--patch", cwd=tmp_path)
    assert code == 2 and "one or the other" in error


@pytest.mark.parametrize(
    ("options", "fix"),
    [(["--rehearse", "--patch"], "leave one out"), (["--full"], "add --rehearse")],
)
def test_what_does_not_go_together_is_refused(options: list[str], fix: str) -> None:
    with pytest.raises(BadInput) as refused:
        CliRunner().invoke(tune, options, standalone_mode=False, catch_exceptions=False)
    assert fix in str(refused.value.fix)
