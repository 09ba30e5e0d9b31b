"""A load cut into shares: nothing is lost or sent twice, and the figures add up to one run's."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server import Server

from hikkoshi.base.errors import BadInput
from hikkoshi.load.attack import Attack, Tls
from hikkoshi.load.counting import count_records, totals_of
from hikkoshi.load.failures import CODE_OF, Failure
from hikkoshi.load.judging import Outcome
from hikkoshi.load.pacer import Pacer, constant, parse_stages
from hikkoshi.load.report import summarize_files
from hikkoshi.load.results import RESULT, Record, ResultWriter, read_header, read_results
from hikkoshi.load.run import LoadRun
from hikkoshi.load.targets import order_by_weight, parse_targets
from hikkoshi.load.tasks.merge import Share, clock_problem, lines_of, merged, planned_of
from hikkoshi.load.tasks.plan import (
    attack_of,
    environment_names,
    notes_on,
    parse_bucket,
    parse_share,
    plan_document,
    refuse,
)
from hikkoshi.load.totals import EndpointTotals, Totals

TARGETS = "# weight: 3\n# name: home\nGET http://a.test/\n\nPOST http://a.test/notes\nX-A: b\n"


def attack(**more: object) -> Attack:
    chosen = {"pacer": constant(100, 2), "duration_s": 2.0, **more}
    return Attack(parse_targets(TARGETS), **chosen)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "stages", ["100/2s", "0..50/3s,50/1s", "sine(40,20,2s)/4s", "spike(5,80,1s,1s,1s)"]
)
@pytest.mark.parametrize(("tasks", "processes"), [(1, 1), (2, 1), (3, 2), (7, 3)])
def test_the_shares_together_are_the_single_load(stages: str, tasks: int, processes: int) -> None:
    pacer = parse_stages(stages)
    whole = attack(pacer=pacer, duration_s=pacer.duration_s, connections=100, queue=1000)
    cut = []
    for task in range(tasks):
        mine = dataclasses.replace(whole, share=(task, tasks), processes=processes)
        documents = [mine.document((at, processes), Path("r")) for at in range(processes)]
        cut += [document["share"] for document in documents]
        assert planned_of(whole, (task, tasks)) == len(range(task, pacer.count, tasks))
    assert sorted(cut) == [[at, tasks * processes] for at in range(tasks * processes)]
    due = sorted(
        (first + n * stride, t)
        for first, stride in cut
        for n, t in enumerate(pacer.schedule(first, stride))
    )
    assert due == list(enumerate(pacer.schedule()))
    shares = [
        dataclasses.replace(whole, share=(task, tasks)).document((0, 1), Path("r"))
        for task in range(tasks)
    ]
    assert sum(each["connections"] for each in shares) == 100


def test_a_plan_comes_back_from_its_document_whole(tmp_path: Path) -> None:
    (tmp_path / "feed.csv").write_text("user\nann\n")
    (tmp_path / "ca.pem").write_text("a certificate")
    plan = attack(
        expect="p99<1s", feed=tmp_path / "feed.csv", processes=2, name="n", redirects=2,
        tls=Tls(root_certs=tmp_path / "ca.pem", server_name="b.test"), is_tls_verified=False,
    )  # fmt: skip
    document = plan_document(plan, 3, 60.0)
    there = tmp_path / "task"
    there.mkdir()
    found = attack_of(document, (1, 3), there)
    assert (found.share, found.processes) == ((1, 3), 2)
    assert found.feed is not None and found.feed.read_text() == "user\nann\n"
    assert found.tls.root_certs is not None and found.tls.root_certs.parent == there
    same = dataclasses.replace(
        found, share=(0, 1), feed=plan.feed, tls=plan.tls, pacer=plan.pacer, targets=plan.targets
    )
    assert same == plan
    assert found.as_json()["targets"] == plan.as_json()["targets"]
    assert found.as_json()["pacer"] == plan.as_json()["pacer"]
    with pytest.raises(BadInput, match="plan for 3 tasks"):
        attack_of(document, (1, 4), there)


@pytest.mark.parametrize(
    ("more", "tasks", "words"),
    [
        ({}, 0, "0 tasks"),
        ({}, 501, "501 tasks"),
        ({"pacer": constant(1, 3), "duration_s": 3.0}, 4, "4 tasks for 3 requests"),
        ({"connections": 7, "processes": 2}, 4, "7 connections for 4 tasks of 2"),
        ({"tls": Tls(cert=Path("c.pem"))}, 2, "certificate is not given to tasks"),
    ],
)
def test_what_cannot_be_shared_is_refused(more: dict[str, object], tasks: int, words: str) -> None:
    with pytest.raises(BadInput, match=words) as told:
        refuse(attack(**more), tasks)
    assert told.value.fix


def test_places_and_shares_as_they_are_written() -> None:
    assert str(parse_bucket("s3://my-loads")) == "s3://my-loads/"
    assert str(parse_bucket("s3://my-loads/a/b/").below("x")) == "s3://my-loads/a/b/x/"
    assert parse_share("2/3") == (2, 3)
    for text in ("my-loads", "s3://", "s3://No_Such", "https://b.s3.amazonaws.com/"):
        with pytest.raises(BadInput, match="is no bucket"):
            parse_bucket(text)
    for text in ("3/3", "1", "-1/2", "a/b"):
        with pytest.raises(BadInput, match="is no share"):
            parse_share(text)


def test_what_the_tasks_need_of_their_environment_is_seen() -> None:
    targets = parse_targets(
        "GET http://h/${env:PATH_PART}\nAuthorization: Bearer ${env:TOKEN}\nX: $${env:NOT}\n"
    )
    assert environment_names(targets) == {"PATH_PART", "TOKEN"}
    assert notes_on(attack(), targets) == []
    here = parse_targets("GET http://localhost:8080/\n")
    assert "the task itself" in notes_on(attack(), here)[0]


def test_a_clock_that_is_off_is_told() -> None:
    good = {"ClockErrorBound": 0.4, "ClockSynchronizationStatus": "SYNCHRONIZED"}
    assert clock_problem({"now": 100.7, "clock": good}, 100.0) is None
    assert clock_problem({"now": 100.7, "clock": None}, 100.0) is None
    assert clock_problem({"now": 160.0, "clock": good}, 100.0) == "its clock is +60 s from S3's"
    wide = {**good, "ClockErrorBound": 180.0}
    assert "180 ms off" in (clock_problem({"now": 100.0, "clock": wide}, 100.0) or "")
    lost = {**good, "ClockSynchronizationStatus": "NOT_SYNCHRONIZED"}
    assert "not synchronized" in (clock_problem({"now": 100.0, "clock": lost}, 100.0) or "")


def totals_from(records: list[Record], pacer: Pacer) -> Totals:
    totals = Totals()
    of_target = [totals.endpoints.setdefault(name, EndpointTotals()) for name in ("home", "notes")]
    count_records(records, of_target)
    totals.planned = totals.issued = totals.done = len(records)
    totals.lateness.extend([record[10] for record in records])
    totals.last_issue_s = max(pacer.due(record[4]) for record in records)
    totals.last_done_s = max(record[7] for record in records)
    return totals


def made_records(pacer: Pacer, seed: int) -> list[Record]:
    dice = random.Random(seed)
    records: list[Record] = []
    for seq, due in enumerate(pacer.schedule()):
        took = dice.lognormvariate(-5, 1)
        is_ok = dice.random() < 0.9
        code = 0 if is_ok else CODE_OF[Failure.TIMEOUT]
        records.append(
            (RESULT, code, 200 if is_ok else 0, seq % 2, seq, due, due + took / 10, due + took,
             dice.randrange(999), 3, dice.random() / 1e4, 0, 0, is_ok)
        )  # fmt: skip
    return records


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(0, 1000))
def test_merged_figures_are_those_of_one_run(tasks: int, seed: int) -> None:
    pacer = constant(30, 2)
    plan = attack(pacer=pacer, expect="p99<10s, errors<50%")
    records = made_records(pacer, seed)
    alone = Share(0, "arn", totals_from(records, pacer))
    shares = [Share(task, "arn", totals_from(records[task::tasks], pacer)) for task in range(tasks)]
    one, many = (merged(plan, each, 1000.0, []) for each in ([alone], shares))
    assert dataclasses.replace(many, totals=one.totals) == one
    assert many.outcome is Outcome.PASSED
    for name in ("home", "notes"):
        found, known = (each.totals.endpoints[name] for each in (many, one))
        assert found.as_json() == known.as_json()
    assert many.totals.lateness.as_json() == one.totals.lateness.as_json()


def test_a_task_that_is_missing_or_late_makes_the_run_invalid() -> None:
    pacer = constant(30, 2)
    plan = attack(pacer=pacer)
    halves = [totals_from(made_records(pacer, 1)[at::2], pacer) for at in (0, 1)]
    good = Share(0, "arn", halves[0])
    for bad, words in (
        (Share(1, "arn", halves[1], began_late_s=0.8), "task 1 began 800 ms late"),
        (Share(1, "arn", Totals(planned=30), why="out of memory"), "task 1 is missing: out of mem"),
        (Share(1, "arn", halves[1], doubts=("was short of CPU",)), "task 1: was short of CPU"),
    ):
        summary = merged(plan, [good, bad], 0.0, [])
        assert summary.outcome is Outcome.INVALID
        assert any(words in doubt for doubt in summary.invalid), summary.invalid
    lines = list(lines_of([good, Share(1, "arn", Totals(planned=30), why="gone")]))
    assert "30 requests" in lines[0] and "on time" in lines[0]
    assert "missing" in lines[1]


def test_shares_that_were_really_sent_are_the_load_and_read_as_one(
    server: Server, tmp_path: Path
) -> None:
    targets = parse_targets(
        f"# weight: 3\n# name: home\nGET {server.url}/\n\nGET {server.url}/missing\n"
    )
    whole = Attack.paced(targets, constant(100, 0.5), timeout_s=20.0)
    runs = [
        LoadRun(dataclasses.replace(whole, share=(at, 2)), tmp_path / f"r.{at}") for at in (0, 1)
    ]
    with runs[0], runs[1]:
        summaries = [run.wait(30.0) for run in runs]
    files = [path for run in runs for path in run.files]
    assert [read_header(path)["share"] for path in files] == [[0, 2], [1, 2]]
    found = sorted((r.seq, r.intended, r.target) for path in files for r in read_results(path))
    order = order_by_weight(targets)
    due = enumerate(constant(100, 0.5).schedule())
    assert found == [(seq, t, order[seq % len(order)]) for seq, t in due]
    counts = [sum(target == at for _, _, target in found) for at in (0, 1)]
    both = merged(whole, [Share(at, "arn", s.totals) for at, s in enumerate(summaries)], 0.0, files)
    again = summarize_files(files)
    assert again.whole.latency == both.whole.latency
    assert again.whole.statuses == both.whole.statuses == {200: counts[0], 404: counts[1]}


def test_what_a_lost_task_left_is_read_up_to_its_torn_end(tmp_path: Path) -> None:
    path = tmp_path / "r"
    writer = ResultWriter(
        path, {"trial": "load", "t_start": 0, "targets": [["GET", "/", "home"], ["GET", "/n", "n"]]}
    )
    writer.extend(made_records(constant(10, 1), 1))
    writer.close()
    path.write_bytes(path.read_bytes()[:-5])
    assert totals_of(path).done == 9
