"""What a ship knows of services whose traffic ECS shifts: pure, as tables."""

from __future__ import annotations

import pytest

from hikkoshi.ship.blue_green import describe_stage, target_groups, waits_s
from hikkoshi.ship.verify_traffic import groups_of


@pytest.mark.parametrize(
    ("configuration", "seconds"),
    [
        ({}, 0),
        ({"bakeTimeInMinutes": 9}, 0),
        ({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5}, 300),
        ({"strategy": "CANARY"}, 600),
        ({"strategy": "CANARY", "bakeTimeInMinutes": 1,
          "canaryConfiguration": {"canaryBakeTimeInMinutes": 2}}, 180),
        ({"strategy": "LINEAR"}, 9 * 360),
        ({"strategy": "LINEAR", "bakeTimeInMinutes": 1, "linearConfiguration": {
            "stepPercent": 40.0, "stepBakeTimeInMinutes": 1}}, 180),
    ],
)  # fmt: skip
def test_what_a_strategy_waits_by_design(configuration, seconds):
    assert waits_s({"deploymentConfiguration": configuration}) == seconds


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"status": "IN_PROGRESS"}, None),
        ({"status": "IN_PROGRESS", "lifecycleStage": "SCALE_UP"},
         "SCALE_UP (the new tasks start, without traffic)"),
        ({"status": "IN_PROGRESS", "lifecycleStage": "PRODUCTION_TRAFFIC_SHIFT",
          "targetServiceRevision": {"requestedProductionTrafficWeight": 12.5}},
         "PRODUCTION_TRAFFIC_SHIFT, 12.5% of production traffic (production traffic goes to the "
         "new tasks)"),
        ({"status": "ROLLBACK_IN_PROGRESS", "lifecycleStage": "CLEAN_UP"},
         "CLEAN_UP (going back: the new tasks end)"),
        ({"status": "IN_PROGRESS", "lifecycleStage": "ONE_OF_NEXT_YEAR"}, "ONE_OF_NEXT_YEAR"),
    ],
)  # fmt: skip
def test_a_stage_is_named_and_explained(record, said):
    assert describe_stage(record) == said


def test_the_target_groups_of_a_service_and_of_a_rule():
    entry = {"targetGroupArn": "a", "advancedConfiguration": {"alternateTargetGroupArn": "b"}}
    assert target_groups([entry, {"targetGroupArn": "a"}, {"loadBalancerName": "old"}]) == [
        "a", "b"
    ]  # fmt: skip
    two = [{"TargetGroupArn": "a"}, {"TargetGroupArn": "b"}]
    actions = [{"Type": "forward", "ForwardConfig": {"TargetGroups": two}}]
    assert groups_of(actions) == {"a", "b"}
    assert groups_of([{"Type": "forward", "TargetGroupArn": "a"}]) == {"a"}
    assert groups_of([{"Type": "redirect"}]) == set()
