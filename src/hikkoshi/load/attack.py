"""A load as a value: what is sent, when, and by which means."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.load.conditions import parse_conditions
from hikkoshi.load.pacer import Pacer, from_json
from hikkoshi.load.request import whole_url
from hikkoshi.load.targets import Target


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files: the client's certificate (and key), the authorities that are trusted.
    server_name: asked for (SNI) and verified instead of the address's own."""

    cert: Path | None = None
    key: Path | None = None
    root_certs: Path | None = None
    server_name: str | None = None

    def as_json(self, is_verified: bool) -> dict[str, Any]:
        paths = {name: getattr(self, name) for name in ("cert", "key", "root_certs")}
        return {
            "is_verified": is_verified,
            "server_name": self.server_name,
            **{name: str(path) if path is not None else None for name, path in paths.items()},
        }


@dataclass(frozen=True, slots=True)
class Attack:
    """What is sent, when, and by which means.

    pacer None: the closed model, `connections` at work for `duration_s`. base_url completes
    targets that are paths. connect_to: `host:port` or `unix:/path` for all connections. queue:
    how many requests may wait for a free connection; the rest fail as Overflow. timeout_s counts
    from the moment a request was due. target_group_header: an answer's header whose value goes to
    the column `target_group`. streams: requests at one time on a connection of HTTP/2. expect:
    conditions (see `conditions`); its checks are made by the generator, its thresholds by who has
    the summary. feed: a CSV file of values for variables. name: of the run, in results. share
    (k, n): only requests k, k+n, k+2n, … of the plan, with an n-th of the connections and of the
    queue; all n shares together are the load, exactly.
    """

    targets: tuple[Target, ...]
    pacer: Pacer | None
    duration_s: float
    trial: str = "load"
    base_url: str | None = None
    connect_to: str | None = None
    connections: int = 1000
    queue: int = 100_000
    timeout_s: float = 30.0
    is_kept_alive: bool = True
    target_group_header: str | None = None
    is_tls_verified: bool = True
    tls: Tls = Tls()
    redirects: int = 0
    is_chunked: bool = False
    is_http2: bool = False
    streams: int = 1
    expect: str | None = None
    feed: Path | None = None
    name: str = ""
    processes: int = 1
    report_every_s: float = 0.25
    share: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        if not self.targets:
            raise BadInput("a load needs a target", fix="give at least one")
        for name in ("connections", "processes", "streams"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}", fix="give 1 or more")
        if not 0 <= self.share[0] < self.share[1]:
            raise BadInput(f"there is no share {self.share[0]} of {self.share[1]}")
        if self.processes * self.share[1] > self.connections:
            raise BadInput("more processes than connections", fix="raise connections")
        for name in ("duration_s", "timeout_s", "report_every_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise BadInput(f"{name} is {getattr(self, name)}", fix="give more than nought")
        for name in ("queue", "redirects"):
            if getattr(self, name) < 0:
                raise BadInput(f"{name} is {getattr(self, name)}", fix="give 0 or more")
        if self.tls.key is not None and self.tls.cert is None:
            raise BadInput("a client's key without its certificate", fix="give --cert too")
        if self.expect is not None:
            parse_conditions(self.expect)
        if self.streams > 1 and not self.is_http2:
            raise BadInput("several streams on a connection of HTTP/1.1", fix="give --http2 too")
        if self.is_http2 and (self.is_chunked or not self.is_kept_alive):
            raise BadInput(
                "HTTP/2 has neither chunked bodies nor connections of one request",
                fix="leave out --chunked and --no-keepalive, or --http2",
            )

    @classmethod
    def paced(cls, targets: tuple[Target, ...], pacer: Pacer, **rest: Any) -> Attack:
        """An open model that lasts as long as its pacer."""
        return cls(targets=targets, pacer=pacer, duration_s=pacer.duration_s, **rest)

    def as_json(self) -> dict[str, Any]:
        """The plan as a document; `from_json` is its inverse. Files are named, not contained."""
        return {
            "targets": [
                {
                    "method": target.method,
                    "url": whole_url(target, self.base_url),
                    "headers": [list(header) for header in target.headers],
                    "body": base64.b64encode(target.body).decode(),
                    "name": target.endpoint,
                    "weight": target.weight,
                    "where": target.where,
                }
                for target in self.targets
            ],
            "pacer": self.pacer.as_json() if self.pacer is not None else None,
            "tls": self.tls.as_json(self.is_tls_verified),
            "feed": str(self.feed) if self.feed is not None else None,
            **{name: getattr(self, name) for name in _PLAIN},
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Attack:
        tls = dict(document["tls"])
        is_verified, server_name = tls.pop("is_verified"), tls.pop("server_name")
        paths = {name: Path(path) if path is not None else None for name, path in tls.items()}
        return cls(
            targets=read_targets(document["targets"]),
            pacer=from_json(document["pacer"]) if document["pacer"] else None,
            is_tls_verified=is_verified,
            tls=Tls(server_name=server_name, **paths),
            feed=Path(document["feed"]) if document["feed"] is not None else None,
            **{name: document[name] for name in _PLAIN},
        )

    def document(self, share: tuple[int, int], results: Path) -> dict[str, Any]:
        """What process share[0] of share[1] is told, as JSON."""
        (own, shares), (first, count) = self.share, share
        first, count = own + shares * first, shares * count
        return {
            **self.as_json(),
            "connections": self.connections // count + (first < self.connections % count),
            "queue": self.queue // count,
            "share": [first, count],
            "results": str(results),
        }


# The fields that JSON has words for; `share` and `processes` are of who carries it out.
_PLAIN = (
    "duration_s", "trial", "connect_to", "connections", "queue", "timeout_s", "is_kept_alive",
    "target_group_header", "redirects", "is_chunked", "is_http2", "streams", "expect", "name",
    "report_every_s",
)  # fmt: skip


def read_targets(documents: list[dict[str, Any]]) -> tuple[Target, ...]:
    return tuple(
        Target(
            method=document["method"],
            url=document["url"],
            headers=tuple((name, value) for name, value in document["headers"]),
            body=base64.b64decode(document["body"]),
            name=document["name"],
            weight=document["weight"],
            where=document["where"],
        )
        for document in documents
    )
