"""The main job, from the command line to the verdict: the sick house and the sound one."""

from __future__ import annotations

import json
import re
import shutil
import time
import xml.etree.ElementTree as ElementTree

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from rehearsing import Home, copy_genba

from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.model.evidence import TABLES

pytestmark = [pytest.mark.region, pytest.mark.slow, pytest.mark.alone]

AFTER = "synthetic,steady,overload,kill-task,rolling-deploy,bad-deploy,router-crash"
BEFORE = "one-by-one,steady,overload,soak"
FIVE = {
    "opens-a-connection-for-each-request",
    "repeats-a-query-for-each-row",
    "deadlocks-under-load",
    "saturates-task-cpu",
    "runs-out-of-file-descriptors",
}


class Rehearsed:
    """One finished rehearsal: what it printed, and what it left."""

    def __init__(self, directory, home, only):
        self.project, self.home = directory, home
        self.secrets: dict[str, str] = {}
        with (home.path / "out").open("w+") as out, (home.path / "err").open("w+") as err:
            process = home.start(
                "rehearse", directory, "--quick", "--only", only, "--json", out=out, err=err
            )
            try:
                self._spy(process)
                self.code = process.wait(150)
            finally:
                process.kill()
                process.wait()
        self.out, self.err = (home.path / "out").read_text(), (home.path / "err").read_text()
        self.run = directory / ".hikkoshi" / "runs" / "latest"

    def _spy(self, process) -> None:
        """What the secrets are in this run: asked of its region while it is up."""
        store = boto3.client(
            "secretsmanager", endpoint_url=self.home.wait_api(process),
            region_name="ap-northeast-1", aws_access_key_id="a", aws_secret_access_key="a",
        )  # fmt: skip
        for name in ("genba/database-url", "genba/datadog-api-key"):
            while name not in self.secrets:
                assert process.poll() is None, (self.home.path / "err").read_text()
                try:
                    self.secrets[name] = store.get_secret_value(SecretId=name)["SecretString"]
                except (ClientError, BotoCoreError):
                    time.sleep(0.1)

    @property
    def verdict(self):
        return json.loads(self.out)

    def trial(self, name):
        (found,) = [t for t in self.verdict["trials"] if t["name"] == name]
        return found

    def measure(self, trial, name):
        (found,) = [m for m in self.trial(trial)["measures"] if m["name"] == name]
        return found["value"]


def rehearse(which, only, directory):
    project = copy_genba(directory / "genba") / which
    home = Home(directory / "home")
    try:
        return Rehearsed(project, home, only)
    finally:
        if home.regions():
            home.run("down", project)


@pytest.fixture(scope="module")
def after(tmp_path_factory):
    return rehearse("after", AFTER, tmp_path_factory.mktemp("after"))


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    return rehearse("before", BEFORE, tmp_path_factory.mktemp("before"))


@pytest.fixture
def evidence(after):
    with EvidenceStore.open(after.run / "evidence.duckdb") as store:
        yield store


def test_the_sound_house_is_ready(after):
    assert after.code == 0, after.out + after.err
    assert after.verdict["readiness"] == "ready"
    assert {t["name"]: t["outcome"] for t in after.verdict["trials"]} == dict.fromkeys(
        AFTER.split(","), "held"
    )
    assert after.verdict["judgement"]["findings"] == []
    (reason,) = [r for r in after.verdict["reasons"] if r.startswith("left out on request")]
    assert "failover" in reason


def test_the_verdict_document_stands_alone_on_stdout(after):
    assert after.out == (after.run / "verdict.json").read_text()
    assert after.verdict["schema"] == 1
    assert "\x1b" not in after.out + after.err
    for name in AFTER.split(","):
        assert f"{name}: " in after.err, "the progress goes to stderr"


def test_a_rolling_deploy_loses_no_request(after):
    assert after.measure("rolling-deploy", "requests failed") == 0
    assert after.measure("rolling-deploy", "requests sent") >= 100


