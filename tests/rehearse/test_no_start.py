"""A service whose tasks all end: said at once, with the reason and the container's own words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hikkoshi.trials.watch import last_lines

pytestmark = pytest.mark.region

TASK = {
    "family": "hello", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
    "requiresCompatibilities": ["FARGATE"],
    "containerDefinitions": [{
        "name": "web", "image": "localhost/python", "essential": True,
        "command": ["python3", "-c", "import no_such_module"],
    }],
}  # fmt: skip
SERVICE = {
    "serviceName": "hello", "launchType": "FARGATE", "desiredCount": 1,
    "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
}  # fmt: skip


def test_a_service_that_does_not_come_up(tmp_path: Path) -> None:
    (tmp_path / "hikkoshi.yaml").write_text("cluster: demo\n")
    (tmp_path / "ecs-task-def.json").write_text(json.dumps(TASK))
    (tmp_path / "ecs-service-def.json").write_text(json.dumps(SERVICE))
    done = subprocess.run(
        [sys.executable, "-m", "hikkoshi.cli.main", "rehearse", str(tmp_path), "--quick"],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "does not come up: 3 tasks ended in the same way" in done.stderr
    assert "web exited with 1" in done.stderr
    assert "No module named 'no_such_module'" in done.stderr
    assert "records/region/logs" in done.stderr
    assert not (tmp_path / ".hikkoshi" / "region").exists()


def test_a_containers_lines_do_no_harm_to_a_terminal(tmp_path: Path) -> None:
    file = tmp_path / "web.log"
    file.write_bytes(b"one\n\x1b[2Jtwo\x00\n\xff\n")
    assert last_lines(file) == ["one", "\ufffd[2Jtwo\ufffd", "\ufffd"]
    assert last_lines(tmp_path / "none.log") == []
