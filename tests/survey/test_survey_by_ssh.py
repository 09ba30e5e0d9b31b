"""A live host by ssh: what a tree cannot show, and what happens when the way is not there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import live_host
import old_genba
import pytest

pytestmark = pytest.mark.skipif(
    live_host.SSHD is None or shutil.which("ssh") is None,
    reason="NOT TRIED: there is no sshd and ssh here (apt-get install openssh-server)",
)
HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HIKKOSHI, *map(str, arguments)], cwd=cwd, text=True, capture_output=True, timeout=90
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    here = tmp_path_factory.mktemp("live")
    with live_host.live_host(here):
        yield here


@pytest.fixture(scope="module")
def survey(place: Path) -> dict[str, Any]:
    done = run("survey", "--host", "ssh://genba", "--ssh-config", "ssh_config", "--window", "1",
               cwd=place)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((place / "survey.json").read_text())
    return found


def test_it_takes_few_round_trips(survey: dict[str, Any]) -> None:
    assert 1 < survey["round_trips"] <= 50
    assert survey["seconds"] <= 20


def test_the_process_listens_and_was_measured(survey: dict[str, Any]) -> None:
    host = survey["host"]
    (process,) = [p for p in host["processes"] if p["unit"] == "genba.service"]
    assert process["arguments"] == ["/usr/bin/python3", "/opt/genba/genba.pyz"]
    assert process["memory_mib"] > 5 and process["peak_mib"] >= process["memory_mib"]
    assert process["nofile"] and process["open_files"] and process["directory"] == "/opt/genba"
    (listener,) = [s for s in host["listeners"] if s["unit"] == "genba.service"]
    unit = next(u for u in host["units"] if u["name"] == "genba.service")
    assert str(listener["port"]) == unit["environment"]["PORT"]


def test_its_plan_says_who_listens_and_what_was_measured(
    place: Path, survey: dict[str, Any]
) -> None:
    done = run("plan", "survey.json", "-o", "home", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    choices = {c["key"]: c for c in json.loads(done.stdout)["choices"]}
    assert "genba.service, pid" in choices["port"]["because"]
    assert (
        choices["memory"]["by"] == "seen" and "MiB at its highest" in choices["memory"]["because"]
    )
    assert run("check", "home", cwd=place).returncode == 0
    assert (place / "home/rootfs/opt/genba/genba.pyz").exists()


def test_no_secret_came_over(place: Path, survey: dict[str, Any]) -> None:
    text = (place / "survey.json").read_text()
    assert old_genba.PASSWORD not in text and old_genba.API_KEY not in text
    assert {"DATABASE_URL", "DD_API_KEY"} <= {s["name"] for s in survey["secrets"]}


def test_a_wrong_key_is_said(place: Path) -> None:
    key = place / "other"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    text = (place / "ssh_config").read_text().replace(f"{place}/key", f"{place}/other")
    (place / "wrong_key").write_text(text)
    done = run("survey", "--host", "ssh://genba", "--ssh-config", "wrong_key", "-o", "w.json",
               cwd=place)  # fmt: skip
    assert done.returncode == 3
    assert "Permission denied" in done.stderr and "--identity" in done.stderr
    assert not (place / "w.json").exists()


def test_an_unknown_host_key_is_said(place: Path) -> None:
    text = (place / "ssh_config").read_text().replace(f"{place}/known", f"{place}/nobody")
    (place / "unknown").write_text(text)
    done = run("survey", "--host", "genba", "--ssh-config", "unknown", "-o", "w.json", cwd=place)
    assert done.returncode == 3 and "Host key verification failed" in done.stderr


def test_nobody_listens(place: Path) -> None:
    port = live_host.free_port()
    done = run("survey", "--host", f"ssh://x@127.0.0.1:{port}", "-o", "w.json", cwd=place)
    assert done.returncode == 3
    assert "Connection refused" in done.stderr and "fix:" in done.stderr


@pytest.mark.parametrize("address", ["ssh://-oProxyCommand=x", "http://h", "ssh://u:p@h", "ssh://"])
def test_an_address_that_is_none(place: Path, address: str) -> None:
    done = run("survey", "--host", address, "-o", "w.json", cwd=place)
    assert done.returncode == 2 and "--host" in done.stderr
