"""A refused call in words: which action, on what, and the statement or the step that mends it."""

from __future__ import annotations

import json
import re

from hikkoshi.base.errors import AwsRefused

_DENIED = {
    "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError",
    "UnauthorizedException", "AuthorizationErrorException",
}  # fmt: skip
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN = {
    "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "AuthFailure",
    "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature",
}  # fmt: skip
THROTTLED = {
    "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottledException",
    "RequestThrottled", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown",
    "ProvisionedThroughputExceededException", "LimitExceededException.Throttled",
}  # fmt: skip
# Where IAM's prefix is not the name of the service's client.
_IAM = {"elbv2": "elasticloadbalancing"}
_WHO = re.compile(r"(?:User|Role): (\S+) is not authorized")
_ACTION = re.compile(r"to perform: ([A-Za-z0-9-]+:[A-Za-z]+)")
_RESOURCE = re.compile(r"on resource: (\S+)")


def refusal(operation: str, code: str, message: str) -> AwsRefused:
    """operation: `ecs:UpdateService`. The AwsRefused to raise."""
    what = f"{operation} was refused: {code}: {message}"
    if code in _DENIED:
        return AwsRefused(_denied(operation, message), fix=_statement(operation, message))
    if code in _EXPIRED:
        return AwsRefused(
            f"{operation} was refused: the credentials have expired",
            fix="get new ones: `aws sso login`, or assume the role again",
        )
    if code in _UNKNOWN:
        return AwsRefused(
            f"{operation} was refused: AWS does not know these credentials ({code})",
            fix="`aws sts get-caller-identity` shows who you are; check --profile, the keys and, "
            "for a signature, this machine's clock",
        )
    return AwsRefused(what)


def iam_action(operation: str) -> str:
    """`elbv2:ModifyRule` → `elasticloadbalancing:ModifyRule`: what a policy calls it."""
    service, _, name = operation.partition(":")
    return f"{_IAM.get(service, service)}:{name}"


def _denied(operation: str, message: str) -> str:
    who, action, resource = (r.search(message) for r in (_WHO, _ACTION, _RESOURCE))
    words = f"{who[1] if who else 'these credentials'} may not call "
    words += action[1] if action else iam_action(operation)
    words += f" on {resource[1]}" if resource else ""
    if "explicit deny" in message:
        words += " (a policy denies it explicitly)"
    return words


def _statement(operation: str, message: str) -> str:
    action, resource = _ACTION.search(message), _RESOURCE.search(message)
    statement = {
        "Effect": "Allow",
        "Action": action[1] if action else iam_action(operation),
        "Resource": resource[1].rstrip(".,") if resource else "*",
    }
    return f"add this statement to its policy: {json.dumps(statement)}"
