"""AWS's documents made to fit the region: what changes, what stays, and what is said of it."""

from __future__ import annotations

import copy

import pytest

from hikkoshi.model.project import HealthCheck, Seconds
from hikkoshi.trials.adapt import (
    adapt_service_definition,
    adapt_task_definition,
    application_container,
    lay_over,
    lengthen_grace,
)

HERE = "arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:prod/db-ZZZZZZ"
THERE = "arn:aws:secretsmanager:ap-northeast-1:999999999999:secret:prod/db-a1B2c3"
PARAMETER = "arn:aws:ssm:ap-northeast-1:999999999999:parameter/prod/key"
PARAMETER_HERE = "arn:aws:ssm:ap-northeast-1:123456789012:parameter/prod/key"


def task(*secrets, options=()):
    containers = [
        {"name": "app", "secrets": [{"name": "S", "valueFrom": s} for s in secrets]},
        {
            "name": "router",
            "logConfiguration": {
                "logDriver": "awsfirelens",
                "secretOptions": [{"name": "apikey", "valueFrom": o} for o in options],
            },
        },
    ]
    return {"family": "f", "containerDefinitions": containers}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (THERE, HERE),
        (f"{THERE}:password::", f"{HERE}:password::"),
        (f"{THERE}:password:AWSCURRENT:", f"{HERE}:password:AWSCURRENT:"),
        (f"{THERE}::AWSPREVIOUS:", f"{HERE}::AWSPREVIOUS:"),
        # The six characters may be left out of a partial ARN.
        ("arn:aws:secretsmanager:ap-northeast-1:9:secret:prod/db", HERE),
        (PARAMETER, PARAMETER_HERE),
        ("plain", "here:plain"),
    ],
)
def test_a_secret_leads_to_the_regions_own(asked, expected):
    arns = {"prod/db": HERE, "/prod/key": PARAMETER_HERE, "plain": "here:plain"}
    adapted, notes = adapt_task_definition(task(asked), arns)
    assert adapted["containerDefinitions"][0]["secrets"][0]["valueFrom"] == expected
    assert len(notes) == 1
    assert "a rehearsal value" in notes[0]


def test_secret_options_of_a_log_driver_too_and_each_name_is_told_once():
    original = task(THERE, f"{THERE}:user::", options=[THERE])
    kept = copy.deepcopy(original)
    adapted, notes = adapt_task_definition(original, {"prod/db": HERE})
    options = adapted["containerDefinitions"][1]["logConfiguration"]["secretOptions"]
    assert options == [{"name": "apikey", "valueFrom": HERE}]
    assert notes == ["secret prod/db: a rehearsal value in the region's own store"]
    assert original == kept, "the user's document is not touched"


SERVICE = {
    "serviceName": "s",
    "loadBalancers": [
        {"targetGroupArn": "arn:there", "containerName": "app", "containerPort": 80},
        {"targetGroupArn": "arn:there-too", "containerName": "app", "containerPort": 81},
    ],
    "networkConfiguration": {
        "awsvpcConfiguration": {
            "subnets": ["subnet-there"],
            "securityGroups": ["sg-there"],
            "assignPublicIp": "DISABLED",
        }
    },
}


def test_target_groups_subnets_and_security_groups_become_the_regions_own():
    kept = copy.deepcopy(SERVICE)
    adapted, notes = adapt_service_definition(
        SERVICE, target_group_arn="arn:here", subnets=["subnet-1"], security_groups=["sg-1"]
    )
    assert [b["targetGroupArn"] for b in adapted["loadBalancers"]] == ["arn:here", "arn:here"]
    assert [b["containerPort"] for b in adapted["loadBalancers"]] == [80, 81]
    assert adapted["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": ["subnet-1"],
        "securityGroups": ["sg-1"],
        "assignPublicIp": "DISABLED",
    }
    assert any("target group" in note for note in notes)
    assert any("subnets" in note for note in notes)
    assert kept == SERVICE, "the user's document is not touched"


def test_a_service_without_load_balancer_or_network_gets_only_the_network():
    adapted, notes = adapt_service_definition(
        {"serviceName": "s"}, target_group_arn=None, subnets=["subnet-1"], security_groups=[]
    )
    assert adapted == {
        "serviceName": "s",
        "networkConfiguration": {
            "awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": []}
        },
    }
    assert notes == ["subnets and security groups: those of the region's default VPC"]


def test_what_is_left_out_of_a_service_is_said():
    adapted, notes = adapt_service_definition(
        {"serviceRegistries": [{"registryArn": "arn"}]},
        target_group_arn=None,
        subnets=[],
        security_groups=[],
    )
    assert "serviceRegistries" not in adapted
    assert any("your Cloud Map service is not in the region" in note for note in notes)


@pytest.mark.parametrize(
    ("own", "check", "expected"),
    [
        (None, HealthCheck(interval=Seconds(30), unhealthy_threshold=2), 60),
        (5, HealthCheck(interval=Seconds(10), unhealthy_threshold=2), 20),
        (0, HealthCheck(interval=Seconds(0.5), unhealthy_threshold=3), 2),
        (60, HealthCheck(interval=Seconds(10), unhealthy_threshold=2), 60),
        (20, HealthCheck(interval=Seconds(10), unhealthy_threshold=2), 20),
    ],
)
def test_a_slow_start_has_as_long_as_the_checks_in_aws_would_give_it(own, check, expected):
    service = {"serviceName": "s"} | ({} if own is None else {"healthCheckGracePeriodSeconds": own})
    changed, note = lengthen_grace(service, check)
    assert changed == {"serviceName": "s", "healthCheckGracePeriodSeconds": expected}
    assert bool(note) is (expected != (own or 0))
    assert (f"{expected} (yours: {own or 0})" in note) is bool(note)


def test_environment_is_laid_over_one_container_only():
    definition = {
        "containerDefinitions": [
            {
                "name": "a",
                "environment": [{"name": "K", "value": "1"}, {"name": "B", "value": "0"}],
            },
            {"name": "b", "environment": [{"name": "B", "value": "0"}], "command": ["x"]},
            {"name": "c"},
        ]
    }
    kept = copy.deepcopy(definition)
    changed = lay_over(definition, "a", environment={"B": "9", "N": "new"}, command=("run", "it"))
    a, b, c = changed["containerDefinitions"]
    assert a == {
        "name": "a",
        "environment": [
            {"name": "K", "value": "1"},
            {"name": "B", "value": "9"},
            {"name": "N", "value": "new"},
        ],
        "command": ["run", "it"],
    }
    assert [b, c] == kept["containerDefinitions"][1:]
    assert definition == kept


def test_a_command_stays_when_none_is_laid_over():
    definition = {"containerDefinitions": [{"name": "a", "command": ["x"]}]}
    assert lay_over(definition, "a", environment={})["containerDefinitions"][0] == {
        "name": "a",
        "command": ["x"],
        "environment": [],
    }


@pytest.mark.parametrize(
    ("containers", "service", "expected"),
    [
        ([{"name": "side"}, {"name": "app"}], {"loadBalancers": [{"containerName": "app"}]}, "app"),
        ([{"name": "side", "essential": False}, {"name": "app"}], {}, "app"),
        ([{"name": "one"}, {"name": "two"}], {}, "one"),
    ],
)
def test_which_container_is_the_application(containers, service, expected):
    assert application_container({"containerDefinitions": containers}, service) == expected
