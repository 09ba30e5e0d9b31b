"""`hikkoshi survey --account` as its users have it: what it prints, writes, and exits with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import live_host
import old_genba
import pytest
from hindered_account import Account, hindered_account

HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with hindered_account() as found:
        # moto keeps one account a process, and other tests of this process have used it.
        urllib.request.urlopen(f"{found.url}/moto-api/reset", data=b"", timeout=30).close()
        logs = boto3.client("logs", endpoint_url=found.url, region_name="ap-northeast-1",
                            aws_access_key_id="x", aws_secret_access_key="x")  # fmt: skip
        for number in range(60):
            logs.create_log_group(logGroupName=f"/genba/{number:03}")
        yield found


@pytest.fixture(autouse=True)
def unhindered(account: Account) -> Iterator[None]:
    yield
    account.hindered.clear()
    account.asked.clear()


def run(*words: object, cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    kept = {key: os.environ[key] for key in ("PATH", "TMPDIR") if key in os.environ}
    home = {"HOME": str(cwd), "XDG_STATE_HOME": str(cwd / "state")}
    return subprocess.run(
        [HIKKOSHI, "survey", *map(str, words)], cwd=cwd, env=kept | home | environment,
        capture_output=True, text=True, timeout=90,
    )  # fmt: skip


def written(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "survey.json").read_text())
    return found


def log_groups(survey: dict[str, Any]) -> int:
    return sum(r["kind"] == "AWS::Logs::LogGroup" for r in survey["account"]["resources"])


def test_it_says_how_far_it_is_and_what_it_found(account: Account, tmp_path: Path) -> None:
    done = run("--account", cwd=tmp_path, environment=account.environment)
    assert done.returncode == 0, done.stderr
    survey = written(tmp_path)
    count = len(survey["account"]["resources"])
    assert survey["host"] is None and log_groups(survey) == 60
    assert f"account 123456789012: {count} resources\n" in done.stdout
    assert "0 things not seen" in done.stdout and "written: survey.json" in done.stdout
    assert f"the account: {count} resources of 13 kinds of 13 ..." in done.stderr
    assert "the account: target health ..." in done.stderr


def test_a_throttled_call_is_made_again(account: Account, tmp_path: Path) -> None:
    account.hindered["logs"] = ("throttled", 3)
    done = run("--account", cwd=tmp_path, environment=account.environment)
    assert done.returncode == 0, done.stderr
    assert account.hindered["logs"] == ("throttled", 0)
    assert log_groups(written(tmp_path)) == 60


def test_what_is_throttled_to_the_end_is_said_and_the_rest_is_kept(
    account: Account, tmp_path: Path
) -> None:
    account.hindered["logs"] = ("throttled", -1)
    done = run("--account", "--timeout", "1", cwd=tmp_path, environment=account.environment)
    assert done.returncode == 1
    assert "AWS did not answer everything: AWS::Logs::LogGroup" in done.stderr
    assert "--timeout" in done.stderr
    survey = written(tmp_path)
    (unseen,) = survey["not_seen"]
    assert unseen["what"] == "AWS::Logs::LogGroup" and "Rate exceeded" in unseen["why"]
    assert unseen["cure"] == "survey again"
    assert any(r["kind"] == "AWS::EC2::Subnet" for r in survey["account"]["resources"])


def test_what_is_denied_names_the_permission(account: Account, tmp_path: Path) -> None:
    account.hindered["codepipeline"] = ("denied", -1)
    done = run("--account", cwd=tmp_path, environment=account.environment)
    assert done.returncode == 0, done.stderr
    (unseen,) = written(tmp_path)["not_seen"]
    assert unseen["cure"] == "allow codepipeline:ListPipelines"
    assert "user/kenji may not call codepipeline:ListPipelines" in done.stdout
    assert log_groups(written(tmp_path)) == 60


def test_nobody_answers(account: Account, tmp_path: Path) -> None:
    nowhere = {**account.environment,
               "AWS_ENDPOINT_URL": f"http://127.0.0.1:{live_host.free_port()}"}  # fmt: skip
    done = run("--account", cwd=tmp_path, environment=nowhere)
    assert done.returncode == 3 and "sts:GetCallerIdentity could not be called" in done.stderr
    assert not (tmp_path / "survey.json").exists()
    old_genba.build(tmp_path / "root")
    both = run("--root", "root", "--account", cwd=tmp_path, environment=nowhere)
    assert both.returncode == 1 and "sts:GetCallerIdentity" in both.stderr
    survey = written(tmp_path)
    assert survey["account"] is None and survey["host"]["applications"]
    assert "the account" in {unseen["what"] for unseen in survey["not_seen"]}


def test_no_region_is_said_before_the_host_is_asked(account: Account, tmp_path: Path) -> None:
    old_genba.build(tmp_path / "root")
    without = {k: v for k, v in account.environment.items() if k != "AWS_REGION"}
    done = run("--root", "root", "--account", cwd=tmp_path, environment=without)
    assert done.returncode == 2 and "no AWS region is configured" in done.stderr
    assert not (tmp_path / "survey.json").exists()


@pytest.mark.region
def test_a_local_region_is_an_account_too(tmp_path: Path) -> None:
    kept = {key: os.environ[key] for key in ("PATH", "TMPDIR") if key in os.environ}
    environment = {**kept, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    up = subprocess.run([HIKKOSHI, "up", "-d", "--port", "0"], cwd=tmp_path, env=environment,
                        capture_output=True, text=True, timeout=90)  # fmt: skip
    assert up.returncode == 0, up.stderr
    try:
        done = run("--account", "--local", cwd=tmp_path, environment={})
    finally:
        subprocess.run([HIKKOSHI, "down"], cwd=tmp_path, env=environment, timeout=60, check=True,
                       capture_output=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    survey = written(tmp_path)
    kinds = {r["kind"] for r in survey["account"]["resources"]}
    assert {"AWS::EC2::Subnet", "AWS::EC2::SecurityGroup"} <= kinds
    assert survey["not_seen"] == []
