"""What a room of the region gives the front: operations by AWS's name, and AWS's errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class AwsError(Exception):
    """An error as AWS answers it: `code` as in botocore's model, a message, an HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class NotImplementedByRegion(AwsError):
    def __init__(self, what: str) -> None:
        super().__init__(
            "NotImplementedException", f"{what} is not implemented by the local region", 501
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and where: `region` is the one in the credential scope."""

    account_id: str
    region: str
    request_id: str


Operation = Callable[[dict[str, Any], Caller], Awaitable[dict[str, Any]]]
"""Takes the parameters as botocore's model names them; answers in the output shape's names.

Datetimes are `datetime` objects (UTC) in the answer; the front serialises them by protocol."""


class Service(Protocol):
    """One AWS service, by the name of botocore's service model (`ecs`, `elbv2`, `rds`, `xray`)."""

    name: str

    def operations(self) -> Mapping[str, Operation]:
        """By the API's operation name (`RunTask`). What is missing is answered as not
        implemented; it never falls through to moto."""
        ...
