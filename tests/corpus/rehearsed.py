"""From a case to a project's files, and from its rehearsal to the rules that were named."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cases import FLASK, GO, MARIADB, NODE, PYTHON, Case

SERVICES = Path(__file__).parent / "services"
HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")
IMAGE, ROUTER = "corpus/service:1", "corpus/log-router:1"
STAND_IN = "public.ecr.aws/aws-observability/aws-for-fluent-bit:stable"
DEADLINE_S = 240


@dataclass(frozen=True)
class Named:
    """Rule → certainty of what was found; what followed from it; the run's exit code."""

    code: int
    findings: dict[str, str]
    consequences: dict[str, str]
    not_judged: dict[str, str]
    said: str

    def certainty(self, rule: str) -> str | None:
        return self.findings.get(rule)

    @property
    def facts(self) -> set[str]:
        return {rule for rule, certainty in self.findings.items() if certainty == "fact"}


def project_of(case: Case, directory: Path, *, is_planted: bool) -> dict[str, str]:
    """Write the project; returns its settings. A twin's files are the same for all cases with the
    same settings, so they tell which twins are one."""
    settings = {"cpu": "1024", "memory": "2048", "nofile": "4096", "pool": "6", "health": "10"}
    settings |= case.setup
    planted = case.rule
    if case.of_project:
        planted = ""
        settings |= case.of_project if is_planted else {}
    directory.mkdir(parents=True)
    app = directory / "app"
    shutil.copytree(SERVICES, app)
    if case.language == GO:
        build_go(app / "go")
    environment = {"PLANTED": planted if is_planted else "", "POOL": settings["pool"]}
    if case.language == FLASK:
        environment["FLASK"] = "1"
    if settings.get("bounded"):
        environment["BOUNDED"] = "1"
    container = _container(case, settings, environment)
    containers = [container]
    if "router" in settings:
        containers.append(_router())
    task = {
        "family": "corpus", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "cpu": settings["cpu"], "memory": settings["memory"], "containerDefinitions": containers,
        "executionRoleArn": "arn:aws:iam::123456789012:role/corpus",
    }  # fmt: skip
    (directory / "ecs-task-def.json").write_text(json.dumps(task, indent=1))
    (directory / "ecs-service-def.json").write_text(json.dumps(_service(), indent=1))
    (directory / "targets.http").write_text("GET /list\n\nPOST /touch\n")
    (directory / "hikkoshi.yaml").write_text(yaml.safe_dump(_settings(case, settings)))
    return {**settings, **environment}


def _container(
    case: Case, settings: dict[str, str], environment: dict[str, str]
) -> dict[str, object]:
    container: dict[str, object] = {
        "name": "app", "image": IMAGE, "essential": True,
        "stopTimeout": int(settings.get("stop_timeout", "30")),
        "portMappings": [{"containerPort": 8080}],
        "environment": [{"name": k, "value": v} for k, v in environment.items()],
        "ulimits": [
            {"name": "nofile", "softLimit": int(settings["nofile"]),
             "hardLimit": int(settings["nofile"])}
        ],
    }  # fmt: skip
    if case.has_database:
        container["secrets"] = [{"name": "DATABASE_URL", "valueFrom": "corpus/database-url"}]
    if "router" in settings:
        container["dependsOn"] = [{"containerName": "log-router", "condition": "START"}]
        container["logConfiguration"] = {
            "logDriver": "awsfirelens",
            "options": {
                "Name": "datadog", "Host": "http-intake.logs.ap1.datadoghq.com", "TLS": "on",
                "apikey": "0123456789abcdef0123456789abcdef", "provider": "ecs",
            },
        }  # fmt: skip
    elif "log" in settings:
        container["logConfiguration"] = {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": "/ecs/corpus", "awslogs-region": "ap-northeast-1",
                "awslogs-stream-prefix": "app", "awslogs-create-group": "true",
                "mode": settings["log"],
            },
        }  # fmt: skip
    return container


def _router() -> dict[str, object]:
    return {
        "name": "log-router", "image": ROUTER, "essential": False,
        "firelensConfiguration": {
            "type": "fluentbit",
            "options": {"config-file-type": "file", "config-file-value": "/router.conf"},
        },
    }  # fmt: skip


