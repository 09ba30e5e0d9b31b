"""`python -m hikkoshi.load.worker`: one process of a load run.

Standard input: a line with the plan (`Attack.document`), later a line {"go": monotonic seconds,
"t_start": epoch seconds}, perhaps a line {"stop": grace seconds}; its end means that the parent is
gone. Standard output, a line each: {"ready": true}, {"window": …} every quarter of a second,
{"end": totals}, or {"error": {kind, what, where, fix}}.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import BadInput, CannotRun, HikkoshiError
from hikkoshi.load.attack import read_targets
from hikkoshi.load.conditions import parse_conditions
from hikkoshi.load.limits import Limits
from hikkoshi.load.pacer import from_json
from hikkoshi.load.request import Form, Prepared, prepare
from hikkoshi.load.results import ResultWriter
from hikkoshi.load.sender import Sender
from hikkoshi.load.tally import Tally
from hikkoshi.load.targets import order_by_weight
from hikkoshi.load.variables import read_feed

_SPARE_DESCRIPTORS = 32
_PR_SET_TIMERSLACK = 29


class Orders:
    """The lines of standard input, read without a buffer that would hide what has come."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""

    def next(self) -> dict[str, Any] | None:
        """Blocks for the next line; None at the end of the input."""
        while b"\n" not in self._rest:
            block = os.read(self._fd, 1 << 16)
            if not block:
                return None
            self._rest += block
        line, _, self._rest = self._rest.partition(b"\n")
        document: dict[str, Any] = json.loads(line)
        return document

    def stop_grace(self) -> float | None:
        """Called when there is something to read: seconds of grace to stop within; none at all
        when the parent is gone."""
        order = self.next()
        if order is None:
            return 0.0
        return float(order["stop"]) if "stop" in order else None


class Voice:
    """Lines of JSON to the parent; silent once the parent is gone."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._is_heard = True

    def say(self, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode() + b"\n"
        while data and self._is_heard:
            try:
                data = data[os.write(self._fd, data) :]
            except BrokenPipeError:
                self._is_heard = False


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders, voice = Orders(sys.stdin.fileno()), Voice(sys.stdout.fileno())
    try:
        run(orders, voice)
    except HikkoshiError as error:
        kind = "BadInput" if isinstance(error, BadInput) else "CannotRun"
        told = {"kind": kind, "what": error.what, "where": error.where, "fix": error.fix}
        voice.say({"error": told})
        return error.exit_code
    return 0


def run(orders: Orders, voice: Voice) -> None:
    plan = orders.next()
    if plan is None:
        return
    allow_descriptors(plan["connections"])
    targets = read_targets(plan["targets"])
    limits = read_limits(plan)
    prepared = prepare(targets, limits.form)
    # A redirect may lead to https where no target does.
    needs_tls = limits.redirects > 0 or any(each.address.is_tls for each in prepared)
    tls = tls_context(plan["tls"], limits.is_http2) if needs_tls else None
    order = order_by_weight(targets)
    voice.say({"ready": True})
    go = orders.next()
    if go is None or "go" not in go:
        return
    writer = open_results(plan, prepared, go["t_start"])
    tally = Tally(prepared, writer)
    sender = Sender(
        prepared,
        order,
        limits,
        tally,
        tls=tls,
        control_fd=sys.stdin.fileno(),
        on_control=orders.stop_grace,
        on_window=lambda window: voice.say({"window": window}),
    )
    be_punctual()
    try:
        sender.run(go["go"])
    finally:
        writer.close()
    voice.say({"end": tally.totals.as_json()})


def read_limits(plan: dict[str, Any]) -> Limits:
    first, count = plan["share"]
    header = plan["target_group_header"]
    return Limits(
        pacer=from_json(plan["pacer"]) if plan["pacer"] else None,
        duration_s=plan["duration_s"],
        connections=plan["connections"],
        queue=plan["queue"],
        timeout_s=plan["timeout_s"],
        is_kept_alive=plan["is_kept_alive"],
        mark=header.lower().encode() if header else b"",
        share=(first, count),
        report_every_s=plan["report_every_s"],
        redirects=plan["redirects"],
        checks=parse_conditions(plan["expect"]).checks if plan["expect"] else (),
        form=Form(
            connect_to=plan["connect_to"],
            is_kept_alive=plan["is_kept_alive"],
            is_chunked=plan["is_chunked"],
            is_http2=plan["is_http2"],
            server_name=plan["tls"]["server_name"],
            feed=read_feed(Path(plan["feed"])) if plan["feed"] else None,
        ),
        is_http2=plan["is_http2"],
        streams=plan["streams"],
    )


def open_results(
    plan: dict[str, Any], prepared: tuple[Prepared, ...], t_start: float
) -> ResultWriter:
    header = {
        "attack": plan["name"],
        "expect": plan["expect"],
        "trial": plan["trial"],
        "t_start": t_start,
        "duration_s": plan["duration_s"],
        "pacer": plan["pacer"],
        "share": plan["share"],
        "targets": [[target.method, target.url, target.endpoint] for target in prepared],
    }
    path = Path(plan["results"])
    try:
        return ResultWriter(path, header)
    except OSError as error:
        raise CannotRun(
            f"the results cannot be written: {error.strerror}",
            where=str(path),
            fix="name a file in a directory that exists and can be written",
        ) from error


def tls_context(settings: dict[str, Any], is_http2: bool) -> ssl.SSLContext:
    """settings: `Tls.as_json`. BadInput when a file of certificates cannot be used."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"] if is_http2 else ["http/1.1"])
    # A session is not asked for again: each connection pays for its own handshake.
    if not settings["is_verified"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _load(settings, "root_certs", context.load_verify_locations)
    key = settings["key"]
    _load(settings, "cert", lambda path: context.load_cert_chain(path, key), key)
    return context


def _load(
    settings: dict[str, Any], name: str, load: Callable[[str], object], key: str | None = None
) -> None:
    path = settings[name]
    if path is None:
        return
    try:
        load(path)
    except OSError as error:  # ssl.SSLError is one
        raise BadInput(
            f"the certificates cannot be used: {error.strerror or error}",
            where=path if key is None else f"{path} with the key {key}",
            fix="name a PEM file that holds them (and, with --cert, the key, or give --key)",
        ) from error  # fmt: skip


def allow_descriptors(connections: int) -> None:
    """Raises the soft limit to what the connections need. CannotRun if the hard one forbids it."""
    need = connections + _SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= need:
        return
    if hard != resource.RLIM_INFINITY and hard < need:
        raise CannotRun(
            f"{connections} connections need {need} file descriptors; the limit is {hard}",
            fix=f"raise it (ulimit -Hn {need}) or ask for fewer connections",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))


def be_punctual() -> None:
    """No pause for garbage, and waking within a microsecond of the moment asked for instead of
    the kernel's usual 50 (where it can be had; without it the run is only a little less exact)."""
    gc.collect()
    gc.freeze()
    gc.disable()
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
