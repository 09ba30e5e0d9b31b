"""What the RDS room keeps: clusters, instances, groups. Touched on the region's loop only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(slots=True)
class InstanceRecord:
    """status: AWS's words (creating, available, rebooting, deleting, failed, …).
    applied: the static parameters that the server was last started with."""

    identifier: str
    cluster: str
    instance_class: str
    zone: str
    endpoint: str
    resource_id: str
    created_at: datetime
    promotion_tier: int = 1
    status: str = "creating"
    failure: str | None = None
    has_pending_parameters: bool = False
    extras: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class ClusterRecord:
    """is_furnished: its volume has its roles and databases, and is never made anew."""

    identifier: str
    engine_version: str
    port: int
    master_username: str
    database: str | None
    parameter_group: str
    subnet_group: str
    endpoint: str
    reader_endpoint: str
    resource_id: str
    created_at: datetime
    zones: tuple[str, ...]
    status: str = "creating"
    failure: str | None = None
    writer: str | None = None
    is_furnished: bool = False
    is_protected: bool = False
    instances: dict[str, InstanceRecord] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)
    engine: str = "aurora-postgresql"


@dataclass(slots=True)
class ParameterGroup:
    """pending: names whose value waits for a reboot is kept by each instance, not here."""

    name: str
    family: str
    description: str
    values: dict[str, str] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """RDS's names for one account in one region; the middle part is the same for all of them."""

    account_id: str
    region: str

    def cluster(self, identifier: str) -> str:
        return f"{identifier}.cluster-{self._mark()}.{self.region}.rds.amazonaws.com"

    def reader(self, identifier: str) -> str:
        return f"{identifier}.cluster-ro-{self._mark()}.{self.region}.rds.amazonaws.com"

    def instance(self, identifier: str) -> str:
        return f"{identifier}.{self._mark()}.{self.region}.rds.amazonaws.com"

    def _mark(self) -> str:
        seed = f"{self.account_id}/{self.region}".encode()
        return "c" + hashlib.sha256(seed).hexdigest()[:11]


def zones_of(region: str) -> tuple[str, ...]:
    """Three availability zones; Tokyo's accounts see a, c and d."""
    letters = "acd" if region == "ap-northeast-1" else "abc"
    return tuple(region + letter for letter in letters)
