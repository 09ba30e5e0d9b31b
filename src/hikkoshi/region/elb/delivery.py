"""Access logs on their way to S3: a file for each load balancer, every five minutes."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from hikkoshi.region.elb.alb_log import Logged, entry_of, key_of, trial_key_of
from hikkoshi.region.elb.model import Holdings, Listener, LoadBalancer
from hikkoshi.region.front.port import AwsError, NotImplementedByRegion

EVERY_S = 300
_MOST_LINES = 50_000
"""AWS, too, writes several files for a busy five minutes."""

_log = logging.getLogger(__name__)

PutObject = Callable[[str, str, str, bytes], Awaitable[str | None]]
"""(AWS's region, bucket, key, content) → what S3 has against it; None: it is written."""


@dataclass(slots=True)
class _Waiting:
    balancer: LoadBalancer
    lines: list[str] = field(default_factory=list)


class Delivery:
    """On the region's loop. What is not yet written when the region is killed is lost."""

    def __init__(self, put: PutObject | None) -> None:
        self._put = put
        self._waiting: dict[str, _Waiting] = {}
        self._interval = 0
        self._writing: set[asyncio.Task[None]] = set()

    async def check(self, balancer: LoadBalancer) -> None:
        """Whether the bucket takes a file, by AWS's own trial; AwsError if not."""
        if self._put is None:
            raise NotImplementedByRegion("elbv2: access logs, without S3")
        bucket = balancer.attributes["access_logs.s3.bucket"]
        if not bucket:
            raise AwsError("ValidationError", "The value of 'access_logs.s3.bucket' is empty")
        key = trial_key_of(balancer, balancer.attributes["access_logs.s3.prefix"])
        text = f"Enable AccessLog for ELB: {balancer.name}"
        if await self._put(balancer.arn.split(":")[3], bucket, key, text.encode()) is not None:
            what = f"Access Denied for bucket: {bucket}. Please check S3bucket permission"
            raise AwsError("InvalidConfigurationRequest", what)

    def take(self, requests: list[Logged], held: Holdings) -> None:
        listeners = {each.frontend: each for each in held.listeners.values()}
        for request in requests:
            listener = listeners.get(request.frontend)
            if listener is None:
                continue
            balancer = held.load_balancers[listener.load_balancer_arn]
            waiting = self._waiting.setdefault(balancer.arn, _Waiting(balancer))
            waiting.balancer = balancer
            waiting.lines.append(entry_of(request, held, listener, _certificates_of(listener)))

    def look(self, now: float) -> None:
        """Begin to write what is due."""
        interval = int(now // EVERY_S)
        is_due, self._interval = interval > self._interval > 0, interval
        for arn in list(self._waiting):
            if is_due or len(self._waiting[arn].lines) >= _MOST_LINES:
                self._begin(self._waiting.pop(arn), interval * EVERY_S if is_due else now)

    async def flush(self, now: float) -> None:
        """Write what there is, whether it is due or not, and wait for it."""
        for arn in list(self._waiting):
            self._begin(self._waiting.pop(arn), now)
        if self._writing:
            await asyncio.wait(self._writing)

    def _begin(self, waiting: _Waiting, end: float) -> None:
        task = asyncio.create_task(self._write(waiting, end), name="elb-access-log")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, waiting: _Waiting, end: float) -> None:
        balancer = waiting.balancer
        bucket, prefix = (balancer.attributes[f"access_logs.s3.{x}"] for x in ("bucket", "prefix"))
        content = gzip.compress(("\n".join(waiting.lines) + "\n").encode())
        if self._put is None:
            return
        key = key_of(balancer, prefix, end)
        fault = await self._put(balancer.arn.split(":")[3], bucket, key, content)
        if fault is not None:
            _log.warning("the access log of %s is lost: %s", balancer.arn, fault)


def _certificates_of(listener: Listener) -> Mapping[str, str]:
    return {_fingerprint(file): arn for arn, file in listener.certificates}


_FIRST = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


@lru_cache(maxsize=64)
def _fingerprint(file: str) -> str:
    found = _FIRST.search(Path(file).read_text())
    return (
        hashlib.sha1(base64.b64decode(found[1]), usedforsecurity=False).hexdigest() if found else ""
    )
