"""How the trials reach a region: AWS's API through boto3, and the few calls AWS has no word for."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import botocore.config
from botocore.exceptions import BotoCoreError, ClientError

from hikkoshi.base.errors import AwsRefused, DeadlinePassed

# Any key will do for the local region; these are never real ones.
_LOCAL_KEYS = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}


@dataclass(frozen=True)
class Access:
    """endpoint: `http://127.0.0.1:<port>` of a local region. region: AWS's name of the region."""

    endpoint: str
    region: str

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.region,
            config=botocore.config.Config(
                retries={"max_attempts": 3, "mode": "standard"},
                connect_timeout=5,
                read_timeout=60,
                max_pool_connections=8,
            ),
            **_LOCAL_KEYS,
        )

    def ask(self, path: str, body: dict[str, Any] | None = None, timeout_s: float = 30.0) -> Any:
        """A call under `/_hikkoshi/`: GET without a body, else POST; JSON both ways."""
        request = urllib.request.Request(
            f"{self.endpoint}/_hikkoshi/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method="GET" if body is None else "POST",
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read(2000).decode("utf-8", "replace")
            raise AwsRefused(f"the region refused {path}: {text}") from error
        except OSError as error:
            raise AwsRefused(f"the region did not answer {path}: {error}") from error


def calling(operation: str, call: Callable[..., Any], /, **parameters: Any) -> Any:
    """Make an AWS call; its error becomes AwsRefused with the operation's name."""
    try:
        return call(**parameters)
    except ClientError as error:
        details = error.response.get("Error", {})
        raise AwsRefused(
            f"{operation} was refused: {details.get('Code')}: {details.get('Message')}"
        ) from error
    except BotoCoreError as error:
        raise AwsRefused(f"{operation} could not be called: {error}") from error


def wait_until(
    what: str,
    is_so: Callable[[], bool],
    deadline_s: float,
    *,
    every_s: float = 0.1,
    explain: Callable[[], str] | None = None,
) -> float:
    """Poll until `is_so`; the seconds it took. DeadlinePassed says what did not happen, and why if
    `explain` can tell."""
    started = time.monotonic()
    while not is_so():
        waited = time.monotonic() - started
        if waited > deadline_s:
            why = explain() if explain else ""
            raise DeadlinePassed(
                f"{what} did not happen within {deadline_s:.0f} s" + (f": {why}" if why else "")
            )
        time.sleep(every_s)
    return time.monotonic() - started
