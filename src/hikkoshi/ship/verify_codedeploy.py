"""Verifying what CodeDeploy needs to deploy a service: a deployment group that is for it."""

from __future__ import annotations

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import BadInput
from hikkoshi.ship.calls import Calls
from hikkoshi.ship.checks import Check, asking, not_checked, ok, wrong
from hikkoshi.ship.codedeploy import groups_of_service, is_codedeploy
from hikkoshi.ship.codedeploying import CodeDeploy
from hikkoshi.ship.home import Home


class _Silent:
    def say(self, text: str) -> None:
        """A verification shows only its tree."""

    now = say


def check_codedeploy(access: Access, home: Home) -> list[Check]:
    """None for a service that ECS deploys."""
    if not is_codedeploy(home.service_definition or {}):
        return []
    name = "CodeDeploy's deployment group"
    if access.is_local:
        return [not_checked(name, "the local region has no CodeDeploy")]

    def ask() -> Check:
        by = CodeDeploy(Calls(access, home.cluster, home.service), home, _Silent(), 0.0)
        try:
            group = by.group()
            known = by("GetDeploymentGroup", **group.parameters)["deploymentGroupInfo"]
        except BadInput as error:
            return wrong(name, error.what, error.fix)
        if not groups_of_service([known], home.cluster, home.service):
            return wrong(name, f"{group.application}/{group.name} deploys another service")
        return ok(name, f"{group.application}/{group.name}")

    return [asking(name, ask, ("ApplicationDoesNotExist", "DeploymentGroupDoesNotExist"))]
