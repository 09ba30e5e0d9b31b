"""One target's life, decided from what HAProxy saw: initial, healthy, unhealthy, draining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hikkoshi.region.ports import TargetHealth

_PASSED = frozenset({"L4OK", "L6OK", "L7OK", "L7OKC"})
_NOT_YET = frozenset({"", "INI", "UNK", "SOCKERR"})

INITIAL = ("Elb.InitialHealthChecking", "Initial health checks in progress")
DRAINING = ("Target.DeregistrationInProgress", "Target deregistration is in progress")
NOT_REGISTERED = TargetHealth(
    "unused", "Target.NotRegistered", "Target is not registered to the target group"
)
NOT_IN_USE = TargetHealth(
    "unused",
    "Target.NotInUse",
    "Target group is not configured to receive traffic from the load balancer",
)


@dataclass(frozen=True, slots=True)
class Target:
    """phase: AWS's word for its health. number: never given twice. drained_by: the moment
    (monotonic seconds) at which draining ends whatever is left."""

    address: str
    port: int
    number: int
    phase: str = "initial"
    reason: str | None = INITIAL[0]
    description: str | None = INITIAL[1]
    drained_by: float | None = None
    slow_since: float | None = None
    """The moment (monotonic seconds) at which it began to get an increasing share."""
    share: float | None = None
    """Of what it will get in the end, while that increases."""
    instance_id: str | None = None

    @property
    def server(self) -> str:
        return f"{self.address}:{self.port}"

    @property
    def id(self) -> str:
        """As the API names it."""
        return self.instance_id or self.address

    @property
    def spare(self) -> str:
        """The same target without a check: what is left when no target is healthy (fail open)."""
        return f"{self.server}-open"

    @property
    def health(self) -> TargetHealth:
        return TargetHealth(self.phase, self.reason, self.description)


_STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "other")


@dataclass(frozen=True, slots=True)
class ServerRow:
    """A line of HAProxy's `show stat` for a server."""

    status: str
    check: str
    check_code: str
    sessions: int
    requests: int = 0
    """Since the process began; counted for frontends only."""
    responses: int = 0
    """Since the process began, of every status."""
    queued: int = 0
    retries: int = 0
    """Since the process began."""
    response_ms: int = 0
    """Mean over the last 1,024 responses."""
    connections: int = 0
    """Since the process began."""
    bytes_passed: int = 0
    """In both directions, since the process began."""

    @property
    def is_down(self) -> bool:
        return self.status.startswith("DOWN") or self.status == "NOLB"


def read_statistics(text: str) -> dict[tuple[str, str], ServerRow]:
    """`show stat` → (backend, server) → row. Frontends and backends have theirs as well, under
    the names FRONTEND and BACKEND."""
    lines = [line for line in text.splitlines() if line]
    if not lines or not lines[0].startswith("# pxname"):
        return {}
    column = {name: index for index, name in enumerate(lines[0][2:].split(","))}
    rows = {}
    for line in lines[1:]:
        cells = line.split(",")
        rows[cells[0], cells[1]] = ServerRow(
            status=cells[column["status"]],
            check=cells[column["check_status"]].removeprefix("* "),
            check_code=cells[column["check_code"]],
            sessions=int(cells[column["scur"]] or 0),
            requests=int(cells[column["req_tot"]] or 0),
            responses=sum(int(cells[column[f"hrsp_{kind}"]] or 0) for kind in _STATUSES),
            queued=int(cells[column["qcur"]] or 0),
            retries=int(cells[column["wretr"]] or 0),
            response_ms=int(cells[column["rtime"]] or 0),
            connections=int(cells[column["stot"]] or 0),
            bytes_passed=int(cells[column["bin"]] or 0) + int(cells[column["bout"]] or 0),
        )
    return rows


def counters_of(
    processes: Sequence[Mapping[tuple[str, str], ServerRow]], backend: str, names: Sequence[str]
) -> dict[str, float] | None:
    """Pure: the sum over those servers in all processes, as a row of the evidence has it; None
    where no process knows them."""
    rows = [seen[backend, name] for seen in processes for name in names if (backend, name) in seen]
    if not rows:
        return None
    timed = [row.response_ms for row in rows if row.responses]
    return {
        "at_work": sum(row.sessions for row in rows),
        "queued": sum(row.queued for row in rows),
        "responses": sum(row.responses for row in rows),
        "retries": sum(row.retries for row in rows),
        "response_s": max(timed, default=0) / 1000,
    }


def judge(target: Target, row: ServerRow | None) -> Target:
    """The target after what HAProxy saw of it.

    As at AWS one passed check makes an initial target healthy, whatever the threshold; it is
    unhealthy when as many checks failed as the unhealthy threshold says. Draining ends elsewhere.
    """
    if row is None or target.phase == "draining" or row.check in _NOT_YET:
        return target
    if row.is_down:
        if target.phase == "unhealthy" and row.check in _PASSED:
            return target
        reason, description = _why(row)
        return replace(target, phase="unhealthy", reason=reason, description=description)
    if target.phase == "initial" and row.check not in _PASSED:
        return target
    return replace(target, phase="healthy", reason=None, description=None)


def begins_slowly(target: Target, others: Mapping[str, Target], duration_s: float) -> bool:
    """Whether a target that has become healthy gets an increasing share. AWS: not the first ones
    of an empty group; one needs a healthy target that is not in slow start itself."""
    is_there = any(
        each.phase == "healthy" and each.slow_since is None
        for key, each in others.items()
        if key != target.server
    )
    return duration_s > 0 and is_there


def share_at(slow_since: float, duration_s: float, now: float) -> float | None:
    """Linear; None when it is the full one."""
    share = (now - slow_since) / duration_s if duration_s else 1.0
    return None if share >= 1 else max(0.0, share)


def _why(row: ServerRow) -> tuple[str, str]:
    if row.check == "L7STS":
        codes = f"Health checks failed with these codes: [{row.check_code}]"
        return "Target.ResponseCodeMismatch", codes
    if row.check.endswith("TOUT"):
        return "Target.Timeout", "Request timed out"
    return "Target.FailedHealthChecks", "Health checks failed"


def state_lines(
    backend: str,
    backend_id: int,
    targets: Mapping[str, Target],
    rise: int,
    fall: int,
    *,
    has_cookies: bool = False,
    is_encrypted: bool = False,
    weights: Mapping[str, int] | None = None,
) -> list[str]:
    """Lines of HAProxy's server-state-file, so that a new process goes on where the last one was
    and does not take every server for healthy until its first check."""
    lines = []
    for target in targets.values():
        is_up = target.phase != "unhealthy"
        leaving = 1 if has_cookies else 8
        admin = {"initial": 8, "draining": leaving}.get(target.phase, 0)
        health = rise + fall - 1 if is_up else 0
        check = "15 3" if target.phase == "healthy" else "1 0"
        spare_admin = leaving if target.phase == "draining" else 0
        weight = (weights or {}).get(target.server, 1)
        for name, number, up, forced, weighed, checked in (
            (target.server, target.number * 2, is_up, admin, weight, f"{check} {health} 6"),
            (target.spare, target.number * 2 + 1, True, spare_admin, 1, "1 0 0 0"),
        ):
            tls = int(is_encrypted)
            lines.append(
                f"{backend_id} {backend} {number} {name} {target.address} {2 if up else 0} "
                f"{forced} {weighed} {weighed} 1 {checked} 0 1 1 - {target.port} - {tls} 0 - - 0"
            )
    return lines


STATE_HEADER = (
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight "
    "srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health "
    "srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord "
    "srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n"
)
