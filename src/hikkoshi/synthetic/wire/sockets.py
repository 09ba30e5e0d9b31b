"""Connecting: names, TCP, TLS; and the requests that are no more than that."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import ssl
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from hikkoshi.synthetic.reply import Certificate, Reply, Tls
from hikkoshi.synthetic.requests import ClientCertificate, TcpRequest, TlsRequest, UdpRequest
from hikkoshi.synthetic.wire.clock import Watch

VERSIONS = (
    (1.0, ssl.TLSVersion.TLSv1),
    (1.1, ssl.TLSVersion.TLSv1_1),
    (1.2, ssl.TLSVersion.TLSv1_2),
    (1.3, ssl.TLSVersion.TLSv1_3),
)
_SHORT = {
    NameOID.COMMON_NAME: "CN",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.COUNTRY_NAME: "C",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
}


def open_tcp(host: str, port: int, watch: Watch, connect_to: str | None) -> socket.socket:
    """Raises OSError of the last address that was tried."""
    if connect_to is not None and connect_to.startswith("unix:"):
        local = socket.socket(socket.AF_UNIX)
        with watch.phase("connect"):
            local.settimeout(watch.left())
            local.connect(connect_to.removeprefix("unix:"))
        return local
    if connect_to is not None:
        host, _, text = connect_to.rpartition(":")
        host, port = host.strip("[]"), int(text)
    with watch.phase("dns"):
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError = OSError(f"{host} has no address")
    with watch.phase("connect"):
        for family, kind, protocol, _, address in found:
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(watch.left())
                sock.connect(address)
                return sock
            except OSError as error:
                sock.close()
                failure = error
        raise failure


def wrap_tls(
    sock: socket.socket,
    server_name: str,
    watch: Watch,
    *,
    is_insecure: bool = False,
    client: ClientCertificate | None = None,
) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    if is_insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client is not None:
        with _files(client) as (certificate, key):
            context.load_cert_chain(certificate, key)
    with watch.phase("tls"):
        sock.settimeout(watch.left())
        return context.wrap_socket(sock, server_hostname=server_name)


@contextlib.contextmanager
def _files(client: ClientCertificate) -> Iterator[tuple[Path, Path]]:
    """OpenSSL reads certificates from files only; these are the user's alone, and short-lived."""
    with tempfile.TemporaryDirectory(prefix="hikkoshi-") as directory:
        paths = Path(directory, "certificate.pem"), Path(directory, "key.pem")
        for path, text in zip(paths, (client.certificate, client.key), strict=True):
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(text)
        yield paths


def tls_of(sock: ssl.SSLSocket) -> Tls:
    version = (sock.version() or "").removeprefix("TLSv")
    der = sock.getpeercert(binary_form=True)
    return Tls(
        float(version) if version.replace(".", "").isdigit() else 0.0,
        (sock.cipher() or ("",))[0],
        read_certificate(der) if der else None,
    )


def read_certificate(der: bytes) -> Certificate:
    found = x509.load_der_x509_certificate(der)
    names: tuple[str, ...] = ()
    with contextlib.suppress(x509.ExtensionNotFound):
        extension = found.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            names = tuple(str(each) for each in value.get_values_for_type(x509.DNSName)) + tuple(
                str(each) for each in value.get_values_for_type(x509.IPAddress)
            )
    return Certificate(
        subject=_words(found.subject),
        issuer=_words(found.issuer),
        names=names,
        not_before=found.not_valid_before_utc,
        not_after=found.not_valid_after_utc,
        serial=format(found.serial_number, "x"),
        sha256=hashlib.sha256(der).hexdigest(),
    )


def _words(name: x509.Name) -> dict[str, str]:
    return {_SHORT.get(each.oid, each.rfc4514_attribute_name): str(each.value) for each in name}


def exchange_tcp(request: TcpRequest, watch: Watch, connect_to: str | None) -> Reply:
    try:
        open_tcp(request.host, request.port, watch, connect_to).close()
    except (ConnectionRefusedError, TimeoutError) as error:
        if not request.is_refusal_an_answer:
            raise
        told = "timeout" if isinstance(error, TimeoutError) else "refused"
        return Reply(watch.timings(), connection=told)
    return Reply(watch.timings(), connection="established")


def exchange_tls(request: TlsRequest, watch: Watch, connect_to: str | None) -> Reply:
    name = request.server_name or request.host
    with (
        open_tcp(request.host, request.port, watch, connect_to) as sock,
        wrap_tls(
            sock,
            name,
            watch,
            is_insecure=request.is_insecure,
            client=request.client_certificate,
        ) as wrapped,
    ):
        tls = tls_of(wrapped)
    timings = watch.timings()
    if request.is_lowest_asked:
        lowest = _lowest_version(request, name, watch, connect_to)
        tls = Tls(tls.version, tls.cipher, tls.certificate, lowest)
    return Reply(timings, tls=tls, connection="established")


def _lowest_version(
    request: TlsRequest, name: str, watch: Watch, connect_to: str | None
) -> float | None:
    for number, version in VERSIONS:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # Without it OpenSSL itself would refuse what the server might accept.
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        with (
            contextlib.suppress(ssl.SSLError, ConnectionError),
            open_tcp(request.host, request.port, watch, connect_to) as sock,
            context.wrap_socket(sock, server_hostname=name),
        ):
            return number
    return None


def exchange_udp(request: UdpRequest, watch: Watch) -> Reply:
    with watch.phase("dns"):
        found = socket.getaddrinfo(request.host, request.port, type=socket.SOCK_DGRAM)
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as sock:
        sock.settimeout(watch.left())
        sock.connect(address)
        with watch.phase("first_byte"):
            sock.send(request.message)
            data = sock.recv(65535)
    return Reply(watch.timings(), message=data.decode("utf-8", "replace"))
