"""What a resource of our own is to the engine: made, changed, removed by calls of the API."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from botocore.exceptions import ClientError
from moto.core.common_models import CloudFormationModel

from hikkoshi.region.cloudformation.shapes import to_parameters

MakeClient = Callable[[str, str], Any]
"""(service, region) → a boto3 client of the region's own API."""

STABILISE_S = 1800.0
"""AWS gives a service three hours; nothing here is that slow."""
POLL_S = 0.25

_DYNAMIC = re.compile(r"\{\{resolve:(secretsmanager|ssm|ssm-secure):([^{}]+)\}\}")


class ResourceFailed(Exception):
    """The resource could not be made, changed or removed; the text is for the stack's events."""


class Cancelled(ResourceFailed):
    """The stack is deleted while it is made."""


class Adapter(CloudFormationModel):  # type: ignore[misc]
    """One resource. A subclass says its TYPE and how to `make`, `change` and `remove` it.

    `identity` is what Ref gives, `attributes` what Fn::GetAtt gives."""

    TYPE: ClassVar[str] = ""
    REPLACING: ClassVar[frozenset[str]] = frozenset()
    """Properties whose change makes a new resource; the old one goes when the update is over."""
    METADATA: ClassVar[str | None] = None
    """What the local region does not do about it, where it only keeps the resource's words."""

    PLAYED_WITHOUT: ClassVar[frozenset[str]] = frozenset()
    """Properties that the local region cannot play and the resource does as well without; the
    stack's event says so."""

    make_client: ClassVar[MakeClient]

    def __init__(
        self, name: str, properties: dict[str, Any], region: str, cancelled: threading.Event
    ) -> None:
        self.name = name
        self.properties = properties
        self.region = region
        self.cancelled = cancelled
        self.identity = name
        self.attributes: dict[str, Any] = {}
        self.lacks: set[str] = set()
        """What turned out not to be playable while it was made."""

    # -- what a subclass says ------------------------------------------------------------------

    def make(self, properties: dict[str, Any]) -> None:
        """Create, set `identity` and `attributes`, and wait until it is stable."""
        raise NotImplementedError

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        """Update in place, and wait. `before`: what it was."""
        raise ResourceFailed(f"{self.TYPE} cannot be updated in the local region")

    def remove(self) -> None:
        raise NotImplementedError

    def playable(self, properties: dict[str, Any]) -> dict[str, Any]:
        """The properties with dynamic references resolved, less what cannot be played."""
        kept = {k: v for k, v in properties.items() if k not in self.PLAYED_WITHOUT}
        resolved = self.resolve(kept)
        assert isinstance(resolved, dict)
        return resolved

    def remark(self, properties: dict[str, Any]) -> str | None:
        """What the event of its completion tells, if anything."""
        known = {key for key in properties if key in self.PLAYED_WITHOUT and properties[key]}
        lacks = sorted(known | self.lacks)
        return f"played without {', '.join(lacks)}" if lacks else self.METADATA

    # -- what it gets --------------------------------------------------------------------------

    def client(self, service: str) -> Any:
        return Adapter.make_client(service, self.region)

    def call(self, service: str, operation: str, properties: dict[str, Any]) -> dict[str, Any]:
        """An operation by its API's name, with properties of a template as parameters."""
        client = self.client(service)
        shape = client.meta.service_model.operation_model(operation).input_shape
        parameters = to_parameters(shape, properties, self.TYPE)
        answer: dict[str, Any] = client._make_api_call(operation, parameters)
        return answer

    def wait(self, is_done: Callable[[], bool], what: str, deadline_s: float = STABILISE_S) -> None:
        """is_done raises ResourceFailed when it never will be."""
        until = time.monotonic() + deadline_s
        while not is_done():
            if self.cancelled.wait(POLL_S):
                raise Cancelled("Resource creation cancelled")
            if time.monotonic() > until:
                raise ResourceFailed(f"{what} did not stabilize within {deadline_s:g} s")

    def resolve(self, value: Any) -> Any:
        """The value with its dynamic references replaced by what they name."""
        if isinstance(value, str):
            return _DYNAMIC.sub(lambda match: self._dynamic(match[1], match[2]), value)
        if isinstance(value, dict):
            return {key: self.resolve(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        return value

    def _dynamic(self, service: str, reference: str) -> str:
        if service != "secretsmanager":
            answer = self.client("ssm").get_parameter(
                Name=reference.rpartition(":")[0] or reference, WithDecryption=True
            )
            return str(answer["Parameter"]["Value"])
        secret, _, rest = reference.partition(":SecretString")
        key = rest.lstrip(":").partition(":")[0]
        text = str(self.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
        if not key:
            return text
        document = json.loads(text)
        if key not in document:
            raise ResourceFailed(f"Could not find a value associated with JSONKey in {secret}")
        return str(document[key])

    # -- what moto's engine asks of a model ----------------------------------------------------

    @property
    def physical_resource_id(self) -> str:
        return self.identity

    def get_cfn_attribute(self, attribute: str) -> Any:
        if attribute not in self.attributes:
            raise ResourceFailed(f"{self.TYPE} has no attribute {attribute} in the local region")
        return self.attributes[attribute]

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return True

    @classmethod
    def cloudformation_type(cls) -> str:
        return cls.TYPE

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""


def is_gone(error: ClientError) -> bool:
    """Whether a call failed because what it names is not there."""
    code = str(error.response["Error"]["Code"])
    return "NotFound" in code or code in (
        "ServiceNotActiveException",
        "NoSuchEntity",
        "NoSuchBucket",
    )
