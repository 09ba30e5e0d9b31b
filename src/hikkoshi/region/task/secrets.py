"""Secrets Manager and SSM, asked through their own API, with the agent's words for failures."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from hikkoshi.region.ports import ObjectNotFound, SecretNotFound

_ASM = (
    "execution resource retrieval failed: unable to retrieve secret from asm: "
    "service call has been retried 1 time(s): "
)
_SSM = (
    "execution resource retrieval failed: unable to retrieve secrets from ssm: "
    "service call has been retried 1 time(s): "
)

MakeClient = Callable[[str, str], Any]
"""(service, region) → a boto3 client."""


@dataclass(frozen=True, slots=True)
class AsmReference:
    """`arn:aws:secretsmanager:R:A:secret:NAME[:json-key:version-stage:version-id]`."""

    secret_id: str
    region: str
    json_key: str | None = None
    version_stage: str | None = None
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class SsmReference:
    """The names under which the parameter may be known, and where.

    The ARNs of the parameters a and /a are the same."""

    names: tuple[str, ...]
    region: str


def parse_reference(value_from: str, region: str) -> AsmReference | SsmReference:
    """What a `valueFrom` names. `region` is the task's, for a name without ARN.

    Raises SecretNotFound for what is neither."""
    if not value_from.startswith("arn:"):
        return SsmReference((value_from,), region)
    parts = value_from.split(":")
    match parts[2:3]:
        case ["secretsmanager"] if len(parts) in (7, 10):
            json_key, stage, version = (*parts[7:], "", "", "")[:3]
            return AsmReference(
                ":".join(parts[:7]), parts[3], json_key or None, stage or None, version or None
            )
        case ["secretsmanager"]:
            raise SecretNotFound(
                f"{_ASM}unexpected ARN format with parameters when trying to retrieve ASM secret: "
                f"{value_from}"
            )
        case ["ssm"] if len(parts) == 6 and parts[5].startswith("parameter/"):
            name = parts[5].removeprefix("parameter/")
            names = (f"/{name}",) if "/" in name else (name, f"/{name}")
            return SsmReference(names, parts[3])
        case _:
            raise SecretNotFound(
                "execution resource retrieval failed: invalid ARN in valueFrom: "
                f"{value_from}; write a Secrets Manager ARN, or an SSM parameter's ARN or name"
            )


def value_at(secret: str, json_key: str) -> str:
    """One key of a secret that is a JSON object, as text. Raises SecretNotFound."""
    try:
        document = json.loads(secret)
    except ValueError as error:
        raise SecretNotFound(f"{_ASM}{error}") from error
    if not isinstance(document, dict) or json_key not in document:
        raise SecretNotFound(
            f"{_ASM}retrieved secret from Secrets Manager did not contain json key {json_key}"
        )
    value = document[json_key]
    return value if isinstance(value, str) else json.dumps(value)


class BotoSecretStore:
    """ports.SecretStore and ObjectStore over boto3 clients; each call is made in a thread."""

    def __init__(self, make_client: MakeClient) -> None:
        self._make_client = make_client
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    async def resolve(self, value_from: str, region: str) -> str:
        reference = parse_reference(value_from, region)
        if isinstance(reference, AsmReference):
            return await asyncio.to_thread(self._from_asm, reference)
        return await asyncio.to_thread(self._from_ssm, reference)

    async def read_object(self, arn: str, region: str) -> bytes:
        return await asyncio.to_thread(self._from_s3, arn, region)

    def _from_s3(self, arn: str, region: str) -> bytes:
        bucket, _, key = arn.partition(":s3:::")[2].partition("/")
        try:
            return bytes(
                self._client("s3", region).get_object(Bucket=bucket, Key=key)["Body"].read()
            )
        except (ClientError, BotoCoreError) as error:
            raise ObjectNotFound(f"{arn}: {error}") from error

    def _client(self, service: str, region: str) -> Any:
        # boto3 sessions do not like to make two clients at once.
        with self._lock:
            key = (service, region)
            if key not in self._clients:
                self._clients[key] = self._make_client(service, region)
            return self._clients[key]

    def _from_asm(self, reference: AsmReference) -> str:
        wanted: dict[str, str] = {"SecretId": reference.secret_id}
        if reference.version_stage:
            wanted["VersionStage"] = reference.version_stage
        if reference.version_id:
            wanted["VersionId"] = reference.version_id
        try:
            answer = self._client("secretsmanager", reference.region).get_secret_value(**wanted)
        except ClientError as error:
            told = error.response.get("Error", {})
            raise SecretNotFound(
                f"{_ASM}failed to fetch secret {reference.secret_id} from secrets manager: "
                f"{told.get('Code')}: {told.get('Message')}"
            ) from error
        except BotoCoreError as error:
            raise SecretNotFound(
                f"{_ASM}failed to fetch secret {reference.secret_id} from secrets manager: {error}"
            ) from error
        secret = str(answer.get("SecretString") or "")
        return secret if reference.json_key is None else value_at(secret, reference.json_key)

    def _from_ssm(self, reference: SsmReference) -> str:
        try:
            answer = self._client("ssm", reference.region).get_parameters(
                Names=list(reference.names), WithDecryption=True
            )
        except ClientError as error:
            told = error.response.get("Error", {})
            raise SecretNotFound(f"{_SSM}{told.get('Code')}: {told.get('Message')}") from error
        except BotoCoreError as error:
            raise SecretNotFound(f"{_SSM}{error}") from error
        for parameter in answer.get("Parameters", ()):
            return str(parameter["Value"])
        raise SecretNotFound(f"{_SSM}invalid ssm parameters: {reference.names[0]}")


def region_clients(endpoint_url: str) -> MakeClient:
    """Clients of the local region's own API; it takes any credentials."""
    session = boto3.Session(aws_access_key_id="hikkoshi", aws_secret_access_key="hikkoshi")
    # proxies: none, whatever the environment says; the region's API is no one else's to reach.
    config = Config(
        connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2}, proxies={}
    )

    def make(service: str, region: str) -> Any:
        return session.client(service, region_name=region, endpoint_url=endpoint_url, config=config)

    return make
