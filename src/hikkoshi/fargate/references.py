"""Names inside ARNs, as people write them in definitions."""

from __future__ import annotations

import re

_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}$")


def secret_name(value_from: str) -> str:
    """The name of a secret or parameter behind a `valueFrom`.

    A Secrets Manager ARN ends in `secret:NAME-6chars[:json-key:stage:version]`; the six characters
    are AWS's own. An SSM parameter is `…:parameter/NAME` or the bare name.
    """
    if ":secretsmanager:" in value_from:
        name = value_from.split(":secret:", 1)[-1].split(":", 1)[0]
        return _SUFFIX.sub("", name)
    if ":ssm:" in value_from:
        return value_from.split(":parameter", 1)[-1]
    return value_from


def target_group_name(arn: str) -> str:
    """`…:targetgroup/NAME/0123456789abcdef` → NAME; anything else as it is."""
    parts = arn.split(":targetgroup/", 1)
    return parts[1].split("/", 1)[0] if len(parts) == 2 else arn
