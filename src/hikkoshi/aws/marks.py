"""Reading, setting and removing the mark of a cutover on target groups."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import ClientError

from hikkoshi.aws.access import Access, urgently
from hikkoshi.base.errors import AwsRefused
from hikkoshi.model.cutover_mark import TAG, CutoverMark


class Marks:
    """Of these target groups. Every call takes seconds at most, and raises AwsRefused."""

    def __init__(self, access: Access, groups: Sequence[str]) -> None:
        """groups: ARNs, at most 20."""
        self._elb = access.client("elbv2", is_urgent=True)
        self.groups = list(dict.fromkeys(groups))

    def read(self) -> dict[str, CutoverMark]:
        """Target group → its mark. One that does not exist has none."""
        try:
            return self._read(self.groups)
        except AwsRefused as error:
            if _code(error) != "TargetGroupNotFound":
                raise
        found: dict[str, CutoverMark] = {}
        for group in self.groups:
            try:
                found |= self._read([group])
            except AwsRefused as error:
                if _code(error) != "TargetGroupNotFound":
                    raise
        return found

    def _read(self, groups: list[str]) -> dict[str, CutoverMark]:
        if not groups:
            return {}
        found = self._call("DescribeTags", self._elb.describe_tags, ResourceArns=groups)
        return {
            each["ResourceArn"]: CutoverMark.read(tag["Value"])
            for each in found["TagDescriptions"]
            for tag in each["Tags"]
            if tag["Key"] == TAG
        }

    def set(self, mark: CutoverMark) -> None:
        """Over whatever mark there is."""
        tags = [{"Key": TAG, "Value": mark.value}]
        self._call("AddTags", self._elb.add_tags, ResourceArns=self.groups, Tags=tags)

    def remove(self, cutover: str) -> None:
        """The marks of this cutover, and no other's."""
        own = [arn for arn, mark in self.read().items() if mark.cutover == cutover]
        if own:
            self._call("RemoveTags", self._elb.remove_tags, ResourceArns=own, TagKeys=[TAG])

    def _call(self, operation: str, call: Callable[..., Any], **asked: Any) -> Any:
        return urgently(f"elasticloadbalancing:{operation}", call, **asked)

    def command(self) -> str:
        """What a person types to remove the marks of a cutover that is known to be gone."""
        groups = " ".join(shlex.quote(group) for group in self.groups)
        return f"aws elbv2 remove-tags --resource-arns {groups} --tag-keys {TAG}"


def _code(error: AwsRefused) -> str:
    cause = error.__cause__
    return str(cause.response["Error"]["Code"]) if isinstance(cause, ClientError) else ""
