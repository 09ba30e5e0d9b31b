"""All rules on a whole made-up run, sick and healthy."""

from __future__ import annotations

import fake_run
import pytest

from hikkoshi.findings.judge import judge
from hikkoshi.findings.registry import RULES
from hikkoshi.model.findings import Certainty

FIVE = [
    "opens-a-connection-for-each-request",
    "repeats-a-query-for-each-row",
    "deadlocks-under-load",
    "saturates-task-cpu",
    "runs-out-of-file-descriptors",
]


def test_the_sick_run_has_all_five_as_facts(runs):
    judgement = runs["sick"][1].judgement
    facts = [f.rule for f in judgement.findings if f.certainty is Certainty.FACT]
    assert sorted(facts) == sorted(FIVE)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_healthy_run_has_none_and_every_rule_could_look(tmp_path, seed):
    with fake_run.build(tmp_path, healthy=True, seed=seed) as store:
        judgement = judge(store)
    assert judgement.findings == () and judgement.consequences == ()
    apart = [rule.rule for rule in judgement.not_judged if not rule.is_applicable]
    assert [rule for rule in judgement.not_judged if rule.is_applicable] == []
    assert apart == ["is-throttled"], "the run says that nothing enforces the limits"
    assert len(judgement.clean) == len(RULES) - 1
