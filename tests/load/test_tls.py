"""https, against a real TLS server with a certificate made here."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hikkoshi.load.attack import Attack
from hikkoshi.load.pacer import constant
from hikkoshi.load.run import LoadRun
from hikkoshi.load.targets import parse_targets

BODY = b"x" * 100_000


def make_certificate(directory: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(make_certificate(tmp_path))
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    def serve(raw: socket.socket) -> None:
        try:
            with context.wrap_socket(raw, server_side=True) as sock:
                data = b""
                while block := sock.recv(65536):
                    data += block
                    while b"\r\n\r\n" in data:
                        data = data.partition(b"\r\n\r\n")[2]
                        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)
                        sock.sendall(head + BODY)
        except OSError:
            raw.close()

    def accept() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(raw,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.mark.parametrize(
    ("is_verified", "statuses", "errors"),
    [(False, {200: 20}, {}), (True, {}, {"TlsFailed": 20})],
)
def test_https(
    port: int,
    tmp_path: Path,
    is_verified: bool,
    statuses: dict[int, int],
    errors: dict[str, int],
) -> None:
    plan = Attack.paced(
        parse_targets(f"GET https://127.0.0.1:{port}/"),
        constant(40, 0.5),
        is_tls_verified=is_verified,
        timeout_s=20.0,
    )
    with LoadRun(plan, tmp_path / "r") as run:
        summary = run.wait(30)
    assert (summary.whole.statuses, summary.whole.errors) == (statuses, errors)
    assert summary.whole.bytes_in == sum(statuses.values()) * len(BODY)


def test_tls_to_a_server_that_does_not_speak_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        plan = Attack.paced(
            parse_targets(f"GET https://127.0.0.1:{port}/"), constant(1, 1), timeout_s=20.0
        )
        with LoadRun(plan, tmp_path / "r") as run:
            summary = run.wait(30)
    assert summary.whole.errors == {"TlsFailed": 1}