def test_a_bad_deploy_is_rolled_back_to_a_deployment_by_name(after):
    assert after.measure("bad-deploy", "requests failed") == 0
    trial = after.trial("bad-deploy")
    (was,) = [n.removeprefix("before: ") for n in trial["notes"] if n.startswith("before: ")]
    (now,) = [n for n in trial["notes"] if n.startswith("rolled back to: ")]
    deployment, revision = was.split(" ")
    assert deployment.startswith("ecs-svc/")
    assert now.endswith(revision), "the task definition of before"
    assert "ecs-svc/" in now
    (bad,) = [n for n in trial["notes"] if n.startswith("bad: ")]
    assert revision not in bad
    assert "circuit breaker" in bad


def test_each_fault_is_proven(after, evidence):
    proven = dict(evidence.rows("SELECT trial, proof FROM faults WHERE proof IS NOT NULL"))
    assert {"kill-task", "router-crash"} <= proven.keys()
    assert "STOPPED" in proven["kill-task"]
    assert "exit code 137" in proven["router-crash"] or "restarted" in proven["router-crash"]


def test_the_run_s_directory_has_everything(after):
    names = {p.name for p in after.run.iterdir()}
    assert {"verdict.json", "report.html", "evidence.duckdb", "records", "load"} <= names
    assert after.run.is_symlink()
    assert after.run.resolve().name == after.verdict["run_id"]
    logs = list((after.run / "records" / "region" / "logs").glob("*/genba.log"))
    assert len(logs) >= 2
    page = (after.run / "report.html").read_text()
    assert "<html" in page
    assert 'src="http' not in page, "it works offline"
    assert 'href="http' not in page or "<link" not in page


def test_logs_reached_the_intake_with_ecs_metadata(evidence):
    rows = evidence.rows("SELECT record FROM delivered_logs WHERE destination LIKE '%datadog%'")
    assert rows
    records = [json.loads(record) for (record,) in rows]
    # With `provider ecs` the output turns ecs_task_arn and the others into Datadog's tags.
    tags = [dict(tag.split(":", 1) for tag in r["ddtags"].split(",")) for r in records]
    assert all(
        t["task_arn"].startswith("arn:aws:ecs:ap-northeast-1:123456789012:task/genba/")
        for t in tags
    )
    assert {t["container_name"] for t in tags} == {"genba"}
    assert {t["cluster_name"] for t in tags} == {"genba"}
    assert all(r["service"] == "genba" and r["source"] == "stdout" for r in records)


def test_spans_were_recorded_with_their_queries(evidence):
    ((segments, queries),) = evidence.rows(
        "SELECT count(*) FILTER (parent_id IS NULL), count(sql) FROM spans"
    )
    assert segments > 50
    assert queries > 50


def test_requests_went_out_at_the_planned_rate(evidence):
    ((sent, seconds),) = evidence.rows(
        "SELECT count(*), max(t_intended) - min(t_intended) FROM requests WHERE trial = 'steady'"
    )
    # Intended times are the plan's, whatever the machine was busy with.
    assert sent / seconds == pytest.approx(120, rel=0.05)


def test_secrets_are_in_no_file(after, evidence):
    url, key = after.secrets["genba/database-url"], after.secrets["genba/datadog-api-key"]
    password = url.split(":", 2)[2].rpartition("@")[0]
    assert len(password) >= 20
    assert len(key) >= 20
    for needle in (password, key):
        for file in after.run.resolve().rglob("*"):
            if file.is_file():
                assert needle.encode() not in file.read_bytes(), file
        for table in TABLES:
            assert evidence.rows(
                f'SELECT count(*) FROM "{table}" AS t WHERE t::VARCHAR LIKE ?', [f"%{needle}%"]
            ) == [(0,)], table
    assert password not in after.out + after.err
    assert key not in after.out + after.err


def test_nothing_of_the_region_is_left(after):
    assert after.home.regions() == []
    assert not (after.project / ".hikkoshi" / "region").exists()


def test_the_report_is_shown_again(after, tmp_path):
    code, out, err = after.home.run("report", after.project, "--junit", tmp_path / "j.xml")
    assert code == 0, err
    assert "ready" in out
    assert "report.html" in out
    cases = ElementTree.parse(tmp_path / "j.xml").getroot().iter("testcase")
    assert {"steady", "kill-task"} <= {case.get("name") for case in cases}
    code, out, _ = after.home.run("report", after.project, "--json")
    assert json.loads(out) == after.verdict


