"""How everything reaches AWS: one client, two places. An account, or a local region.

Whoever deploys, breaks, measures or moves a service is handed an `Access` and does not know which
of the two it is. Only what AWS has no word for (`ask`) needs a local region.
"""

from __future__ import annotations

import json
import os
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)

from hikkoshi.aws.refusals import THROTTLED, refusal
from hikkoshi.base.errors import AwsRefused, BadInput, CannotRun, DeadlinePassed

THROTTLED_S = 120.0
"""How long a call that AWS throttles is tried again."""
URGENT_S = 5.0
"""The same for what has to be done, or be known to have failed, within seconds; and how long such a
call's answer is waited for."""
# A proxy of the environment's knows nothing of this machine's own ports.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# Any key will do for the local region; these are never real ones.
_LOCAL_KEYS = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}


@dataclass(frozen=True)
class Access:
    """endpoint: `http://127.0.0.1:<port>` of a local region; None: the account that boto3's own
    chain of credentials finds (environment, profile, role), with `AWS_ENDPOINT_URL` respected.
    region: AWS's name of the region. profile: of ~/.aws/config."""

    endpoint: str | None
    region: str
    profile: str | None = None
    _session: list[Any] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def to_account(cls, profile: str | None = None, region: str | None = None) -> Access:
        """The account of this profile. The region, as AWS's CLI finds it: given, AWS_REGION,
        AWS_DEFAULT_REGION, the profile's. BadInput: no such profile, or no region is configured."""
        try:
            found = boto3.Session(profile_name=profile, region_name=region or _named_region())
        except ProfileNotFound as error:
            raise BadInput(
                str(error), where="--profile", fix="`aws configure list-profiles` lists them"
            ) from error
        except BotoCoreError as error:
            raise BadInput(
                str(error), fix="correct ~/.aws/config, or what AWS_CONFIG_FILE names"
            ) from error
        if not found.region_name:
            raise BadInput(
                "no AWS region is configured",
                fix="give --region ap-northeast-1, set AWS_REGION, or set `region` in the profile",
            )
        return cls(None, found.region_name, profile, [found])

    @property
    def is_local(self) -> bool:
        return self.endpoint is not None

    def client(self, service: str, *, is_urgent: bool = False) -> Any:
        """is_urgent: for calls by `urgently`. Botocore's own pauses between its attempts grow up to
        20 s, so it is given one attempt."""
        own = {"total_max_attempts": 1} if is_urgent else self._attempts()
        config = botocore.config.Config(
            retries={"mode": "standard", **own},
            connect_timeout=5,
            read_timeout=URGENT_S if is_urgent else 60,
            max_pool_connections=8,
            proxies={} if self.is_local else None,
        )
        if self.endpoint is not None:
            return boto3.client(
                service,
                endpoint_url=self.endpoint,
                region_name=self.region,
                config=config,
                **_LOCAL_KEYS,
            )
        if not self._session:
            self._session.append(boto3.Session(profile_name=self.profile, region_name=self.region))
        try:
            return self._session[0].client(service, config=config)
        except (BotoCoreError, ValueError) as error:  # ValueError: what is no URL
            raise BadInput(
                f"no client of {service} can be made: {error}",
                fix="look at the region's name and at AWS_ENDPOINT_URL",
            ) from error

    def _attempts(self) -> dict[str, int]:
        """Botocore's own; a Config's would overrule what AWS_MAX_ATTEMPTS says."""
        if self.is_local:
            return {"max_attempts": 3}
        return {} if os.environ.get("AWS_MAX_ATTEMPTS") else {"max_attempts": 8}

    def ask(self, path: str, body: dict[str, Any] | None = None, timeout_s: float = 30.0) -> Any:
        """A call under `/_hikkoshi/`, of a local region only: GET without a body, else POST; JSON
        both ways."""
        if self.endpoint is None:
            raise CannotRun(f"{path} has no AWS call; only a local region answers it")
        request = urllib.request.Request(
            f"{self.endpoint}/_hikkoshi/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method="GET" if body is None else "POST",
        )
        try:
            with _DIRECT.open(request, timeout=timeout_s) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read(2000).decode("utf-8", "replace")
            raise AwsRefused(f"the region refused {path}: {text}") from error
        except OSError as error:
            raise AwsRefused(f"the region did not answer {path}: {error}") from error


def known_regions() -> list[str]:
    """AWS's regions in all partitions, as this version of botocore lists them."""
    session = boto3.Session()
    return sorted(
        {
            name
            for partition in session.get_available_partitions()
            for name in session.get_available_regions("ec2", partition)
        }
    )


def _named_region() -> str | None:
    """boto3 reads AWS_DEFAULT_REGION alone; AWS's CLI and other SDKs read AWS_REGION, and first."""
    return os.environ.get("AWS_REGION") or None


def calling(operation: str, call: Callable[..., Any], /, **parameters: Any) -> Any:
    """Make an AWS call; its error becomes AwsRefused with the operation's name.

    Throttling is waited out, beyond botocore's own few attempts, for `THROTTLED_S` at most."""
    return calling_for(THROTTLED_S, operation, call, **parameters)


def urgently(operation: str, call: Callable[..., Any], /, **parameters: Any) -> Any:
    """As `calling`, of a client that is urgent: throttling is waited out for `URGENT_S`."""
    return calling_for(URGENT_S, operation, call, **parameters)


def calling_for(
    throttled_s: float, operation: str, call: Callable[..., Any], /, **parameters: Any
) -> Any:
    """As `calling`; throttling is waited out for `throttled_s` at most."""
    gives_up = time.monotonic() + throttled_s
    pause_s = 0.2
    while True:
        try:
            return _call(operation, call, parameters)
        except AwsRefused as error:
            cause = error.__cause__
            is_throttled = (
                isinstance(cause, ClientError)
                and cause.response.get("Error", {}).get("Code") in THROTTLED
            )
            if not is_throttled or time.monotonic() > gives_up:
                raise
        time.sleep(pause_s * random.uniform(0.5, 1.0))
        pause_s = min(pause_s * 2, throttled_s / 10, 10.0)


def _call(operation: str, call: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    try:
        return call(**parameters)
    except ClientError as error:
        details = error.response.get("Error", {})
        raise refusal(operation, str(details.get("Code")), str(details.get("Message"))) from error
    except (NoCredentialsError, NoRegionError) as error:
        raise AwsRefused(
            f"{operation} could not be called: {error}",
            fix="run `aws configure` or `aws sso login`, or give --profile",
        ) from error
    except EndpointConnectionError as error:
        raise AwsRefused(
            f"{operation} could not be called: {error}",
            fix="is there a network, and does AWS have that region? `aws ec2 describe-regions`",
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
