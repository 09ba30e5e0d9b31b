"""What a run adds up to: counts and histograms that merge by adding."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hikkoshi.load.histogram import Histogram


@dataclass(slots=True)
class EndpointTotals:
    """All requests of one endpoint. `latency` has every one of them, failures too, from the moment
    it was due to its answer or failure; `service` only those that were given to a connection,
    from that moment."""

    requests: int = 0
    succeeded: int = 0
    latency: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    bytes_in: int = 0
    bytes_out: int = 0

    def add(self, other: EndpointTotals) -> None:
        self.requests += other.requests
        self.succeeded += other.succeeded
        self.latency.add(other.latency)
        self.service.add(other.service)
        self.statuses.update(other.statuses)
        self.errors.update(other.errors)
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out

    def as_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "succeeded": self.succeeded,
            "latency": self.latency.as_json(),
            "service": self.service.as_json(),
            "statuses": dict(self.statuses),
            "errors": dict(self.errors),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> EndpointTotals:
        return cls(
            requests=document["requests"],
            succeeded=document["succeeded"],
            latency=Histogram.from_json(document["latency"]),
            service=Histogram.from_json(document["service"]),
            statuses=Counter({int(key): n for key, n in document["statuses"].items()}),
            errors=Counter(document["errors"]),
            bytes_in=document["bytes_in"],
            bytes_out=document["bytes_out"],
        )


@dataclass(slots=True)
class Totals:
    """One run, or one worker's share of it.

    planned: due by the end, or by the moment it was stopped. issued: those that the generator
    came to. sent: those given to a connection. done: those with an answer or failure. waited:
    those that found no free connection. last_issue_s, last_done_s: seconds after the start.
    lateness: due until the generator came to it. details: of each failure, the first one's words.
    """

    planned: int = 0
    issued: int = 0
    sent: int = 0
    done: int = 0
    retries: int = 0
    waited: int = 0
    opened: int = 0
    peak_queue: int = 0
    peak_connections: int = 0
    last_issue_s: float = 0.0
    last_done_s: float = 0.0
    is_stopped: bool = False
    lateness: Histogram = field(default_factory=Histogram)
    endpoints: dict[str, EndpointTotals] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)

    def add(self, other: Totals) -> None:
        for name in ("planned", "issued", "sent", "done", "retries", "waited", "opened",
                     "peak_queue", "peak_connections"):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.last_issue_s = max(self.last_issue_s, other.last_issue_s)
        self.last_done_s = max(self.last_done_s, other.last_done_s)
        self.is_stopped = self.is_stopped or other.is_stopped
        self.lateness.add(other.lateness)
        for name, endpoint in other.endpoints.items():
            self.endpoints.setdefault(name, EndpointTotals()).add(endpoint)
        self.details = {**other.details, **self.details}

    def whole(self) -> EndpointTotals:
        """All endpoints as one."""
        whole = EndpointTotals()
        for endpoint in self.endpoints.values():
            whole.add(endpoint)
        return whole

    def as_json(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in _PLAIN}
        return {
            **plain,
            "lateness": self.lateness.as_json(),
            "endpoints": {name: each.as_json() for name, each in self.endpoints.items()},
            "details": self.details,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Totals:
        return cls(
            **{name: document[name] for name in _PLAIN},
            lateness=Histogram.from_json(document["lateness"]),
            endpoints={
                name: EndpointTotals.from_json(each) for name, each in document["endpoints"].items()
            },
            details=document["details"],
        )


_PLAIN = (
    "planned", "issued", "sent", "done", "retries", "waited", "opened", "peak_queue",
    "peak_connections", "last_issue_s", "last_done_s", "is_stopped",
)  # fmt: skip
