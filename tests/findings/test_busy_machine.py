"""Findings on a machine that had no processor left."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from hikkoshi.evidence.windows import windows_of
from hikkoshi.findings.judge import judge
from hikkoshi.findings.machine import how_busy
from hikkoshi.findings.rule import Applies
from hikkoshi.model.findings import Certainty, Finding
from hikkoshi.region.task.machine import Ticks, busy_share, parse, read

STAT = """cpu  100 10 50 800 40 0 5 5 7 0
cpu0 50 5 25 400 20 0 3 2 7 0
cpu1 50 5 25 400 20 0 2 3 0 0
intr 5
"""


def rule(name, certainty=None):
    found = certainty and Finding(name, certainty, "s", "t", (), ())
    return SimpleNamespace(
        NAME=name, TITLE=name, APPLIES=Applies(), judge=lambda evidence, windows: found
    )


RULES = (
    rule("holds-locks-long", Certainty.FACT),
    rule("grows-in-memory", Certainty.HINT),
    rule("repeats-a-query-for-each-row", Certainty.FACT),
    rule("saturates-task-cpu"),
    rule("binds-localhost"),
)


def sampled(made_run, shares):
    made_run.trial("steady", 0, 10)
    for k, share in enumerate(shares):
        made_run.row("machine", t=float(k), processors=2, busy_share=share)
    return made_run.store()


def test_what_is_measured_in_time_is_likely_and_no_fact(made_run):
    with sampled(made_run, [0.99] * 10) as store:
        judgement = judge(store, windows_of(store), RULES)
    assert {one.rule: one.certainty for one in judgement.findings} == {
        "holds-locks-long": Certainty.LIKELY,
        "grows-in-memory": Certainty.HINT,
        "repeats-a-query-for-each-row": Certainty.FACT,
    }
    (locks,) = [one for one in judgement.findings if one.rule == "holds-locks-long"]
    assert locks.evidence[-1].value == "100%"
    assert [one.rule for one in judgement.not_judged] == ["saturates-task-cpu"]
    assert judgement.clean == ("binds-localhost",)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [([0.99] * 5 + [0.5] * 5, 0.5), ([0.99] * 4 + [0.9] * 6, None), ([0.6] * 10, None), ([], None)],
)
def test_when_a_machine_is_too_busy(made_run, shares, expected):
    with sampled(made_run, shares) as store:
        assert how_busy(store, windows_of(store)) == expected


def test_proc_stat_is_read():
    assert parse(STAT) == Ticks(processors=2, idle=840, total=1010)
    assert busy_share(Ticks(2, 840, 1010), Ticks(2, 890, 1210)) == 0.75
    assert busy_share(Ticks(2, 840, 1010), Ticks(2, 840, 1010)) is None


def test_this_machine_is_read():
    ticks = read()
    assert ticks.processors == os.cpu_count()
    assert 0 < ticks.idle < ticks.total
