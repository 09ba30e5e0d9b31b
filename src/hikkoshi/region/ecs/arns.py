"""Names of ECS's resources (long ARN format), and how callers may abbreviate them."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arns:
    account_id: str
    region: str

    def _arn(self, resource: str) -> str:
        return f"arn:aws:ecs:{self.region}:{self.account_id}:{resource}"

    def cluster(self, name: str) -> str:
        return self._arn(f"cluster/{name}")

    def service(self, cluster: str, name: str) -> str:
        return self._arn(f"service/{cluster}/{name}")

    def task(self, cluster: str, task_id: str) -> str:
        return self._arn(f"task/{cluster}/{task_id}")

    def container(self, cluster: str, task_id: str, container_id: str) -> str:
        return self._arn(f"container/{cluster}/{task_id}/{container_id}")

    def definition(self, family: str, revision: int) -> str:
        return self._arn(f"task-definition/{family}:{revision}")

    def service_deployment(self, cluster: str, service: str, key: str) -> str:
        return self._arn(f"service-deployment/{cluster}/{service}/{key}")

    def service_revision(self, cluster: str, service: str, key: str) -> str:
        return self._arn(f"service-revision/{cluster}/{service}/{key}")

    def capacity_provider(self, name: str) -> str:
        return self._arn(f"capacity-provider/{name}")


def last_part(identifier: str) -> str:
    """The name or id at the end of an ARN, or the identifier itself."""
    return identifier.rsplit("/", 1)[-1]


def resource_type(arn: str) -> str | None:
    """'task-definition' of arn:aws:ecs:…:task-definition/web:1; None for what is no ECS ARN."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or parts[2] != "ecs":
        return None
    return parts[5].split("/", 1)[0]


def new_uuid() -> str:
    """A random UUID as text. uuid.uuid4 makes an object of it first, in three times the time, and
    a pass over thousands of tasks takes as many of them."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def new_task_id() -> str:
    return os.urandom(16).hex()


def new_deployment_id() -> str:
    """`ecs-svc/` and 19 digits, as AWS shows them."""
    return f"ecs-svc/{_digits()}"


def new_revision_key() -> str:
    return _digits()


def new_service_deployment_key() -> str:
    """AWS shows 21 letters, digits, hyphens and underscores."""
    return secrets.token_urlsafe(16)[:21]


def _digits() -> str:
    return str(secrets.randbelow(9 * 10**18) + 10**18)
