from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from hikkoshi.base.errors import BadInput
from hikkoshi.evidence.windows import Windows, windows_of
from hikkoshi.findings.explain import page_of, rule_titles
from hikkoshi.findings.judge import RULES, judge
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAMES = [
    "opens-a-connection-for-each-request",
    "repeats-a-query-for-each-row",
    "deadlocks-under-load",
    "saturates-task-cpu",
    "runs-out-of-file-descriptors",
]


def rule(name, answer):
    return SimpleNamespace(NAME=name, TITLE=name, judge=lambda evidence, windows: answer)


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
    assert [row.rule for row in judgement.not_judged] == NAMES
    assert not judgement.findings and not judgement.clean


def test_names_files_and_pages_agree():
    assert [rule.NAME for rule in RULES] == NAMES == list(rule_titles())
    for each in RULES:
        assert each.__name__.rpartition(".")[2] == each.NAME.replace("-", "_")
        page = page_of(each.NAME)
        assert page.startswith(f"# {each.NAME}\n")
        headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
        assert headings == ["What it sees", "Why it matters", "Cure", "Limits"]
        assert "```python" in page or "# Python" in page
        assert "Go" in page and "Node" in page


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
