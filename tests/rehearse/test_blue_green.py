"""A rehearsal of a service that ECS deploys by blue/green: its deploys go through it."""

from __future__ import annotations

import json

import pytest
from rehearsing import Home

pytestmark = [pytest.mark.region, pytest.mark.slow, pytest.mark.alone]

ACCOUNT = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012"
SETTINGS = """\
cluster: shifting
load_balancer: {target_group: web, health_check: {path: /}}
load: {targets: targets.http, rate: 10/s}
limits: {p99: 5s, errors: 0.1%}
"""
TASK = {
    "family": "web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
    "cpu": "256", "memory": "512", "containerDefinitions": [{
        "name": "web", "image": "localhost/host", "portMappings": [{"containerPort": 8080}],
        "command": ["sh", "-c", "mkdir -p /tmp/www && echo well > /tmp/www/index.html && "
                    "{ python3 -m http.server 8080 --directory /tmp/www & } && "
                    "trap 'kill %1; exit 0' TERM && wait"],
    }],
}  # fmt: skip
SERVICE = {
    "serviceName": "web", "launchType": "FARGATE", "desiredCount": 2,
    "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-0a1b2c3d4e5f60718"]}},
    "deploymentConfiguration": {
        "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 10,
        "deploymentCircuitBreaker": {"enable": True, "rollback": True}},
    "loadBalancers": [{
        "targetGroupArn": f"{ACCOUNT}:targetgroup/web/0123456789abcdef", "containerName": "web",
        "containerPort": 8080, "advancedConfiguration": {
            "alternateTargetGroupArn": f"{ACCOUNT}:targetgroup/web-2/0123456789abcdef",
            "productionListenerRule": f"{ACCOUNT}:listener-rule/app/web/1/2/3",
            "roleArn": "arn:aws:iam::123456789012:role/ecs"}}],
}  # fmt: skip


def test_the_deploy_trials_of_a_blue_green_service(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "hikkoshi.yaml").write_text(SETTINGS)
    (project / "ecs-task-def.json").write_text(json.dumps(TASK))
    (project / "ecs-service-def.json").write_text(json.dumps(SERVICE))
    (project / "targets.http").write_text("GET /\n")
    code, out, err = Home(tmp_path / "home").run(
        "rehearse", project, "--quick", "--only", "kill-task,rolling-deploy,bad-deploy", "--json",
        timeout=240,
    )  # fmt: skip
    assert code in (0, 1), err
    trials = {trial["name"]: trial for trial in json.loads(out)["trials"]}
    for name in ("kill-task", "rolling-deploy", "bad-deploy"):
        assert trials[name]["outcome"] == "held", (trials[name]["reason"], err)
    # Bake time is in it, as a rehearsal shortens it.
    (took,) = [m for m in trials["rolling-deploy"]["measures"] if m["name"] == "deploy took"]
    assert took["value"] > 5
    assert "rolled back to" in trials["bad-deploy"]["reason"]
