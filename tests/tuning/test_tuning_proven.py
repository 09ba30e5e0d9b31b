"""What a rehearsal of a proposal showed, in tables; tests/rehearse tries a real one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from hikkoshi.base.errors import BadInput
from hikkoshi.model.findings import Certainty, Finding, Judgement
from hikkoshi.model.trials import Outcome, TrialResult
from hikkoshi.project.load import load_project
from hikkoshi.tuning import resources
from hikkoshi.tuning.choice import Choice, Edit, NotJudged
from hikkoshi.tuning.measured import Held, Measured
from hikkoshi.tuning.present import Objective, objective_of, present_of
from hikkoshi.tuning.proven import against, untried

GENBA = Path(__file__).parents[2] / "examples" / "genba" / "after"
SAID = "seen"


def trial(name: str, outcome: Outcome = Outcome.HELD, **more: bool) -> TrialResult:
    return TrialResult(name, name, outcome, SAID, 0.0, 1.0, **more)


def found(rule: str, certainty: Certainty = Certainty.FACT) -> Judgement:
    return Judgement(findings=(Finding(rule, certainty, "x", SAID, (), ()),))


@pytest.mark.parametrize(
    ("trials", "after", "reasons", "new"),
    [
        ([trial("steady"), trial("soak")], Judgement(), (), ()),
        ([trial("steady", Outcome.BROKE)], Judgement(), ("steady broke: seen",), ()),
        (
            [trial("steady"), trial("kill-task", Outcome.NOT_TRIED)], Judgement(),
            ("kill-task was not tried: seen",), (),
        ),
        (
            [trial("steady"), trial("synthetic", Outcome.NOT_TRIED, is_applicable=False)],
            Judgement(), (), (),
        ),
        ([trial("synthetic")], Judgement(), ("nothing was sent at the planned rate",), ()),
        ([], Judgement(), ("nothing was sent at the planned rate",), ()),
        ([trial("steady")], found("known"), (), ()),
        ([trial("steady")], found("fresh"), ("fresh (fact) is new: seen",), ("fresh",)),
        ([trial("steady")], found("fresh", Certainty.HINT), (), ()),
    ],
)  # fmt: skip
def test_what_counts_against_a_proposal(trials, after, reasons, new) -> None:
    assert against(trials, found("known", Certainty.LIKELY), after) == (reasons, new)


def test_what_is_no_part_of_the_diff_was_not_tried() -> None:
    edit = Edit("task", ("cpu",), "512")
    size = Choice("size", "1", "2", Certainty.LIKELY, (), (edit,))
    kept = Choice("kept", "1", "1", Certainty.FACT, ())
    advice = Choice("advice", "1", "2", Certainty.LIKELY, ())
    answers = (size, kept, advice, NotJudged("none", "no evidence"))
    assert untried(answers, [edit]) == ("advice",)
    assert untried(answers, []) == ("size", "advice")


RUN = Measured(
    planned=(Held("steady", 100, 60, 6000, 0.0, 0.1, 0.4, 2, cpu_s=60.0, cpu_share=0.5),),
    busy_peak=6, connections_peak=16, connection_tasks=2, connection_limit=100,
    database="aurora-postgresql",
)  # fmt: skip
GOAL = Objective(0.5, 0.001, 15, 100)


@pytest.mark.parametrize(
    ("variable", "limit", "value", "wanted"),
    [
        ("DB_MAX_OPEN", 100, 8, "DB_MAX_OPEN 8"),  # 6 wanted, 19 fit: as it is
        ("DB_MAX_OPEN/2", 100, 8, "DB_MAX_OPEN 8"),
        ("DB_MAX_OPEN", 40, 8, "DB_MAX_OPEN 6"),  # 7 fit
        ("DB_MAX_OPEN/2", 40, 8, "DB_MAX_OPEN 3"),
        ("DB_MAX_OPEN", 100, 2, "DB_MAX_OPEN 6"),
        ("DB_MAX_OPEN/9", 40, 8, None),
    ],
)
def test_the_pool_goes_where_the_user_says(variable, limit, value, wanted) -> None:
    present = present_of(load_project(GENBA), variable)
    assert present.pool is not None and (present.pool.value, present.pool.index) == (8, 1)
    present = dataclasses.replace(present, pool=dataclasses.replace(present.pool, value=value))
    run = dataclasses.replace(RUN, connection_limit=limit)
    answer = resources.decide_pool(run, present, GOAL, 2)
    if wanted is None:
        assert isinstance(answer, NotJudged) and "9 processes a task" in answer.why
        return
    assert isinstance(answer, Choice) and answer.wanted == wanted
    assert answer.is_change == bool(answer.edits)
    for edit in answer.edits:
        assert edit.path == ("containerDefinitions", 0, "environment", 1, "value")
        assert edit.value == wanted.split()[1]


@pytest.mark.parametrize(
    ("variable", "what"),
    [
        ("DB_MAX_OPENED", "has no variable 'DB_MAX_OPENED'"),
        ("DB_MAX_OPEN/no", "'no' is no number of processes"),
        ("DB_MAX_OPEN/0", "'0' is no number of processes"),
        ("AWS_XRAY_DAEMON_ADDRESS", "no number of connections"),
    ],
)
def test_a_variable_that_cannot_hold_the_size_is_refused(variable, what) -> None:
    with pytest.raises(BadInput, match=what):
        present_of(load_project(GENBA), variable)


def test_a_project_is_loaded_as_its_documents_would_be() -> None:
    text = (GENBA / "ecs-task-def.json").read_text()
    project = load_project(GENBA, {"ecs-task-def.json": text.replace('"512"', '"256"')})
    assert project.task_definition["cpu"] == "256"
    assert project.service_definition == load_project(GENBA).service_definition
    assert objective_of(project).rate == 120
    with pytest.raises(BadInput, match=r"cpu|memory") as refused:
        load_project(GENBA, {"ecs-task-def.json": text.replace('"512"', '"7"')})
    assert "ecs-task-def.json:5" in str(refused.value.where)
    assert json.loads(text)["cpu"] == "512"
