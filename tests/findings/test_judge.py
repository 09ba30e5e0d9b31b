from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from hikkoshi.base.errors import BadInput
from hikkoshi.evidence.windows import Windows, windows_of
from hikkoshi.findings import rules
from hikkoshi.findings.explain import page_of, rule_titles
from hikkoshi.findings.judge import gather, judge
from hikkoshi.findings.registry import CAUSES, RULES
from hikkoshi.findings.rule import PLANNED, Applies, Need, why_not
from hikkoshi.model.findings import Certainty, Finding, NotJudged

FIRST = [
    "opens-a-connection-for-each-request",
    "repeats-a-query-for-each-row",
    "deadlocks-under-load",
    "saturates-task-cpu",
    "runs-out-of-file-descriptors",
]


def rule(name, answer, applies=None):
    return SimpleNamespace(
        NAME=name, TITLE=name, APPLIES=applies or Applies(), judge=lambda evidence, windows: answer
    )


def finding(name, certainty):
    return Finding(name, certainty, "s", "t", (), ())


def test_each_rule_ends_up_in_one_place_and_facts_come_first(made_run):
    hint, fact = finding("a", Certainty.HINT), finding("b", Certainty.FACT)
    likely, lacking = finding("b", Certainty.LIKELY), NotJudged("c", "no samples")
    rules = [rule("a", hint), rule("b", (likely, fact)), rule("c", lacking), rule("d", None),
             rule("e", ())]  # fmt: skip
    with made_run.store() as store:
        judgement = judge(store, Windows(()), rules)
    assert judgement.findings == (fact, likely, hint)
    assert judgement.not_judged == (lacking,)
    assert judgement.clean == ("d", "e")


def test_an_empty_run_is_judged_by_no_rule(made_run):
    with made_run.store() as store:
        judgement = judge(store)
    assert [row.rule for row in judgement.not_judged] == [each.NAME for each in RULES]
    assert not judgement.findings and not judgement.clean


def test_names_files_and_pages_agree():
    names = [each.NAME for each in RULES]
    assert names[:5] == FIRST and names == list(rule_titles())
    assert len(names) == len(set(names)) == 29
    folder = Path(rules.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == {
        name.replace("-", "_") for name in names
    }
    for each in RULES:
        assert each.__name__.rpartition(".")[2] == each.NAME.replace("-", "_")
        page = page_of(each.NAME)
        assert page.startswith(f"# {each.NAME}\n")
        headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
        assert headings == ["What it sees", "Why it matters", "Cure", "Limits"]
        assert "Python" in page or "```python" in page
        assert "Go" in page and "Node" in page
        assert re.search("[Ss]ettings|[Tt]ask definition|ulimits", page)


@pytest.mark.parametrize(
    ("applies", "meta", "why"),
    [
        (Applies((Need.DATABASE,)), {"database": "none"}, "no database"),
        (Applies((Need.DATABASE,)), {"database": "aurora-postgresql"}, None),
        (Applies((Need.DATABASE,)), {}, None),
        (Applies((Need.ROUTER, Need.LOAD)), {"load": "none"}, "nothing is sent"),
        (Applies(trials=("failover",)), {"left_out": "soak,failover"}, "failover was left out"),
        (Applies(trials=PLANNED), {"left_out": "soak"}, None),
        (Applies(trials=PLANNED), {"left_out": "steady,soak"}, "steady and soak were left out"),
    ],
)
def test_what_a_service_does_not_have_does_not_apply(applies, meta, why):
    answer = why_not("a-rule", applies, {"schema_version": "2", **meta})
    if why is None:
        assert answer is None
    else:
        assert why in answer.why and not answer.is_applicable


def test_a_run_from_before_a_rule_is_not_judged_by_it():
    answer = why_not("a-rule", Applies(since=2), {"schema_version": "1"})
    assert answer.is_applicable and "recorded before" in answer.why


def test_one_cause_is_one_finding():
    cause, effect = "saturates-task-cpu", "queues-without-bound"
    found = [finding(effect, Certainty.FACT), finding(cause, Certainty.FACT)]
    kept, consequences = gather(found)
    assert [one.rule for one in kept] == [cause]
    assert [(one.rule, one.cause) for one in consequences] == [(effect, cause)]
    assert effect in kept[0].details[-1]


def test_a_hint_explains_nothing():
    found = [
        finding("queues-without-bound", Certainty.FACT),
        finding("saturates-task-cpu", Certainty.HINT),
    ]
    assert gather(found) == (found, [])


def test_a_cause_that_follows_from_another_is_told_by_its_root():
    names = ["queues-without-bound", "collapses-past-the-knee", "is-killed-for-memory"]
    kept, consequences = gather([finding(name, Certainty.FACT) for name in names])
    assert [one.rule for one in kept] == names[2:]
    assert {one.cause for one in consequences} == {names[2]}


def test_causes_are_rules_and_go_in_no_circle():
    names = {each.NAME for each in RULES}

    def climb(name, seen):
        assert name not in seen
        for cause in CAUSES.get(name, ()):
            assert cause in names
            climb(cause, {*seen, name})

    for name in names:
        climb(name, set())


def test_an_unknown_rule_names_the_nearest():
    with pytest.raises(BadInput, match="saturates-task-cpu"):
        page_of("saturate_task_cpu")


def test_a_trial_that_never_ended_lasts_until_the_next_or_the_last_request(made_run):
    made_run.row("trials", name="steady", t_start=0, t_end=None)
    made_run.trial("overload", 10, 20)
    made_run.row("trials", name="soak", t_start=20, t_end=None)
    made_run.requests("soak", 20, 25, 4)
    with made_run.store() as store:
        windows = windows_of(store)
    lengths = {window.name: window.length_s for window in windows.trials}
    assert lengths == {"steady": 10, "overload": 10, "soak": pytest.approx(4.75)}
    assert [window.name for window in windows.planned] == ["steady", "soak"]
