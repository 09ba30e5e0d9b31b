"""Verifying a task definition: roles and trust, images, secrets, logs."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from hikkoshi.aws.access import Access, calling
from hikkoshi.ship import registry
from hikkoshi.ship.checks import Check, asking, branch, not_checked, ok, wrong
from hikkoshi.ship.home import Home

Document = dict[str, Any]
ReadRouter = Callable[[str], list[str]]
"""Path of a router's configuration → what is questionable in it. Raises HikkoshiError."""
_ECR = re.compile(
    r"^(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)(?::([^@]+))?"
    r"(?:@(sha256:[0-9a-f]{64}))?$"
)
_ARCHITECTURES = {"X86_64": "amd64", "ARM64": "arm64"}


# What each plugin of Fluent Bit cannot do without (Fluent Bit's manual, "Outputs").
_NEEDED: dict[str, tuple[str, ...]] = {
    "datadog": ("apikey",),
    "cloudwatch_logs": ("region", "log_group_name"),
    "cloudwatch": ("region", "log_group_name"),
    "s3": ("region", "bucket"),
    "firehose": ("region", "delivery_stream"),
    "kinesis_firehose": ("region", "delivery_stream"),
    "kinesis": ("region", "stream"),
    "kinesis_streams": ("region", "stream"),
}


def check_roles(access: Access, home: Home) -> Check:
    task = home.task_definition
    checks = []
    for key in ("executionRoleArn", "taskRoleArn"):
        arn = task.get(key)
        if arn is None:
            checks.append(ok(key, "none is named"))
        else:
            checks.append(asking(f"{key} {arn}", partial(_role, access, key, arn),
                                 ("NoSuchEntity",)))  # fmt: skip
    if task.get("executionRoleArn"):
        checks.append(
            asking("what the execution role may do", lambda: _allowed(access, home, task))
        )
    return branch("roles", *checks)


def _role(access: Access, key: str, arn: str) -> Check:
    name = f"{key} {arn}"
    iam = access.client("iam")
    role = calling("iam:GetRole", iam.get_role, RoleName=arn.rsplit("/", 1)[-1])["Role"]
    trust = role["AssumeRolePolicyDocument"]
    if isinstance(trust, str):
        trust = json.loads(urllib.parse.unquote(trust))
    if not trusts(trust, "ecs-tasks.amazonaws.com"):
        return wrong(
            name, "its trust policy does not let ECS tasks take it",
            'allow sts:AssumeRole to {"Service": "ecs-tasks.amazonaws.com"} there',
        )  # fmt: skip
    return ok(name, "exists; ECS tasks may take it")


def trusts(policy: Document, service: str) -> bool:
    """Whether the trust policy lets that service take the role. Pure."""
    statements = policy.get("Statement", [])
    for each in statements if isinstance(statements, list) else [statements]:
        principal = each.get("Principal", {})
        services = [principal] if isinstance(principal, str) else principal.get("Service", [])
        services = [services] if isinstance(services, str) else services
        actions = each.get("Action", [])
        actions = [actions] if isinstance(actions, str) else actions
        is_for_us = service in services or "*" in services
        does = any(a.lower() in ("sts:assumerole", "sts:*", "*") for a in actions)
        if each.get("Effect") == "Allow" and is_for_us and does:
            return True
    return False


def needed_permissions(task: Document) -> list[tuple[str, str]]:
    """(action, resource) that the execution role needs before any container starts. Pure."""
    needed: list[tuple[str, str]] = []
    for container in task["containerDefinitions"]:
        match = _ECR.match(container.get("image", ""))
        if match:
            account, region, repository, *_ = match.groups()
            arn = f"arn:aws:ecr:{region}:{account}:repository/{repository}"
            needed.append(("ecr:GetAuthorizationToken", "*"))
            needed += [
                (f"ecr:{action}", arn) for action in ("BatchGetImage", "GetDownloadUrlForLayer")
            ]
        for secret in secrets_of(container):
            value = secret["valueFrom"]
            if ":secretsmanager:" in value:
                needed.append(("secretsmanager:GetSecretValue", ":".join(value.split(":")[:7])))
            elif value.startswith("arn:"):
                needed.append(("ssm:GetParameters", value))
        log = container.get("logConfiguration") or {}
        if log.get("logDriver") == "awslogs":
            needed += [("logs:CreateLogStream", "*"), ("logs:PutLogEvents", "*")]
            if str(log.get("options", {}).get("awslogs-create-group", "")).lower() == "true":
                needed.append(("logs:CreateLogGroup", "*"))
    return list(dict.fromkeys(needed))


