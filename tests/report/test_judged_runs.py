"""The five rules on a whole made-up run, sick and healthy."""

from __future__ import annotations

import fake_run
import pytest

from hikkoshi.findings.judge import RULES, judge
from hikkoshi.model.findings import Certainty


def test_the_sick_run_has_all_five_as_facts(runs):
    judgement = runs["sick"][1].judgement
    facts = [f.rule for f in judgement.findings if f.certainty is Certainty.FACT]
    assert sorted(facts) == sorted(rule.NAME for rule in RULES)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_healthy_run_has_none_and_every_rule_could_look(tmp_path, seed):
    with fake_run.build(tmp_path, healthy=True, seed=seed) as store:
        judgement = judge(store)
    assert judgement.findings == () and judgement.not_judged == ()
    assert len(judgement.clean) == len(RULES)
