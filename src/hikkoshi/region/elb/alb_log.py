"""An Application Load Balancer's access log: HAProxy's line of a request as AWS's line in S3.

Source of the fields and of the file's name: AWS's page "Access logs for your Application Load
Balancer". What a request could not be read from (AWS writes a line of hyphens) has none here, and
a path is cut at 1,500 bytes, an agent at 400.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from hikkoshi.region.elb.model import Holdings, Listener, LoadBalancer

# What a client sends is written in base64: a line has spaces between its words alone.
LOGGED_FIELDS = (
    "%ci:%cp", "%si:%sp", "%TR", "%Tw", "%Tc", "%Tr", "%Td", "%[var(txn.target_status)]", "%U",
    "%B", "%HV", "%sslc", "%sslv", "%[var(txn.rule)]", "%[var(txn.cert)]", "%[var(sess.tid)]",
    "%[var(txn.host),base64]", "%[var(txn.uri),base64]", "%[var(txn.agent),base64]",
    "%[var(txn.sni),base64]", "%[var(txn.to),base64]",
)  # fmt: skip
LOGGED = "logged"
LOGGED_FORMAT = f"{LOGGED} {' '.join(LOGGED_FIELDS)}"
"""Stands before a line's other words where the load balancer has access logs."""

CUT_URI, CUT_AGENT = 1500, 400

LOGGED_RULES = (
    "  tcp-request session set-var(sess.tid) uuid(4),regsub(-,,g)",
    "  http-request set-var(txn.host) req.hdr(host),field(1,:),bytes(0,255)",
    f"  http-request set-var(txn.uri) pathq,bytes(0,{CUT_URI})",
    f"  http-request set-var(txn.agent) req.fhdr(User-Agent),bytes(0,{CUT_AGENT})",
    "  http-response set-var(txn.target_status) status",
)
LOGGED_TLS_RULES = (
    "  http-request set-var(txn.sni) ssl_fc_sni,bytes(0,255)",
    "  http-request set-var(txn.cert) ssl_f_sha1,hex",
)


@dataclass(frozen=True, slots=True)
class Logged:
    """One request, as HAProxy told it. words: of LOGGED_FIELDS; plain: those of any request."""

    words: Sequence[str]
    plain: Sequence[str]

    @property
    def frontend(self) -> str:
        return self.plain[0].rstrip("~")


def logged_of(line: str) -> tuple[Logged | None, str]:
    """(the request for the access log, the line as it would be without one)."""
    if not line.startswith(LOGGED + " "):
        return None, line
    words = line.split(" ", len(LOGGED_FIELDS) + 1)
    plain = words[-1].split(" ", 11)
    if len(words) < len(LOGGED_FIELDS) + 2 or len(plain) < 12 or not plain[5].isdigit():
        return None, words[-1]
    return Logged(words[1:-1], plain), words[-1]


def entry_of(
    logged: Logged, held: Holdings, listener: Listener, certificates: Mapping[str, str]
) -> str:
    """AWS's line, without its end. certificates: ARN by the SHA-1 of the certificate, in hex."""
    (
        client, target, in_queue, waited, connected, answered, passed, target_status, received,
        sent, version, cipher, protocol, rule, certificate, connection, host, uri, agent, sni, to,
    ) = logged.words  # fmt: skip
    _, backend, status, _, ending, began, took, own, root, _, method, _ = logged.plain
    is_tls = protocol != "-"
    has_answer = answered.isdigit()
    group = next((g.arn for g in held.target_groups.values() if g.backend == backend), "-")
    where = f"{'https' if is_tls else 'http'}://{_text(host, '-')}:{listener.port}{_text(uri, '/')}"
    if not status.isdigit():
        # AWS's number for a client that left before it was answered.
        status = "460" if ending.startswith("C") else "-"
    target = target if has_answer or group != "-" else "-"
    target = "-" if target.startswith("-") else target
    chosen = certificates.get(certificate.lower(), "-")
    trace = f"Self={own};Root={root}" if root != "-" else f"Root={own}"
    begun_s = int(began) / 1000
    fields = (
        _kind(is_tls, version, status),
        _iso(begun_s + int(took) / 1000),
        listener.load_balancer_arn.partition(":loadbalancer/")[2],
        client,
        target,
        _seconds(in_queue, waited, connected) if has_answer else "-1",
        _seconds(answered) if has_answer else "-1",
        _seconds(passed) if has_answer else "-1",
        status,
        target_status,
        received,
        sent,
        _quoted(f"{method} {where} {version}"),
        _quoted(_text(agent, "-")),
        cipher,
        protocol,
        group,
        _quoted(trace),
        _quoted(_text(sni, "-")),
        _quoted(chosen),
        rule,
        _iso(begun_s),
        _quoted(_action(held, listener, rule)),
        _quoted(_text(to, "-")),
        _quoted("-"),
        _quoted(target),
        _quoted(target_status),
        _quoted("-"),
        _quoted("-"),
        f"TID_{connection}",
    )
    return " ".join(fields)


def key_of(balancer: LoadBalancer, prefix: str, end: float) -> str:
    """Of a file of the requests until `end` (epoch seconds)."""
    region, account = balancer.arn.split(":")[3:5]
    at = datetime.fromtimestamp(end, UTC)
    name = balancer.arn.partition(":loadbalancer/")[2].replace("/", ".")
    random = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
    return (
        f"{_under(prefix)}AWSLogs/{account}/elasticloadbalancing/{region}/{at:%Y/%m/%d}/"
        f"{account}_elasticloadbalancing_{region}_{name}_{at:%Y%m%dT%H%MZ}_{balancer.address}_"
        f"{random}.log.gz"
    )


def trial_key_of(balancer: LoadBalancer, prefix: str) -> str:
    """The file by which AWS tries whether it may write."""
    return f"{_under(prefix)}AWSLogs/{balancer.arn.split(':')[4]}/ELBAccessLogTestFile"


def _under(prefix: str) -> str:
    return f"{prefix}/" if prefix else ""


def _kind(is_tls: bool, version: str, status: str) -> str:
    if status == "101":
        return "wss" if is_tls else "ws"
    if is_tls:
        return "h2" if version.startswith("HTTP/2") else "https"
    return "http"


def _action(held: Holdings, listener: Listener, rule: str) -> str:
    actions = {str(each.priority): each.actions for each in held.rules_of(listener.arn)}
    found = actions.get(rule, listener.default_actions if rule == "0" else ())
    return ",".join(action["Type"] for action in found) or "-"


def _seconds(*milliseconds: str) -> str:
    return f"{sum(int(each) for each in milliseconds if each.isdigit()) / 1000:.3f}"


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _text(encoded: str, otherwise: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8", "replace") or otherwise
    except (binascii.Error, ValueError):
        return otherwise


def _quoted(text: str) -> str:
    safe = "".join(
        letter if letter.isprintable() and letter.isascii() and letter not in '"\\'
        else "".join(f"\\x{byte:02X}" for byte in letter.encode())
        for letter in text
    )  # fmt: skip
    return f'"{safe}"'