def _allowed(access: Access, home: Home, task: Document) -> Check:
    name = "what the execution role may do"
    needed = needed_permissions(task)
    if not needed:
        return ok(name, "it needs nothing")
    if access.is_local:
        return not_checked(name, "the local region enforces no permissions")
    iam = access.client("iam")
    denied = []
    for action, resource in needed:
        result = calling(
            "iam:SimulatePrincipalPolicy", iam.simulate_principal_policy,
            PolicySourceArn=task["executionRoleArn"], ActionNames=[action],
            ResourceArns=[resource],
        )["EvaluationResults"][0]  # fmt: skip
        if result["EvalDecision"] != "allowed":
            denied.append({"Effect": "Allow", "Action": action, "Resource": resource})
    if denied:
        words = ", ".join(f"{d['Action']} on {d['Resource']}" for d in denied)
        return wrong(name, f"it may not {words}", f"add to its policy: {json.dumps(denied)}")
    return ok(name, f"all {len(needed)} permissions that it needs (simulated)")


def secrets_of(container: Document) -> list[Document]:
    log = container.get("logConfiguration") or {}
    return [*container.get("secrets", []), *log.get("secretOptions", [])]


def check_container(
    access: Access, home: Home, container: Document, read_router: ReadRouter
) -> Check:
    checks = [check_image(access, home, container["image"])]
    checks += [
        asking(
            f"secret {secret['name']}", partial(_secret, access, secret),
            ("ResourceNotFoundException", "ParameterNotFound"),
        )
        for secret in secrets_of(container)
    ]  # fmt: skip
    checks += check_logs(access, home, container)
    if container.get("firelensConfiguration"):
        checks.append(check_router(home, container, read_router))
    return branch(f"container {container['name']}", *checks)


def check_image(access: Access, home: Home, image: str) -> Check:
    name = f"image {image}"
    if access.is_local and (image in home.local_images or image.startswith("localhost/")):
        return ok(name, "the local region makes it, as hikkoshi.yaml says")
    platform = home.task_definition.get("runtimePlatform", {})
    wanted = _ARCHITECTURES.get(platform.get("cpuArchitecture", "X86_64"), "amd64")
    match = _ECR.match(image)
    if match:
        return asking(
            name, lambda: _ecr(access, name, match, wanted),
            ("RepositoryNotFoundException", "ImageNotFoundException"),
        )  # fmt: skip
    if access.is_local:
        return not_checked(name, "a public registry is not asked for the local region")
    found = registry.look_up(image)
    if isinstance(found, str):
        return not_checked(name, found)
    if found is None:
        return wrong(name, "the registry has no such image")
    return _by_architecture(name, found, wanted)


def _ecr(access: Access, name: str, match: re.Match[str], wanted: str) -> Check:
    account, region, repository, tag, digest = match.groups()
    ecr = access.client("ecr")
    if region != access.region:
        return not_checked(name, f"it is in {region}, and this looks at {access.region}")
    which = {"imageDigest": digest} if digest else {"imageTag": tag or "latest"}
    answer = calling(
        "ecr:BatchGetImage", ecr.batch_get_image, registryId=account, repositoryName=repository,
        imageIds=[which], acceptedMediaTypes=list(registry.MANIFESTS),
    )  # fmt: skip
    if not answer["images"]:
        return wrong(name, f"the repository {repository} has no {tag or digest or 'latest'}",
                     "push it, or correct the tag")  # fmt: skip
    manifest = json.loads(answer["images"][0]["imageManifest"])
    found = registry.architectures_in_index(manifest)
    if found is None:
        layer = manifest.get("config", {}).get("digest")
        try:
            url = calling(
                "ecr:GetDownloadUrlForLayer", ecr.get_download_url_for_layer, registryId=account,
                repositoryName=repository, layerDigest=layer,
            )["downloadUrl"]  # fmt: skip
            found = registry.architecture_of_config(url)
        except Exception as error:  # whatever hinders it, the image itself is there
            return not_checked(name, f"it exists; its architecture could not be read: {error}")
    return _by_architecture(name, found, wanted)


def _by_architecture(name: str, found: set[str], wanted: str) -> Check:
    if found and wanted not in found:
        return wrong(
            name, f"it is for {', '.join(sorted(found))}, and the task runs on {wanted}",
            "build it for that platform, or set runtimePlatform.cpuArchitecture",
        )  # fmt: skip
    return ok(name, f"exists, for {', '.join(sorted(found))}" if found else "exists")


