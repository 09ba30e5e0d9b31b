"""`hikkoshi load` as a user meets it: output and exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from click.testing import CliRunner
from server import Server

from hikkoshi.cli.load import load

AT = ("--base-url", "http://127.0.0.1:1")
OF_TASKS = ("--tasks", "2", "--bucket", "s3://my-loads")


def test_attack_is_the_default_and_keeps_results(server: Server, tmp_path: Path) -> None:
    output = tmp_path / "run.load"
    arguments = ["--rate", "100/s", "--duration", "300ms", "--base-url", server.url]
    found = CliRunner().invoke(load, [*arguments, "-o", str(output)], input="GET /\n")
    # On a machine that is busy with else the figures are rightly called invalid.
    is_valid = "INVALID" not in found.stdout
    assert found.exit_code == (0 if is_valid else 1), found.output
    assert "100.0/s asked" in found.stdout and "success     100 %" in found.stdout
    again = CliRunner().invoke(load, ["report", str(output), "--json"])
    assert again.exit_code == found.exit_code
    assert json.loads(again.stdout)["statuses"] == {"200": 30}
    assert json.loads(again.stdout)["outcome"] == ("passed" if is_valid else "invalid")
    hdr = CliRunner().invoke(load, ["report", str(output), "--hdr"])
    assert "Total count    =           30" in hdr.stdout
    table = CliRunner().invoke(load, ["export", str(output), "-o", str(tmp_path / "r.csv")])
    assert "30 rows" in table.stderr


def test_failed_requests_are_exit_code_1(server: Server) -> None:
    arguments = ["--stages", "0..100/200ms,100/100ms", "--base-url", server.url, "--json"]
    found = CliRunner().invoke(load, arguments, input="GET /missing\n")
    assert found.exit_code == 1
    assert json.loads(found.stdout)["failed"] == 20


def test_wrong_use_is_exit_code_2_with_the_fix() -> None:
    for arguments, words in (
        ([], "give --rate"),
        (["--rate", "fast"], "write 200/s"),
        (["--rate", "1/s", "--stages", "1/1s"], "give one of them"),
        (["--stages", "1"], "RATE/DURATION"),
        (["--rate", "1/s", "--duration", "soon"], "--duration"),
        (["--rate", "1/s", "--connections", "0"], "connections is 0"),
        (["--rate", "1/s", "--targets", "/no/such/file"], "cannot be read"),
        (["--rate", "1/s"], "--base-url"),
        (["report", "/etc/passwd"], "not a results file"),
        (["--rate", "1/s", *AT, "--bucket", "s3://b"], "--bucket without --tasks"),
        (["--rate", "1/s", *AT, "--local"], "--local without --tasks"),
        (["--rate", "1/s", *AT, "--tasks", "2"], "give --bucket s3://"),
        (["--rate", "1/s", *AT, *OF_TASKS], "give --task-definition"),
        (["--rate", "1/s", *AT, *OF_TASKS, "--image", "i"], "--image without --task-role"),
        (["--rate", "1/s", *AT, *OF_TASKS, "--image", "i", "--task-definition", "d"], "two things"),
        (["--rate", "1/s", *AT, *OF_TASKS, "--abort"], "--abort without a threshold"),
        (["share"], "Missing option '--plan'"),
        (["share", "--plan", "s3://bbb", "--share", "2/2"], "--share: '2/2' is no share"),
        (["share", "--plan", "bbb", "--share", "0/2"], "--plan: 'bbb' is no bucket"),
    ):
        found = CliRunner().invoke(load, arguments, input="GET /x\n")
        assert found.exit_code == 2, (arguments, found.output)
        assert words in found.stderr, (arguments, found.stderr)


def test_a_share_is_told_by_what_it_was_given_by(tmp_path: Path) -> None:
    bare = {
        "AWS_REGION": None, "AWS_DEFAULT_REGION": None, "AWS_PROFILE": None,
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
    }  # fmt: skip
    given = {"HIKKOSHI_LOAD_PLAN": "s3://bbb", "HIKKOSHI_LOAD_SHARE": "2/2"}
    found = CliRunner(env=bare | given).invoke(load, ["share"])
    assert (found.exit_code, "HIKKOSHI_LOAD_SHARE: '2/2'" in found.stderr) == (2, True)
    found = CliRunner(env=bare | given).invoke(load, ["share", "--share", "0/2"])
    assert (found.exit_code, "fix: give --region" in found.stderr) == (2, True), found.stderr
    known = CliRunner().invoke(load, ["share", "--help"])
    assert "--region" in known.stdout


def test_what_cannot_run_is_exit_code_3() -> None:
    found = CliRunner().invoke(load, ["--rate", "1/s"], input="GET http://no.such.invalid/\n")
    assert found.exit_code == 3
    assert "does not resolve" in found.stderr


def test_ctrl_c_ends_with_a_report_of_what_was_sent(server: Server, tmp_path: Path) -> None:
    (tmp_path / "targets").write_text("GET /\n")
    code = "import sys; from hikkoshi.cli.load import load; load(sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--rate", "100/s", "--duration", "10m", "--json",
         "--targets", str(tmp_path / "targets"), "--base-url", server.url],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while server.seen["/"] < 10:
            assert time.monotonic() < deadline, "ten requests did not come within 30 s"
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    report = json.loads(out)
    assert report["is_stopped"] and report["requests"] >= 10
    assert process.returncode == (0 if report["is_valid"] else 1)
