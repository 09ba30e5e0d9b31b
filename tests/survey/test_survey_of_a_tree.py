"""`hikkoshi survey --root` and `plan`, as their users run them, on the genba `before` host."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import old_genba
import pytest

from hikkoshi.project.load import load_project

HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")


def run(*arguments: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [HIKKOSHI, *map(str, arguments)], cwd=cwd, text=True, capture_output=True, timeout=60
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the tree, its survey and its plan."""
    here = tmp_path_factory.mktemp("genba")
    old_genba.build(here / "root")
    run("survey", "--root", "root", "-o", "survey.json", cwd=here)
    run("plan", "survey.json", "-o", "home", cwd=here)
    return here


@pytest.fixture(scope="module")
def surveyed(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "survey.json").read_text())
    return found


def test_no_secret_is_in_the_survey_or_the_plan(place: Path) -> None:
    files = [
        p for p in place.rglob("*") if p.is_file() and "root" not in p.relative_to(place).parts
    ]
    assert len(files) > 10
    for path in files:
        data = path.read_bytes()
        assert old_genba.PASSWORD.encode() not in data, path
        assert old_genba.API_KEY.encode() not in data, path


def test_the_unit_is_read_with_its_environment(surveyed: dict[str, Any]) -> None:
    unit = next(u for u in surveyed["host"]["units"] if u["name"] == "genba.service")
    assert (
        unit["is_enabled"] and unit["user"] == "genba" and unit["limits"] == {"LimitNOFILE": "128"}
    )
    assert unit["environment"]["PORT"] == "8080"
    assert unit["environment"]["DATABASE_URL"].startswith(
        "postgresql://genba:⟨secret DATABASE_URL "
    )
    assert unit["environment"]["DATABASE_URL"].endswith(".rds.amazonaws.com:5432/genba")


def test_the_application_is_found_with_its_files(surveyed: dict[str, Any]) -> None:
    (application,) = surveyed["host"]["applications"]
    assert application["unit"] == "genba.service"
    assert application["imports"] == ["psycopg"]
    assert [lib["name"] for lib in application["libraries"]] == ["psycopg", "psycopg-binary"]
    assert application["schemas"] == ["/opt/genba/sql/schema.sql", "/opt/genba/sql/seed.sql"]
    assert "/health" in application["paths_in_code"]


def test_the_access_log_is_counted(surveyed: dict[str, Any]) -> None:
    (log,) = surveyed["host"]["access_logs"]
    assert (log["lines"], log["peak_rate"]) == (1800, 60.0)
    assert sum(endpoint["count"] for endpoint in log["endpoints"]) == 1800


def test_what_a_tree_cannot_show_is_said(surveyed: dict[str, Any]) -> None:
    assert any("processes" in unseen["what"] for unseen in surveyed["not_seen"])


def test_the_plan_is_a_project_that_loads(place: Path) -> None:
    project = load_project(place / "home")
    containers = [c["name"] for c in project.task_definition["containerDefinitions"]]
    assert containers == ["genba", "log-router", "xray-daemon"]
    application = project.task_definition["containerDefinitions"][0]
    assert application["ulimits"] == [{"name": "nofile", "softLimit": 128, "hardLimit": 128}]
    assert [s["name"] for s in application["secrets"]] == ["DATABASE_URL"]
    assert project.settings.load is not None and project.settings.load.rate == 60
    assert project.settings.load_balancer is not None
    assert project.settings.load_balancer.health_check.path == "/health"
    assert project.settings.database is not None
    assert project.settings.database.cluster == "genba"
    assert (place / "home/rootfs/opt/genba/genba.pyz").read_bytes() == (
        place / "root/opt/genba/genba.pyz"
    ).read_bytes()


def test_each_choice_has_a_because_and_the_assumed_ones_say_so(place: Path) -> None:
    plan = json.loads((place / "home/plan.json").read_text())
    assert all(choice["because"] for choice in plan["choices"])
    by_key = {choice["key"]: choice for choice in plan["choices"]}
    assert by_key["port"]["by"] == "seen" and "PORT=8080" in by_key["port"]["because"]
    assert by_key["tasks"]["by"] == "assumed" and by_key["tasks"]["question"]
    moving = (place / "home/MOVING.md").read_text()
    assert "tidy.py" in moving and "**assumed** `tasks: 2`" in moving


