"""clientToken: the same request with the same token is answered with the same resources."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hikkoshi.region.ecs.store import Store
from hikkoshi.region.front.port import AwsError


def remembered(store: Store, operation: str, parameters: dict[str, Any]) -> tuple[str, ...] | None:
    """The ARNs that this token made, or None if it is new (or absent). ConflictException if it
    came with other parameters before."""
    token = parameters.get("clientToken")
    entry = store.tokens.get((operation, token)) if token else None
    if entry is None:
        return None
    fingerprint, arns = entry
    if fingerprint != _fingerprint(parameters):
        raise AwsError(
            "ConflictException",
            "The RunTask request could not be processed due to conflicts. The provided "
            "clientToken is already in use with a different RunTask request.".replace(
                "RunTask", operation
            ),
        )
    return arns


def remember(
    store: Store, operation: str, parameters: dict[str, Any], arns: tuple[str, ...]
) -> None:
    token = parameters.get("clientToken")
    if token:
        store.put_token(operation, token, _fingerprint(parameters), arns)


def _fingerprint(parameters: dict[str, Any]) -> str:
    text = json.dumps(parameters, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
