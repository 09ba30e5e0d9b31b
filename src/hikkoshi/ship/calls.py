"""The calls of ECS that shipping makes, each in one place; answers stay in AWS's shape."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from hikkoshi.aws.access import Access, calling
from hikkoshi.base.errors import AwsRefused, BadInput

Document = dict[str, Any]


def code_of(error: AwsRefused) -> str:
    """AWS's own code of a refusal, such as ClusterNotFoundException; "" if it was none."""
    cause = error.__cause__
    return str(cause.response["Error"].get("Code")) if isinstance(cause, ClientError) else ""


class Calls:
    """One service's calls. Every error is an AwsRefused or BadInput."""

    def __init__(
        self, access: Access, cluster: str, service: str, kept_logs: Path | None = None
    ) -> None:
        """kept_logs: of a local region, `<task id>/<container>.log`."""
        self.access = access
        self.kept_logs = kept_logs
        self.cluster = cluster
        self.service = service

    @functools.cached_property
    def ecs(self) -> Any:
        return self.access.client("ecs")

    def __call__(self, operation: str, **parameters: Any) -> Any:
        """`calls("UpdateService", …)`: an operation of ECS by its API name."""
        method = "".join(f"_{c.lower()}" if c.isupper() else c for c in operation).lstrip("_")
        try:
            return calling(f"ecs:{operation}", getattr(self.ecs, method), **parameters)
        except AwsRefused as error:
            if code_of(error) == "ClusterNotFoundException":
                raise self._no_cluster(error) from error
            raise

    def _no_cluster(self, error: AwsRefused) -> BadInput:
        try:
            arns = calling("ecs:ListClusters", self.ecs.list_clusters)["clusterArns"]
        except AwsRefused:
            arns = []
        names = ", ".join(sorted(a.rsplit("/", 1)[-1] for a in arns)) or "none"
        where = "the local region" if self.access.is_local else self.access.region
        return BadInput(
            f"there is no cluster {self.cluster!r} in {where}",
            fix=f"clusters there: {names}. Is --region or --profile the right one? "
            f"Else: aws ecs create-cluster --cluster-name {self.cluster}",
        )

    def describe(self) -> Document | None:
        """The service with its tags, or None if there is none (or it was deleted)."""
        found = self(
            "DescribeServices", cluster=self.cluster, services=[self.service], include=["TAGS"]
        )["services"]
        if not found or found[0].get("status") == "INACTIVE":
            return None
        return dict(found[0])

    def must_describe(self) -> Document:
        found = self.describe()
        if found is None:
            arns = self("ListServices", cluster=self.cluster)["serviceArns"]
            names = ", ".join(sorted(a.rsplit("/", 1)[-1] for a in arns)) or "none"
            raise BadInput(
                f"the cluster {self.cluster!r} has no service {self.service!r}",
                fix=f"services there: {names}. `hikkoshi deploy` makes it",
            )
        return found

    def definition(self, name: str) -> Document | None:
        """A task definition by ARN, family:revision, or family (its newest); None if unknown."""
        try:
            answer = self("DescribeTaskDefinition", taskDefinition=name, include=["TAGS"])
        except AwsRefused as error:
            if code_of(error) in ("ClientException", "InvalidParameterException"):
                return None
            raise
        return {**answer["taskDefinition"], "tags": answer.get("tags") or []}

    def service_deployments(
        self, statuses: list[str] | None = None, most: int = 20
    ) -> list[Document]:
        """Briefs, the newest first."""
        more = {"status": statuses} if statuses else {}
        found = self(
            "ListServiceDeployments", cluster=self.cluster, service=self.service,
            maxResults=most, **more,
        )["serviceDeployments"]  # fmt: skip
        return sorted(found, key=lambda each: each["createdAt"], reverse=True)

    def service_deployment(self, arn: str) -> Document | None:
        found = self("DescribeServiceDeployments", serviceDeploymentArns=[arn])
        return dict(found["serviceDeployments"][0]) if found["serviceDeployments"] else None

    def definitions_of_revisions(self, revision_arns: list[str]) -> dict[str, str]:
        """Service revision's ARN → ARN of its task definition."""
        result: dict[str, str] = {}
        for start in range(0, len(revision_arns), 20):
            some = revision_arns[start : start + 20]
            found = self("DescribeServiceRevisions", serviceRevisionArns=some)["serviceRevisions"]
            result |= {r["serviceRevisionArn"]: r["taskDefinition"] for r in found}
        return result

    def tasks(self, desired: str, **more: Any) -> list[Document]:
        """desired: RUNNING or STOPPED. At most the newest hundred."""
        arns = self("ListTasks", cluster=self.cluster, desiredStatus=desired, **more)["taskArns"]
        return self.describe_tasks(arns)

    def describe_tasks(self, arns: list[str]) -> list[Document]:
        if not arns:
            return []
        found = self("DescribeTasks", cluster=self.cluster, tasks=arns[:100], include=["TAGS"])
        return [dict(task) for task in found["tasks"]]


def primary(service: Document) -> Document:
    """The PRIMARY deployment; of a service that CodeDeploy deploys, the PRIMARY task set."""
    rows = [*service.get("deployments", []), *service.get("taskSets", [])]
    return next(d for d in rows if d["status"] == "PRIMARY")


def short(arn: str) -> str:
    """`family:3`, the id of a task, of a deployment: an ARN's last part."""
    return arn.rsplit("/", 1)[-1]
