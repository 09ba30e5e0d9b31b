"""What the measures of the load generator are held against: nginx as the server, on a core of its
own, and wrk, hey and vegeta, where they are installed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

SERVER_CORE, CLIENT_CORE = 0, 1
BODY = "x" * 48

_NGINX = """
worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path {directory}/b; proxy_temp_path {directory}/p;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    listen 127.0.0.1:{tls_port} ssl backlog=4096;
    ssl_certificate {directory}/cert.pem; ssl_certificate_key {directory}/key.pem;
    location / {{ default_type text/plain; return 200 "{body}"; }}
  }}
}}
"""


class CpuClock:
    """Seconds of CPU that children which have ended used since it was made: what a client costs
    is told by it even when others share its core."""

    def __init__(self) -> None:
        self._start = self._now()

    @staticmethod
    def _now() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def seconds(self) -> float:
        return self._now() - self._start


def pin(core: int) -> None:
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {core})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def nginx(directory: Path) -> Iterator[tuple[str, str]]:
    """(http address, https address) of one worker that answers 48 bytes."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise SystemExit("not measured: nginx is not installed (apt-get install nginx-light)")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
         "-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    port, tls_port = free_port(), free_port()
    (directory / "nginx.conf").write_text(
        _NGINX.format(directory=directory, port=port, tls_port=tls_port, body=BODY)
    )
    server = subprocess.Popen(
        [program, "-p", str(directory), "-c", str(directory / "nginx.conf")],
        preexec_fn=lambda: pin(SERVER_CORE),
    )
    try:
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("nginx did not start")
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/", f"https://127.0.0.1:{tls_port}/"
    finally:
        server.terminate()
        server.wait()


def _run(command: list[str], pattern: str, feed: str = "") -> float | None:
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, input=feed,
        preexec_fn=lambda: pin(CLIENT_CORE),
    )  # fmt: skip
    match = re.search(pattern, done.stdout)
    return float(match[1]) if match else None


def wrk(url: str, connections: int, seconds: float) -> float | None:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", url]
    return _run(command, r"Requests/sec:\s+([\d.]+)")


def hey(url: str, connections: int, seconds: float) -> float | None:
    command = ["hey", "-cpus", "1", "-c", str(connections), "-z", f"{seconds:g}s", url]
    return _run(command, r"Requests/sec:\s+([\d.]+)")


def vegeta(url: str, connections: int, seconds: float) -> float | None:
    """As fast as it goes: rate 0 with so many workers."""
    if shutil.which("vegeta") is None:
        return None
    workers = str(connections)
    attack = subprocess.run(
        ["vegeta", "-cpus", "1", "attack", "-rate=0", f"-max-workers={workers}",
         f"-workers={workers}", f"-duration={seconds:g}s", "-insecure"],
        input=f"GET {url}\n".encode(), capture_output=True, check=False,
        preexec_fn=lambda: pin(CLIENT_CORE),
    )  # fmt: skip
    report = subprocess.run(
        ["vegeta", "report", "-type=json"], input=attack.stdout, capture_output=True, check=False
    )
    if report.returncode:
        return None
    return float(json.loads(report.stdout)["rate"])