def test_an_answer_overrules_and_is_remembered(place: Path, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("tasks: 3\nport: 8081\n")
    run("plan", place / "survey.json", "-o", tmp_path / "home", "--answers", "a.yaml", cwd=tmp_path)
    run("plan", place / "survey.json", "-o", tmp_path / "home", cwd=tmp_path)
    service = json.loads((tmp_path / "home/ecs-service-def.json").read_text())
    assert service["desiredCount"] == 3
    assert service["loadBalancers"][0]["containerPort"] == 8081


def test_a_health_check_that_nobody_knows_takes_any_answer_but_an_error(tmp_path: Path) -> None:
    root = old_genba.build(tmp_path / "root")
    for path in ("etc/td-agent/td-agent.conf", "var/log/genba/genba.log", "opt/genba/genba.pyz"):
        (root / path).unlink()
    run("survey", "--root", "root", cwd=tmp_path)
    codes = {}
    for answer in ("/", "/healthz"):
        (tmp_path / "a.yaml").write_text(f"health_check: {answer}\n" if answer != "/" else "")
        home = tmp_path / answer.strip("/")
        run("plan", "survey.json", "-o", home / "h", "--answers", "a.yaml", cwd=tmp_path)
        balancer = load_project(home / "h").settings.load_balancer
        assert balancer is not None
        codes[balancer.health_check.path] = balancer.health_check.matcher
    assert codes == {"/": "200-499", "/healthz": "200"}


def test_a_misspelt_answer_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("taks: 3\n")
    done = run("plan", place / "survey.json", "-o", tmp_path / "h", "--answers", "a.yaml",
               cwd=tmp_path, code=2)  # fmt: skip
    assert "did you mean tasks?" in done.stderr
    assert not (tmp_path / "h").exists()


def test_a_file_that_somebody_changed_is_not_overwritten(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "home", tmp_path / "home")
    (tmp_path / "home/Dockerfile").write_text("FROM mine\n")
    done = run("plan", place / "survey.json", "-o", tmp_path / "home", cwd=tmp_path, code=2)
    assert "Dockerfile" in done.stderr
    assert (tmp_path / "home/Dockerfile").read_text() == "FROM mine\n"


def test_a_link_of_the_tree_leads_to_no_file_of_this_machine(tmp_path: Path) -> None:
    root = old_genba.build(tmp_path / "root")
    outside = tmp_path / "outside.conf"
    outside.write_text("<source>\n  @type tail\n  path /outside-was-read\n</source>\n")
    (root / "etc/td-agent/more.conf").symlink_to(outside)
    (root / "opt/genba/way-out").symlink_to("/etc/hostname")
    run("survey", "--root", "root", cwd=tmp_path)
    text = (tmp_path / "survey.json").read_text()
    assert "/outside-was-read" not in text


def test_hostile_names_are_data(tmp_path: Path) -> None:
    root = old_genba.build(tmp_path / "root")
    evil = "x$(touch pwned)`touch pwned`\n; touch pwned"
    (root / "opt/genba" / evil).write_text("data")
    (root / "opt/genba" / b"\xff\xfe".decode("utf-8", "surrogateescape")).write_text("data")
    unit = "[Unit]\nDescription=|<b>\n# h1\n[Service]\nExecStart=/opt/evil/run $(touch pwned)\n"
    (root / "etc/systemd/system/evil;touch pwned.service").write_text(unit)
    (root / "etc/systemd/system/multi-user.target.wants/evil;touch pwned.service").symlink_to(
        "/etc/systemd/system/evil;touch pwned.service"
    )
    run("survey", "--root", "root", cwd=tmp_path)
    run("plan", "survey.json", "-o", "home", cwd=tmp_path)
    assert not list(tmp_path.rglob("pwned"))
    for name in ("Dockerfile", "MOVING.md", "hikkoshi.yaml"):
        assert "\n; touch" not in (tmp_path / "home" / name).read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "this is no survey"),
        ('{"version": 0}', "of an older version (0"),
        ('{"version": 99}', "of a newer version (99"),
        ('{"version": 1, "host": 3}', "this survey is damaged"),
        ("[]", "it has no version"),
    ],
)
def test_what_is_no_survey_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "s.json").write_text(text)
    assert words in run("plan", "s.json", "-o", "home", cwd=tmp_path, code=2).stderr


def test_a_directory_that_is_no_system_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert (
        "no root of a Linux system" in run("survey", "--root", "empty", cwd=tmp_path, code=2).stderr
    )
