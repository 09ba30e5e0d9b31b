"""Faults of a task's network, by the fault endpoint of its ECS agent, asked from inside the task.

Source: "Amazon ECS fault injection", {ECS_AGENT_URI}/fault/v1/network-*/{start,stop,status}. The
task definition needs enableFaultInjection, and the container curl, wget or python3.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from typing import Any

from hikkoshi.base.errors import CannotRun
from hikkoshi.faults.inside import choose, run_inside
from hikkoshi.faults.model import NotTried, Place, Plain
from hikkoshi.faults.round_trips import Trips, felt, measure
from hikkoshi.faults.service import short

_ASK = """
u="$ECS_AGENT_URI/fault/v1/$1/$2"; b="$3"; h='Content-Type: application/json'
if [ -z "$ECS_AGENT_URI" ]; then echo 'hikkoshi-fault: no ECS_AGENT_URI'; exit 8; fi
if command -v curl >/dev/null; then curl -s -m 10 -X POST -H "$h" -d "$b" "$u"
elif command -v python3 >/dev/null; then python3 -c '
import sys, urllib.error, urllib.request as r
q = r.Request(sys.argv[1], sys.argv[2].encode(), {"Content-Type": "application/json"})
try: print(r.urlopen(q, timeout=10).read().decode())
except urllib.error.HTTPError as e: print(e.read().decode())
' "$u" "$b"
elif command -v wget >/dev/null; then wget -q -T 10 -O - --header "$h" --post-data "$b" "$u"
else echo 'hikkoshi-fault: no curl, python3 or wget'; exit 8; fi
"""


class NetworkFault(Plain):
    """kind: network-latency, network-packet-loss or network-blackhole-port."""

    def __init__(self, place: Place, kind: str) -> None:
        self._place = place
        self._kind = kind
        self._task = self._container = ""
        self._body: dict[str, Any] = {}
        self._has_begun = False
        self._peer: tuple[str, int | None] = ("", None)
        self._before: Trips | None = None
        self._unmeasured: str | None = None

    def prepare(self) -> None:
        self._peer = host, port = peer_of(self._place)
        self._body = request_body(self._kind, self._place, host, port)
        self._task, self._container = choose(self._place)
        self._before = self._measure()
        if port is None:
            self._unmeasured = "no port of the peer is named"
        elif self._before is None:
            self._unmeasured = "the container has neither python3 nor curl"
        elif not self._before.reached():
            self._unmeasured = f"nothing at {host}:{port} answered before"

    def inject(self) -> None:
        change = {"task": self._task, "container": self._container, "body": self._body}
        self._place.keep(self._kind, {**change, "kind": self._kind})
        answer = self._ask("start")
        if answer.get("Status") != "running":
            told = answer.get("Error") or json.dumps(answer)
            raise NotTried(
                f"the agent of task {short(self._task)} refused {self._kind}: {told}",
                fix='the task definition needs "enableFaultInjection": true',
            )
        self._has_begun = True

    def proof(self) -> str | None:
        """What connections from inside the task feel; the agent's word alone where that cannot be
        measured, and then it says so."""
        if not self._has_begun:
            return None
        told = f"the agent of task {short(self._task)}: {self._kind} running, {self._words()}"
        if self._unmeasured is not None:
            return f"{told} (its effect was not measured: {self._unmeasured})"
        shown = self._shown()
        return f"{told}: {shown}" if shown is not None else None

    def is_held(self) -> bool:
        return True

    def undo(self) -> None:
        if self._has_begun:
            self._ask("stop")

    def is_over(self) -> bool:
        """The agent says so, and connections feel nothing any more (of a loss: by chance)."""
        if not self._has_begun:
            return True
        if self._ask("status").get("Status") == "running":
            return False
        return self._unmeasured is not None or self._shown() is None

    @classmethod
    def finish(cls, place: Place, change: Mapping[str, Any]) -> str:
        """Stop what a killed run left."""
        left = cls(place, str(change["kind"]))
        left._task, left._container = str(change["task"]), str(change["container"])
        left._body = dict(change["body"])
        answer = left._ask("stop")
        if answer.get("Status") != "stopped":
            raise CannotRun(f"the agent of task {short(left._task)} answers {json.dumps(answer)}")
        return f"{left._kind} of task {short(left._task)} is stopped"

    def _shown(self) -> str | None:
        during = self._measure()
        if self._before is None or during is None:
            return None
        return felt(self._kind, self._before, during, self._place.delay_ms / 1000)

    def _measure(self) -> Trips | None:
        host, port = self._peer
        if port is None:
            return None
        return measure(self._place, self._task, self._container, host, port)

    def _words(self) -> str:
        return ", ".join(f"{key} {json.dumps(value)}" for key, value in self._body.items())

    def _ask(self, action: str) -> dict[str, Any]:
        argv = ["/bin/sh", "-c", _ASK, "sh", self._kind, action, json.dumps(self._body)]
        outcome = run_inside(self._place, self._task, self._container, argv, timeout_s=30)
        found = re.search(r"\{.*\}", outcome.text, re.DOTALL)
        try:
            answer = json.loads(found[0]) if found else {}
        except ValueError:
            answer = {}
        if not isinstance(answer, dict) or not answer:
            return {"Error": outcome.text.strip()[-300:] or "no answer"}
        return answer


def peer_of(place: Place) -> tuple[str, int | None]:
    """The peer that is named, else the database's endpoint. NotTried: neither."""
    if place.peer is not None:
        host, colon, port = place.peer.rpartition(":")
        if colon and port.isdigit():
            return host, int(port)
        return place.peer, None
    if place.database is None:
        raise NotTried("no peer is named", fix="give --peer HOST[:PORT], or --database")
    from hikkoshi.faults.service import describe_database

    cluster = describe_database(place)
    return str(cluster["Endpoint"]), int(cluster.get("Port") or 5432)


def request_body(kind: str, place: Place, host: str, port: int | None) -> dict[str, Any]:
    """As the agent's endpoint takes it. Latency and loss are of addresses, a black hole of a
    port."""
    if kind == "network-blackhole-port":
        if port is None:
            raise NotTried("a black hole is of a port", fix="give --peer HOST:PORT")
        return {"Port": port, "Protocol": "tcp", "TrafficType": "egress"}
    more = (
        {"DelayMilliseconds": place.delay_ms, "JitterMilliseconds": 0}
        if kind == "network-latency"
        else {"LossPercent": place.loss_percent}
    )
    return {**more, "Sources": addresses_of(host)}


def addresses_of(host: str) -> list[str]:
    """A network is taken as it is; a name is resolved here."""
    if re.fullmatch(r"[\d.]+(/\d+)?", host):
        return [host]
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise NotTried(
            f"{host} has no address here: {error}", fix="give --peer with an address or a network"
        ) from error
    return sorted({str(each[4][0]) for each in found})
