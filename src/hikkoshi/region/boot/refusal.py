"""Why this machine forbids namespaces, by the setting that does it."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.boot import linux

_DOCKER = "or use --engine docker"


@dataclass(frozen=True, slots=True)
class NamespaceFacts:
    """What the kernel says; None for a setting that it does not have."""

    unprivileged_userns_clone: int | None = None
    max_user_namespaces: int | None = None
    max_net_namespaces: int | None = None
    apparmor_restrict: int | None = None
    has_seccomp_filter: bool = False
    is_root: bool = False


def read_facts(proc: Path = Path("/proc")) -> NamespaceFacts:
    def number(name: str) -> int | None:
        try:
            return int((proc / "sys" / name).read_text())
        except (OSError, ValueError):
            return None

    status = (proc / "self" / "status").read_text()
    return NamespaceFacts(
        number("kernel/unprivileged_userns_clone"),
        number("user/max_user_namespaces"),
        number("user/max_net_namespaces"),
        number("kernel/apparmor_restrict_unprivileged_userns"),
        "\nSeccomp:\t2" in status,
        linux.has_capability(linux.CAP_SYS_ADMIN),
    )


def explain_refusal(step: str, number: int, facts: NamespaceFacts) -> CannotRun:
    """The error for a step of setting up namespaces that failed with this errno."""
    setting, fix = _culprit(number, facts)
    if setting is None:
        text = f"this machine does not allow the region's namespaces: {step} failed"
        return CannotRun(
            f"{text} ({errno.errorcode.get(number, number)})",
            fix=f"run it where user and network namespaces are allowed, {_DOCKER}",
        )
    return CannotRun(
        f"this machine does not allow user namespaces: {setting} forbids them ({step}: "
        f"{errno.errorcode.get(number, number)})",
        fix=f"{fix}, {_DOCKER}",
    )


def _or_many(number: int | None) -> int:
    return 1 << 62 if number is None else number


def _culprit(number: int, facts: NamespaceFacts) -> tuple[str | None, str]:
    if facts.unprivileged_userns_clone == 0 and not facts.is_root:
        name = "kernel.unprivileged_userns_clone"
        return f"{name} = 0", f"as root: sysctl -w {name}=1"
    if facts.max_user_namespaces == 0 and not facts.is_root:
        name = "user.max_user_namespaces"
        return f"{name} = 0", f"as root: sysctl -w {name}=15000"
    if number == errno.ENOSPC:
        names = {
            "user.max_user_namespaces": facts.max_user_namespaces,
            "user.max_net_namespaces": facts.max_net_namespaces,
        }
        name = min(names, key=lambda key: _or_many(names[key]))
        return f"{name} = {names[name]} (all in use)", f"as root: sysctl -w {name}=15000"
    if facts.apparmor_restrict == 1 and not facts.is_root:
        name = "kernel.apparmor_restrict_unprivileged_userns"
        return f"{name} = 1", f"as root: sysctl -w {name}=0"
    if facts.has_seccomp_filter and number in (errno.EPERM, errno.ENOSYS):
        return (
            "a seccomp filter (as a container's default one)",
            "start the container with --security-opt seccomp=unconfined",
        )
    return None, ""
