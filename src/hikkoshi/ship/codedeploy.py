"""CodeDeploy's part of a deploy: the deployment group, the AppSpec, and how a deployment stands.

Pure but for `Group`'s callers in codedeploying.py. Sources: CodeDeploy User Guide, "AppSpec
'resources' section (Amazon ECS)" and "List of lifecycle event hooks for an Amazon ECS deployment";
botocore's model of CodeDeploy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hikkoshi.ship.judge import State

Document = dict[str, Any]
CONTROLLER = "CODE_DEPLOY"
IN_FLIGHT = ("Created", "Queued", "InProgress", "Baking", "Ready")
UPDATED_BY_ECS = (
    "desiredCount", "deploymentConfiguration", "healthCheckGracePeriodSeconds",
    "enableECSManagedTags", "propagateTags", "enableExecuteCommand", "availabilityZoneRebalancing",
)  # fmt: skip
"""What UpdateService takes of such a service (API_UpdateService); the rest goes by an AppSpec."""
_BY_APPSPEC = (
    "networkConfiguration", "platformVersion", "capacityProviderStrategy", "loadBalancers",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    application: str
    name: str

    @property
    def parameters(self) -> Document:
        return {"applicationName": self.application, "deploymentGroupName": self.name}


def is_codedeploy(service: Document) -> bool:
    """Of a service, or of a service definition."""
    return (service.get("deploymentController") or {}).get("type") == CONTROLLER


def groups_of_service(infos: Iterable[Document], cluster: str, service: str) -> list[Group]:
    """Of deploymentGroupInfo's, those that deploy this service."""
    name = cluster.rsplit("/", 1)[-1]
    return [
        Group(info["applicationName"], info["deploymentGroupName"])
        for info in infos
        for each in info.get("ecsServices") or []
        if each.get("serviceName") == service
        and str(each.get("clusterName")).rsplit("/", 1)[-1] == name
    ]


def appspec(definition: str, service: Document, hooks: Iterable[Document] = ()) -> str:
    """The content of a revision, as JSON. service: its definition or what is live."""
    balancers = [b for b in service.get("loadBalancers") or [] if b.get("targetGroupArn")]
    properties: Document = {"TaskDefinition": definition}
    if balancers:
        properties["LoadBalancerInfo"] = {
            "ContainerName": balancers[0]["containerName"],
            "ContainerPort": balancers[0]["containerPort"],
        }
    if service.get("platformVersion"):
        properties["PlatformVersion"] = service["platformVersion"]
    vpc = (service.get("networkConfiguration") or {}).get("awsvpcConfiguration")
    if vpc:
        properties["NetworkConfiguration"] = {"AwsvpcConfiguration": _capitalised(vpc)}
    if service.get("capacityProviderStrategy"):
        properties["CapacityProviderStrategy"] = [
            _capitalised(item) for item in service["capacityProviderStrategy"]
        ]
    target = {"Type": "AWS::ECS::Service", "Properties": properties}
    document: Document = {"version": 0.0, "Resources": [{"TargetService": target}]}
    if found := list(hooks):
        document["Hooks"] = found
    return json.dumps(document)


def definition_in(revision: Document) -> str | None:
    """The task definition of a deployment's revision; None if it is not in the AppSpec itself."""
    content = (revision.get("appSpecContent") or revision.get("string") or {}).get("content")
    if not content:
        return None
    # JSON is YAML, and users' own AppSpecs are mostly YAML.
    import yaml

    try:
        document = yaml.safe_load(content)
        for resource in document["Resources"]:
            for target in resource.values():
                return str(target["Properties"]["TaskDefinition"])
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return None
    return None


def needs_deployment(changes_task: bool, changed: Iterable[str]) -> bool:
    return changes_task or bool(set(changed) & set(_BY_APPSPEC))


def judge(info: Document, rollback: Document | None) -> tuple[State, str]:
    """info: deploymentInfo; rollback: of the deployment that CodeDeploy rolls it back by."""
    status = info["status"]
    why = str((info.get("errorInformation") or {}).get("message") or status)
    if status in IN_FLIGHT:
        return State.GOING, status
    if status == "Succeeded":
        return State.SUCCEEDED, status
    if rollback_of(info) is None:
        return State.FAILED, why
    if rollback is None or rollback["status"] in IN_FLIGHT:
        return State.ROLLING_BACK, why
    if rollback["status"] == "Succeeded":
        return State.ROLLED_BACK, why
    again = (rollback.get("errorInformation") or {}).get("message") or rollback["status"]
    return State.FAILED, f"{why}; the rollback failed, too: {again}"


def waits_s(info: Document) -> float:
    """Seconds that the deployment waits by its group's settings: before traffic is shifted by hand,
    and before the old tasks end (an hour, unless set otherwise), while it is InProgress."""
    settings = info.get("blueGreenDeploymentConfiguration") or {}
    ready = settings.get("deploymentReadyOption") or {}
    ending = settings.get("terminateBlueInstancesOnDeploymentSuccess") or {}
    minutes = (ready.get("waitTimeInMinutes") or 0) + (
        ending.get("terminationWaitTimeInMinutes") or 0
    )
    return float(minutes) * 60.0


def rollback_of(info: Document) -> str | None:
    """The id of the deployment that rolls it back."""
    found = (info.get("rollbackInfo") or {}).get("rollbackDeploymentId")
    return str(found) if found else None


def describe_target(target: Document) -> list[str]:
    """`AllowTraffic Succeeded`, of an ecsTarget's lifecycle events that have begun."""
    lines = []
    for event in target.get("lifecycleEvents") or []:
        if event.get("status") in (None, "Pending"):
            continue
        message = (event.get("diagnostics") or {}).get("message")
        words = f"{event['lifecycleEventName']} {event['status']}"
        is_bad = event["status"] == "Failed" and message
        lines.append(f"{words}: {message}" if is_bad else words)
    return lines


def describe_sets(target: Document) -> str:
    """`Blue 2/2 running, 100% of traffic   Green 1/2 running, 0% of traffic`."""
    return "   ".join(
        f"{each.get('taskSetLabel', 'task set')} {each.get('runningCount', 0)}/"
        f"{each.get('desiredCount', 0)} running, {each.get('trafficWeight', 0):g}% of traffic"
        for each in target.get("taskSetsInfo") or []
    )


def _capitalised(document: Document) -> Document:
    """As an AppSpec writes AWS's members: Subnets, AssignPublicIp."""
    return {name[0].upper() + name[1:]: value for name, value in document.items()}
