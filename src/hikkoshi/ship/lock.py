"""One deploy at a time for a service: a parameter in SSM, whose creation is atomic.

A tag on the service could be written by two at once; PutParameter without Overwrite cannot. A lock
is stale when its time is over, or when it was taken on this machine by a process that is gone.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from hikkoshi.aws.access import Access, calling
from hikkoshi.base.errors import AwsRefused, CannotRun
from hikkoshi.ship.audit import whoami


@dataclass(frozen=True, slots=True)
class Held:
    """What the parameter's value says, as JSON. until: seconds since the epoch."""

    owner: str
    host: str
    pid: int
    started: int
    what: str
    until: float
    nonce: str

    @property
    def is_stale(self) -> bool:
        if self.until < datetime.datetime.now(datetime.UTC).timestamp():
            return True
        return self.host == _machine() and _started(self.pid) != self.started


def name_of(cluster: str, service: str) -> str:
    return f"/hikkoshi/locks/{cluster}/{service}"


@contextlib.contextmanager
def held(
    access: Access, cluster: str, service: str, what: str, for_s: float, *, breaks: bool = False
) -> Iterator[None]:
    """CannotRun names who holds it. breaks: take it from whoever has it."""
    name, ssm = name_of(cluster.rsplit("/", 1)[-1], service), access.client("ssm")
    now = datetime.datetime.now(datetime.UTC).timestamp()
    mine = Held(
        whoami(), _machine(), os.getpid(), _started(os.getpid()), what, now + for_s,
        secrets.token_hex(8),
    )  # fmt: skip
    value = json.dumps(asdict(mine))
    if not _put(ssm, name, value, overwrites=False):
        other = _read(ssm, name)
        if other is not None and not (other.is_stale or breaks):
            until = datetime.datetime.fromtimestamp(other.until, datetime.UTC)
            raise CannotRun(
                f"{other.owner} holds the lock of {service}: {other.what} (process {other.pid}, "
                f"until {until:%Y-%m-%d %H:%M:%S} UTC at the latest)",
                fix="wait for it; if it is known to be dead: --break-lock",
            )
        _put(ssm, name, value, overwrites=True)
        seen = _read(ssm, name)
        if seen is not None and seen.nonce != mine.nonce:
            raise CannotRun(f"{seen.owner} took the lock of {service} first: {seen.what}")
    try:
        yield
    finally:
        seen = _read(ssm, name)
        if seen is not None and seen.nonce == mine.nonce:
            calling("ssm:DeleteParameter", ssm.delete_parameter, Name=name)


def remove_stale(access: Access, cluster: str, service: str) -> bool:
    """What a deploy that was killed left, if it is known to be over. Whether there was one."""
    name, ssm = name_of(cluster.rsplit("/", 1)[-1], service), access.client("ssm")
    try:
        other = _read(ssm, name)
        if other is None or not other.is_stale:
            return False
        calling("ssm:DeleteParameter", ssm.delete_parameter, Name=name)
    except AwsRefused:
        # Whoever may not look at locks has taken none.
        return False
    return True


def _put(ssm: object, name: str, value: str, *, overwrites: bool) -> bool:
    try:
        calling(
            "ssm:PutParameter", ssm.put_parameter, Name=name, Value=value,  # type: ignore[attr-defined]
            Type="String", Overwrite=overwrites,
        )  # fmt: skip
    except AwsRefused as error:
        if "ParameterAlreadyExists" in error.what:
            return False
        error.fix = f"{error.fix or ''} (for the lock; --no-lock does without)".strip()
        raise
    return True


def _read(ssm: object, name: str) -> Held | None:
    try:
        found = calling("ssm:GetParameter", ssm.get_parameter, Name=name)  # type: ignore[attr-defined]
        return Held(**json.loads(found["Parameter"]["Value"]))
    except AwsRefused as error:
        if "ParameterNotFound" in error.what:
            return None
        raise
    except (ValueError, TypeError):
        return None


def _machine() -> str:
    """This machine and this boot of it: a process id means nothing elsewhere."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()}/{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> int:
    """When that process started, in the kernel's ticks; 0 if there is none, or only its remains."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return 0 if fields[0] == "Z" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return 0