def _service() -> dict[str, object]:
    return {
        "serviceName": "corpus", "launchType": "FARGATE", "desiredCount": 2,
        "deploymentConfiguration": {
            "minimumHealthyPercent": 100, "maximumPercent": 200,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        },
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        "loadBalancers": [
            {"targetGroupArn": "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:"
             "targetgroup/corpus/0123456789abcdef", "containerName": "app", "containerPort": 8080}
        ],
    }  # fmt: skip


def _settings(case: Case, settings: dict[str, str]) -> dict[str, object]:
    embedded: dict[str, object] = {"copy": {"app": "/app"}, "working_directory": "/app"}
    if case.language in (PYTHON, FLASK):
        packages = ["flask"] if case.language == FLASK else []
        if case.has_database:
            packages += ["psycopg", "psycopg-binary", "psycopg-pool"]
        embedded |= {"from": "localhost/python", "packages": packages,
                     "command": ["python3", "/app/service.py"]}  # fmt: skip
    elif case.language == MARIADB:
        embedded |= {"from": "localhost/python", "packages": ["pymysql"],
                     "command": ["python3", "/app/maria.py"]}  # fmt: skip
    elif case.language == NODE:
        node = shutil.which("node")
        embedded |= {"from": "localhost/host", "command": [node, "/app/service.js"]}
    else:
        embedded |= {"from": "localhost/host", "command": ["/app/go/service"]}
    images: dict[str, object] = {IMAGE: {"embedded": embedded}}
    if "router" in settings:
        images[ROUTER] = {
            "embedded": {"from": STAND_IN, "copy": {f"app/{settings['router']}": "/router.conf"}}
        }
    wanted: dict[str, Any] = {
        "region": "ap-northeast-1", "cluster": "corpus", "images": images,
        "load_balancer": {
            "target_group": "corpus",
            "health_check": {"path": "/health", "interval": f"{float(settings['health']) / 2}s",
                             "timeout": "2s", "unhealthy_threshold": 2},
        },
        "load": {"targets": "targets.http", "rate": f"{case.rate}/s"},
        "limits": {"p99": settings.get("p99", "2s")},
    }  # fmt: skip
    if case.has_database:
        wanted["database"] = {
            "cluster": "corpus", "name": "corpus", "user": "corpus", "instances": 2,
            "parameters": {"max_connections": 60}, "schema": ["app/schema.sql"],
        }  # fmt: skip
        scheme = "postgresql"
        if case.language == MARIADB:
            scheme = "mysql"
            wanted["database"] |= {"engine": "aurora-mysql", "schema": ["app/maria.sql"]}
        wanted["secrets"] = {
            "corpus/database-url": scheme + "://{user}:{password}@{endpoint}:{port}/{name}"
        }
    return wanted


def build_go(directory: Path) -> None:
    environment = {**os.environ, "GOFLAGS": "-p=1", "CGO_ENABLED": "0"}
    subprocess.run(
        ["go", "build", "-o", "service", "."], cwd=directory, env=environment, check=True,
        timeout=200,
    )  # fmt: skip


def rehearse(case: Case, directory: Path) -> Named:
    """As a user does, in a home of its own."""
    home = directory.parent / f"{directory.name}-home"
    home.mkdir(exist_ok=True)
    kept = ("PATH", "LANG", "LC_ALL", "TMPDIR")
    environment = {k: os.environ[k] for k in kept if k in os.environ}
    environment |= {"HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
    words = [HIKKOSHI, "rehearse", str(directory), "--only", case.only, "--json"]
    done = subprocess.run(
        words + (["--quick"] if case.is_quick else []), env=environment, capture_output=True,
        text=True, timeout=DEADLINE_S, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode == 3 or not done.stdout.startswith("{"):
        # It never came up: the rules that can tell why are named in the error.
        named = dict(re.findall(r"^  ([a-z-]+) \((fact|likely|hint)\):", done.stderr, re.MULTILINE))
        return Named(done.returncode, named, {}, {}, done.stderr[-2000:])
    judgement = json.loads(done.stdout)["judgement"]
    order = ("hint", "likely", "fact")
    findings: dict[str, str] = {}
    for each in judgement["findings"]:
        before = findings.get(each["rule"], "hint")
        findings[each["rule"]] = max(before, each["certainty"], key=order.index)
    return Named(
        done.returncode,
        findings,
        {each["rule"]: each["cause"] for each in judgement["consequences"]},
        {r["rule"]: r["why"] for r in judgement["not_judged"] if r["is_applicable"]},
        done.stderr[-2000:],
    )
