"""How long a deploy of a trial may take."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from hikkoshi.trials.deploying import deadline_s
from hikkoshi.trials.pace import Pace

LINEAR = {"stepPercent": 25.0, "stepBakeTimeInMinutes": 6}


@pytest.mark.parametrize(
    ("configuration", "more_s"),
    [
        (None, 0),
        ({"bakeTimeInMinutes": 9}, 0),
        ({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 10}, 5),
        ({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0}, 0),
        ({"strategy": "LINEAR", "linearConfiguration": LINEAR, "bakeTimeInMinutes": 1}, 20),
    ],
)
def test_what_ecs_waits_by_design_comes_on_top(configuration, more_s):
    """As a rehearsal shortens it: 5 s a step, and for bake time."""
    definition = {"deploymentConfiguration": configuration} if configuration else {}
    context = SimpleNamespace(
        pace=Pace.quick(), project=SimpleNamespace(service_definition=definition)
    )
    assert deadline_s(context) == Pace.quick().deploy_deadline_s + more_s