def test_the_run_is_tuned_and_the_result_is_a_valid_project(after, tmp_path):
    home, project = after.home, tmp_path / "genba" / "after"
    shutil.copytree(after.project.parent, project.parent, symlinks=True)
    code, out, error = home.run("tune", project, "--json")
    document = json.loads(out)
    answers = {one["setting"]: one for one in document["answers"]}
    assert len(answers) == 8 and document["objective"]["rate"] == 120
    size = answers["task size and number of tasks"]
    assert size["is_judged"], size
    assert "requests at 120/s cost" in size["because"][0]
    assert code == (0 if size["certainty"] != "hint" else 1), error
    assert document["cost"]["price"]["region"] == "ap-northeast-1"
    assert document["cost"]["now"] == pytest.approx(44.98, abs=0.01)
    assert "max_connections 60 − 3 reserved" in " ".join(answers["connection pool"]["because"])
    assert answers["stopTimeout"]["is_judged"]

    code, patch, _ = home.run("tune", project, "--patch")
    assert patch == document["patch"] and '-  "healthCheckGracePeriodSeconds": 5,' in patch
    code, shown, _ = home.run("tune", project, "--region", "mars-1")
    assert "price: not known for mars-1; known: ap-northeast-1" in shown
    code, shown, error = home.run("tune", project, "--write")
    assert patch in shown and "wrote" in shown
    assert home.run("check", project)[0] == 0
    written = json.loads((project / "ecs-service-def.json").read_text())
    assert written["healthCheckGracePeriodSeconds"] in range(10, 61)


def test_a_proposal_is_rehearsed_before_a_file_is_changed(after, tmp_path):
    """How the limits came out is the machine's affair; that they were tried as proposed, and said
    as they came out, is ours."""
    home, project = after.home, tmp_path / "genba" / "after"
    shutil.copytree(after.project.parent, project.parent, symlinks=True)
    was = (project / "ecs-service-def.json").read_bytes()
    code, out, error = home.run("tune", project, "--rehearse", "--json", timeout=400)
    document = json.loads(out)
    rehearsed = document["rehearsed"]
    assert [name for name, _, _ in rehearsed["trials"]] == [
        "synthetic", "steady", "soak", "kill-task", "rolling-deploy"
    ]  # fmt: skip
    assert rehearsed["is_met"] == (rehearsed["against"] == [])
    assert code == (0 if rehearsed["is_met"] else 1), error
    assert rehearsed["month_after"] and rehearsed["connections"][1] == 60
    assert "health check of the target group" not in document["patch"]
    runs = project / ".hikkoshi" / "runs"
    assert (runs / rehearsed["run_id"] / "proposal.diff").read_text() == document["patch"]
    assert (runs / "latest").resolve().name == after.verdict["run_id"]
    assert (project / "ecs-service-def.json").read_bytes() == was
    asked = re.search(r'^\+ +"desiredCount": (\d+)', document["patch"], re.MULTILINE)
    with EvidenceStore.open(runs / rehearsed["run_id"] / "evidence.duckdb") as store:
        assert store.meta()["desired_count"] == (asked[1] if asked else "2")


def test_the_sick_house_is_not_ready_and_the_five_are_named(before):
    assert before.code == 1, before.out + before.err
    assert before.verdict["readiness"] == "not ready"
    findings = before.verdict["judgement"]["findings"]
    assert {f["rule"] for f in findings} == FIVE
    assert len(findings) >= len(FIVE)


def test_each_finding_has_its_numbers_and_the_setting_to_change(before):
    for finding in before.verdict["judgement"]["findings"]:
        assert finding["certainty"] in ("fact", "likely"), finding["rule"]
        assert finding["summary"], finding["rule"]
        assert finding["advice"], finding["rule"]
        assert finding["evidence"], finding["rule"]
        assert any(e["threshold"] for e in finding["evidence"]), finding["rule"]
        assert any(r.startswith(finding["rule"]) for r in before.verdict["reasons"])


def test_each_rule_says_when_it_was_seen(before):
    findings = before.verdict["judgement"]["findings"]
    assert {f["rule"] for f in findings for e in f["evidence"] if e["t_start"]} == FIVE


def test_a_verdict_that_is_not_ready_is_json_too(before):
    assert before.out == (before.run / "verdict.json").read_text()
    assert before.home.regions() == []
