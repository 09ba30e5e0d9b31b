"""bwrap's arguments for one container, and the files that Docker writes into every one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from hikkoshi.region.engine.users import User

# What Docker keeps, less MKNOD: a region that runs as root must not hand out the machine's disks.
KEPT_CAPABILITIES = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def capabilities_of(added: Collection[str], dropped: Collection[str]) -> tuple[str, ...]:
    """What root in a container keeps; names as the task definition has them."""
    kept = [] if "ALL" in dropped else [c for c in KEPT_CAPABILITIES if c[4:] not in dropped]
    return tuple(dict.fromkeys([*kept, *(f"CAP_{name}" for name in added)]))


def container_environment(
    environment: Mapping[str, str], user: User, hostname: str
) -> dict[str, str]:
    """With what the container runtime adds where it is not set."""
    return {"PATH": DEFAULT_PATH, "HOSTNAME": hostname, "HOME": user.home, **environment}


def bwrap_options(
    *,
    layout: Sequence[str],
    user: User,
    capabilities: Sequence[str],
    environment: Mapping[str, str],
    hostname: str,
    working_directory: str,
    argv0: str,
    info_fd: int,
    block_fd: int,
) -> list[str]:
    """All but the program and the command itself. The command becomes PID 1 of its namespace."""
    options = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--as-pid-1"]
    options += ["--die-with-parent", "--new-session", "--hostname", hostname]
    if not user.is_root:
        options += ["--unshare-user", "--uid", str(user.uid), "--gid", str(user.gid)]
    options += [*layout, "--cap-drop", "ALL"]
    if user.is_root:
        for capability in capabilities:
            options += ["--cap-add", capability]
    options += ["--clearenv"]
    for name, value in environment.items():
        options += ["--setenv", name, value]
    options += ["--chdir", working_directory, "--argv0", argv0]
    return [*options, "--info-fd", str(info_fd), "--block-fd", str(block_fd)]


def network_files(hostname: str, address: str, resolver: str) -> dict[str, str]:
    """By the container's path: /etc/hosts, /etc/hostname, /etc/resolv.conf."""
    hosts = f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n{address}\t{hostname}\n"
    return {
        "/etc/hosts": hosts,
        "/etc/hostname": f"{hostname}\n",
        "/etc/resolv.conf": f"nameserver {resolver}\noptions timeout:2 attempts:2\n",
    }
