"""What /proc tells: signal handlers, sockets that listen, connections that were tried."""

from __future__ import annotations

import ipaddress
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hikkoshi.region.task.proc import (
    Opens,
    handles,
    is_caught,
    listening_of,
    opens_of,
    parse_in_use,
    parse_listening,
    parse_opens,
    tcp_in_use,
)

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:07D0 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   2: 0301000A:1F90 1000000A:C350 01 00000000:00000000 00:00000000 00000000     0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A
   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A
   2: 0000000000000000FFFF00000100007F:1F91 00000000000000000000000000000000:0000 0A
"""
MAPPED = str(ipaddress.ip_address("::ffff:127.0.0.1"))
SNMP = """\
Ip: Forwarding DefaultTTL
Ip: 1 64
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets
Tcp: 1 200 120000 -1 121 40 9 3
"""


def test_listening_sockets_are_read_from_both_tables():
    assert parse_listening(TCP) == {("127.0.0.1", 2000), ("0.0.0.0", 8080)}
    assert parse_listening(TCP6) == {("::", 8080), ("::1", 80), (MAPPED, 8081)}
    assert parse_listening("") == set()


def test_connections_that_were_tried():
    assert parse_opens(SNMP) == Opens(opened=121, failed=9)
    assert parse_opens("Tcp: ActiveOpens\n") is None
    assert parse_opens("") is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Name:\tapp\nSigCgt:\t0000000000004000\n", True),
        ("SigCgt:\t0000000000000002\n", False),
        ("Name:\tapp\n", None),
    ],
)
def test_a_handler_for_sigterm(status, expected):
    assert is_caught(status, 15) is expected


@pytest.mark.parametrize(
    ("handler", "expected"),
    [("lambda *_: None", True), ("signal.SIG_DFL", False), ("signal.SIG_IGN", False)],
)
def test_a_real_process_and_its_handler(handler, expected):
    code = f"import signal; signal.signal(15, {handler}); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"1\n"
        assert handles(Path(f"/proc/{process.pid}"), "SIGTERM") is expected
        assert handles(Path(f"/proc/{process.pid}"), "TERM") is expected
        process.kill()
    assert handles(Path(f"/proc/{process.pid}"), "SIGTERM") is None
    assert handles(Path("/proc/self"), "NOSIGNAL") is None


def test_a_real_socket_and_a_real_connection():
    before = opens_of(Path("/proc/self"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert ("127.0.0.1", port) in listening_of(Path("/proc/self"))
        assert tcp_in_use(Path("/proc/self"))[0] > 0
        socket.create_connection(("127.0.0.1", port)).close()
    assert ("127.0.0.1", port) not in listening_of(Path("/proc/self"))
    assert opens_of(Path("/proc/self")).opened > before.opened


def test_sockets_in_use() -> None:
    text = "sockets: used 43\nTCP: inuse 3 orphan 0 tw 3409 alloc 11 mem 100\nUDP: inuse 1 mem 3\n"
    assert parse_in_use(text) == 3
    assert parse_in_use("TCP6: inuse 2\nUDP6: inuse 0\n") == 2
    assert parse_in_use("") == 0
