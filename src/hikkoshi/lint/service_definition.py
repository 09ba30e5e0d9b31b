"""A service definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hikkoshi.fargate.problem import Problem
from hikkoshi.lint.task_definition import Found
from hikkoshi.project.aws_shapes import input_shape, shape_problems


def lint_service_definition(definition: Mapping[str, Any]) -> Iterator[Found]:
    named = {"serviceName": "unnamed", **definition}
    broken = list(shape_problems(named, input_shape("ecs", "CreateService")))
    for problem in broken:
        yield "aws-has-no-such-key", problem
    if broken:
        return
    deployment = definition.get("deploymentConfiguration") or {}
    key = ("deploymentConfiguration",)
    controller = (definition.get("deploymentController") or {}).get("type", "ECS")
    breaker = deployment.get("deploymentCircuitBreaker") or {}
    if controller == "ECS" and not breaker.get("enable"):
        yield (
            "deploys-without-a-circuit-breaker",
            Problem(
                (*key, "deploymentCircuitBreaker"),
                "a deploy whose tasks never become healthy goes on for ever",
                'add "deploymentCircuitBreaker": {"enable": true, "rollback": true}',
            ),
        )
    if deployment.get("minimumHealthyPercent") == 0 and definition.get("desiredCount", 1):
        yield (
            "lets-a-deploy-stop-everything",
            Problem(
                (*key, "minimumHealthyPercent"),
                "with minimumHealthyPercent 0 a deploy may stop every task first",
                "100 keeps as many as now; 50 halves them for a moment",
            ),
        )
    if definition.get("loadBalancers") and "healthCheckGracePeriodSeconds" not in definition:
        yield (
            "gives-no-time-to-start",
            Problem(
                ("healthCheckGracePeriodSeconds",),
                "a task is held to its health checks from its first second on",
                "set healthCheckGracePeriodSeconds to what the application takes to start",
            ),
        )
