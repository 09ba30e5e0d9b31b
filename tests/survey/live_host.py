"""A host to be surveyed live: the genba tree in namespaces of its own, with an sshd on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import old_genba

from hikkoshi.region.engine.tools import find_bwrap

SSHD = shutil.which("sshd", path="/usr/sbin:/sbin:/usr/bin")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def wait_for(port: int, what: str, deadline_s: float = 20.0) -> None:
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"{what} did not listen within {deadline_s:.0f} s")


@contextlib.contextmanager
def live_host(place: Path) -> Iterator[Path]:
    """The ssh configuration whose host `genba` is the live one; it ends with the block."""
    assert SSHD is not None
    root = old_genba.build(place / "root")
    ssh_port, port = free_port(), free_port()
    environment = root / "etc/genba/environment"
    environment.write_text(environment.read_text().replace("PORT=8080", f"PORT={port}"))
    for name in ("host", "key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / name], check=True
        )
    uid = os.getuid()
    user = "root" if uid == 0 else "survey"
    with (root / "etc/passwd").open("a") as passwd:
        if uid:
            passwd.write(f"{user}:x:{uid}:{os.getgid()}::/tmp:/bin/sh\n")
        passwd.write("sshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n")
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (root / "etc/genba/sshd_config").write_text(
        f"Port {ssh_port}\nListenAddress 127.0.0.1\nHostKey /keys/host\n"
        "AuthorizedKeysFile /keys/key.pub\nStrictModes no\nUsePAM no\nPidFile none\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
    )
    (root / "usr/lib/systemd/system/td-agent.service").rename(
        root / "etc/systemd/system/td-agent.service"
    )
    known = (place / "host.pub").read_text().rsplit(" ", 1)[0]
    (place / "known").write_text(f"[127.0.0.1]:{ssh_port} {known}\n")
    configuration = place / "ssh_config"
    configuration.write_text(
        f"Host genba\n  HostName 127.0.0.1\n  Port {ssh_port}\n  User {user}\n"
        f"  IdentityFile {place}/key\n  IdentitiesOnly yes\n  UserKnownHostsFile {place}/known\n"
    )
    program = [
        sys.executable, "-c",
        "import os, sys; os.execv(sys.argv[1], ['/usr/bin/python3', '/opt/genba/genba.pyz'])",
        str(Path(sys.executable).resolve()),
    ]  # fmt: skip
    sandbox = _sandbox(root, place)
    undo = contextlib.ExitStack()
    with undo:
        values = dict(line.split("=", 1) for line in environment.read_text().splitlines())
        # As systemd would have started it.
        unit = (root / "etc/systemd/system/genba.service").read_text()
        limit = int(unit.partition("LimitNOFILE=")[2].split()[0])
        site = next(p for p in sys.path if p.endswith("site-packages"))
        script = (
            f'mkdir -p /run/sshd; cd /opt/genba; (ulimit -n {limit}; exec "$@") & '
            f"exec {SSHD} -D -e -f /etc/genba/sshd_config"
        )
        process = subprocess.Popen(
            [*sandbox, "sh", "-c", script, "sh", *program],
            env={"PATH": "/usr/bin:/bin:/usr/sbin", "PYTHONPATH": site,
                 "PYTHONHOME": sys.base_prefix, **values},
            start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=(place / "out").open("w"), stderr=(place / "err").open("w"),
        )  # fmt: skip
        undo.callback(process.wait, 10)
        undo.callback(lambda: os.killpg(process.pid, signal.SIGKILL))
        wait_for(ssh_port, "sshd")
        wait_for(port, "genba")
        yield configuration


def _sandbox(root: Path, keys: Path) -> list[str]:
    """The tree's /etc, /opt and /var over the machine's programs; its own processes."""
    bwrap = str(find_bwrap())
    prefix = str(Path(sys.base_prefix).resolve())
    venv = str(Path(sys.prefix).resolve())
    links = [
        part
        for name in ("bin", "sbin", "lib", "lib64", "lib32")
        if Path("/", name).is_symlink()
        for part in ("--symlink", f"usr/{name}", f"/{name}")
    ]
    python = [p for place in (prefix, venv) if not place.startswith("/usr")
              for p in ("--ro-bind", place, place)]  # fmt: skip
    return [
        bwrap, "--ro-bind", "/usr", "/usr", *links, "--ro-bind", str(root / "etc"), "/etc",
        "--ro-bind", str(root / "opt"), "/opt", "--bind", str(root / "var"), "/var",
        "--ro-bind", str(keys), "/keys", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/run",
        "--tmpfs", "/tmp", *python, "--unshare-pid", "--die-with-parent",
    ]  # fmt: skip
