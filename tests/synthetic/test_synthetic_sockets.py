"""TCP, TLS, DNS, UDP, WebSocket and ICMP checks against real peers on loopback."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dnslib.server
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.sync.server import serve

from hikkoshi.synthetic import State, SyntheticResult, parse_tests, run
from hikkoshi.synthetic.datadog.read import parse_document


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of localhost, for ten days, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "localhost"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Genba"),
        ]
    )
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=10, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture(scope="module")
def tls_port(certificate: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError), context.wrap_socket(sock, True) as wrapped:
                if wrapped.recv(4096):
                    wrapped.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    threading.Thread(target=answer, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def ours(text: str) -> SyntheticResult:
    return run(parse_tests(f"tests: [{{name: t, {text}}}]"), None)[0]


def theirs(subtype: str, request: dict[str, Any], *assertions: Any, **options: Any) -> Any:
    config = {
        "request": request,
        "assertions": [
            dict(zip(("type", "operator", "target", "property"), each, strict=False))
            for each in assertions
        ],
    }
    document = {"name": "t", "type": "api", "subtype": subtype, "config": config}
    tests = parse_document(json.dumps({**document, "options": options}), "t.json")
    return run(tests, None)[0]


def test_a_certificate_is_judged(tls_port: int) -> None:
    refused = ours(f"tls: 'localhost:{tls_port}'")
    assert refused.state is State.FAILED and "SSL: the certificate was refused" in refused.reason
    place = f"tls: 'localhost:{tls_port}', insecure: true"
    good = ours(f"{place}, expect: {{days left: 10, tls version: 1.2, time: 5s}}")
    assert good.state is State.OK, good.reason
    timings = good.steps[0].timings
    assert timings.tls_s is not None and timings.connect_s is not None
    late = ours(f"{place}, expect: {{days left: 11}}")
    assert "expected at least 11 days left, came 10.0 days" in late.reason
    web = ours(
        f"request: 'GET https://localhost:{tls_port}/', insecure: true, expect: {{body: ok}}"
    )
    assert web.state is State.OK, web.reason


def test_datadogs_certificate_test(tls_port: int) -> None:
    result = theirs(
        "ssl",
        {"host": "localhost", "port": tls_port},
        ("certificate", "isInMoreThan", 9),
        ("property", "is", "Genba", "subject.O"),
        ("tlsVersion", "moreThanOrEqual", 1.2),
        ("minTlsVersion", "is", 1.2),
        ("responseTime", "lessThan", 5000),
        accept_self_signed=True,
    )
    assert result.state is State.OK, result.reason
    assert len(result.steps[0].checks) == 5


def test_a_port_is_open_or_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert ours(f"tcp: '127.0.0.1:{port}'").state is State.OK
        wrong = ours(f"tcp: '127.0.0.1:{port}', expect: {{connection: refused}}")
        assert "expected refused, came established" in wrong.reason
    closed = ours(f"tcp: '127.0.0.1:{port}'")
    assert "CONNREFUSED" in closed.reason
    assert ours(f"tcp: '127.0.0.1:{port}', expect: {{connection: refused}}").state is State.OK
    asked = {"host": "127.0.0.1", "port": port}
    assert theirs("tcp", asked, ("connection", "is", "refused")).state is State.OK
    assert theirs("tcp", asked, ("responseTime", "lessThan", 9)).state is State.FAILED


def test_names_are_asked_of_any_server() -> None:
    records = "a.example 60 A 192.0.2.1\na.example 60 A 192.0.2.2\na.example 60 TXT 'v=1'"
    zone = [record for line in records.splitlines() for record in dnslib.RR.fromZone(line)]

    class Zone:
        def resolve(self, request: Any, handler: Any) -> Any:
            reply = request.reply()
            found = [r for r in zone if r.rname == request.q.qname and r.rtype == request.q.qtype]
            reply.add_answer(*found)
            known = any(r.rname == request.q.qname for r in zone)
            reply.header.rcode = 0 if known else dnslib.RCODE.NXDOMAIN
            return reply

    quiet = dnslib.server.DNSLogger("-request,-reply,-truncated,-error,-recv,-send,-data")
    server = dnslib.server.DNSServer(Zone(), address="127.0.0.1", port=0, logger=quiet)
    server.start_thread()
    try:
        asked = {"host": "a.example", "dnsServer": "127.0.0.1",
                 "dnsServerPort": str(server.server.server_address[1])}  # fmt: skip
        good = theirs(
            "dns",
            asked,
            ("recordEvery", "matches", r"^192\.0\.2\.", "A"),
            ("recordSome", "is", "v=1", "TXT"),
            ("responseTime", "lessThan", 5000),
        )
        assert good.state is State.OK, good.reason
        none = theirs("dns", {**asked, "host": "b.example"}, ("recordSome", "is", "x", "A"))
        assert "DNS: b.example A: NXDOMAIN" in none.reason
    finally:
        server.stop()


def test_a_datagram_and_its_answer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))

        def echo() -> None:
            data, address = peer.recvfrom(100)
            peer.sendto(b"heard " + data, address)

        thread = threading.Thread(target=echo)
        thread.start()
        asked = {"host": "127.0.0.1", "port": peer.getsockname()[1], "message": "hello"}
        result = theirs("udp", asked, ("receivedMessage", "is", "heard hello"))
        thread.join()
    assert result.state is State.OK, result.reason


def test_a_websocket_answers() -> None:
    def echo(connection: Any) -> None:
        for message in connection:
            connection.send(f"heard {message}")

    with serve(echo, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        asked = {"url": f"ws://127.0.0.1:{port}/socket", "message": "hello"}
        good = theirs("websocket", asked, ("receivedMessage", "contains", "heard hello"),
                      ("responseTime", "lessThan", 5000))  # fmt: skip
        assert good.state is State.OK, good.reason
        binary = {**asked, "message": "aGVsbG8=", "isMessageBase64Encoded": True}
        told = theirs("websocket", binary, ("receivedMessage", "is", "heard b'hello'"))
        assert told.state is State.OK, told.reason
        server.shutdown()


def test_a_handshake_that_is_refused_is_said(service: Any) -> None:
    url = service.url.replace("http", "ws") + "/reports"
    result = theirs("websocket", {"url": url}, ("responseTime", "lessThan", 9000))
    assert result.state is State.FAILED
    assert "WEBSOCKET: the handshake failed" in result.reason


def test_echoes_come_back_or_are_not_tried() -> None:
    result = theirs(
        "icmp",
        {"host": "127.0.0.1", "numberOfPackets": 2},
        ("packetLossPercentage", "is", 0),
        ("packetsReceived", "is", 2),
        ("latency", "lessThan", 1000, "avg"),
    )
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()
    except PermissionError:
        assert result.state is State.NOT_TRIED and "ping_group_range" in result.reason
    else:
        assert result.state is State.OK, result.reason


def test_redirects_are_followed_and_keep_secrets_home(service: Any) -> None:
    import http.server

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place = "/loop" if self.path == "/loop" else f"{service.url}/echo"
            self.send_response(302)
            self.send_header("Location", place)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    asked = {"url": url, "headers": {"Authorization": "Bearer secret"}}
    status = ("statusCode", "is", 200)
    followed = theirs("http", asked, status, follow_redirects=True)
    assert followed.state is State.OK, followed.reason
    assert followed.steps[0].timings.redirect_s is not None
    assert service.tokens == [None]
    assert theirs("http", asked, ("statusCode", "is", 302)).state is State.OK
    loop = theirs("http", {"url": f"{url}/loop"}, status, follow_redirects=True)
    assert "TOO_MANY_REDIRECTS" in loop.reason
    server.shutdown()
    server.server_close()