def _secret(access: Access, secret: Document) -> Check:
    """That it exists and which keys it has; values are not kept, shown or compared."""
    name, value = f"secret {secret['name']}", secret["valueFrom"]
    if ":secretsmanager:" not in value:
        parameter = value.split(":parameter", 1)[-1] if value.startswith("arn:") else value
        ssm = access.client("ssm")
        calling("ssm:GetParameter", ssm.get_parameter, Name=parameter)
        return ok(name, f"the parameter {parameter} exists")
    parts = value.split(":")
    manager = access.client("secretsmanager")
    arn = ":".join(parts[:7])
    found = calling("secretsmanager:DescribeSecret", manager.describe_secret, SecretId=arn)
    if found.get("DeletedDate"):
        return wrong(name, f"{found['Name']} is scheduled for deletion")
    key = parts[7] if len(parts) > 7 else ""
    if not key:
        return ok(name, f"{found['Name']} exists")
    text = calling("secretsmanager:GetSecretValue", manager.get_secret_value, SecretId=arn).get(
        "SecretString", ""
    )
    try:
        keys = json.loads(text).keys()
    except (ValueError, AttributeError):
        return wrong(name, f"{found['Name']} is no JSON object, so it has no key {key!r}")
    if key not in keys:
        return wrong(name, f"{found['Name']} has no key {key!r}", f"it has {', '.join(keys)}")
    return ok(name, f"{found['Name']} exists and has the key {key!r}")


def check_logs(access: Access, home: Home, container: Document) -> Iterator[Check]:
    log = container.get("logConfiguration") or {}
    driver, options = log.get("logDriver"), log.get("options") or {}
    if driver == "awslogs":
        group = options.get("awslogs-group", "")
        name = f"log group {group}"
        if str(options.get("awslogs-create-group", "false")).lower() == "true":
            yield ok(name, "it is made when it is missing (awslogs-create-group)")
        else:
            yield asking(name, lambda: _group(access, name, group, options))
    elif driver == "awsfirelens":
        yield _firelens(home, log, options)
    elif driver is None and not container.get("firelensConfiguration"):
        yield not_checked("logs", "no logConfiguration: its output is kept nowhere")


def _group(access: Access, name: str, group: str, options: Document) -> Check:
    region = options.get("awslogs-region", access.region)
    if region != access.region:
        return not_checked(name, f"it is in {region}, and this looks at {access.region}")
    logs = access.client("logs")
    found = calling(
        "logs:DescribeLogGroups", logs.describe_log_groups, logGroupNamePrefix=group
    )["logGroups"]  # fmt: skip
    if not any(each["logGroupName"] == group for each in found):
        return wrong(
            name, "there is no such log group, and no task would start",
            f'aws logs create-log-group --log-group-name {group}, or "awslogs-create-group": '
            '"true"',
        )  # fmt: skip
    return ok(name, "exists")


def _firelens(home: Home, log: Document, options: Document) -> Check:
    """The options become an output of the router: it must be one that can deliver."""
    routers = [c for c in home.containers if c.get("firelensConfiguration")]
    if not routers:
        return wrong("FireLens options", "no container has firelensConfiguration")
    kind = routers[0]["firelensConfiguration"].get("type")
    plugin_key = "@type" if kind == "fluentd" else "Name"
    plugin = next((v for k, v in options.items() if k.lower() == plugin_key.lower()), None)
    if plugin is None:
        if options:
            return wrong("FireLens options", f"they have no {plugin_key!r}, so no task would start")
        return ok("FireLens options", "none: the router's own configuration decides")
    given = {k.lower() for k in options} | {s["name"].lower() for s in log.get("secretOptions", [])}
    lacking = [k for k in _NEEDED.get(plugin.lower(), ()) if k not in given]
    if lacking:
        return wrong("FireLens options", f"the output {plugin} needs {', '.join(lacking)}")
    if plugin.lower() not in _NEEDED:
        return not_checked("FireLens options", f"what the output {plugin} needs is not known here")
    return ok("FireLens options", f"output {plugin}, with all that it needs")


def check_router(home: Home, container: Document, read_router: ReadRouter) -> Check:
    options = container["firelensConfiguration"].get("options") or {}
    name = "the router's configuration"
    value = options.get("config-file-value")
    if value is None:
        return ok(name, "none of its own: generated from the options")
    if options.get("config-file-type") != "file":
        return wrong(name, "Fargate takes config-file-type `file` only")
    path = home.router_configurations.get(f"{container['image']}:{value}")
    if path is None:
        return not_checked(
            f"{name} {value}", f"it is inside {container['image']}",
            "name it under `images: … embedded: copy:` in hikkoshi.yaml to have it read",
        )  # fmt: skip
    try:
        questionable = read_router(path)
    except Exception as error:  # HikkoshiError of a room that is not known here
        return wrong(f"{name} {value}", str(error))
    if questionable:
        return not_checked(f"{name} {value}", "; ".join(questionable))
    return ok(f"{name} {value}", f"{path} is in order")
