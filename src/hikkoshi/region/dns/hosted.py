"""Route 53's hosted zones, as moto holds them, read at the moment of each question.

Which VPC a private zone belongs to is not asked: the region has one network. Weighted records are
chosen by weight; of latency, geography and failover, all records are answered together.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from typing import Any

from hikkoshi.region.dns.zone import Entry, Record

DEFAULT_TTL_S = 60
ALIAS_TTL_S = 60
"""What Route 53 answers for an alias of a load balancer."""

Choose = Callable[[Sequence[int]], int]
"""Weights → the place of the chosen one."""


class HostedZones:
    """A `dns.zone.Source`."""

    def __init__(self, account_id: str, choose: Choose | None = None) -> None:
        self._account_id = account_id
        self._choose = choose or by_weight

    def look(self, name: str) -> Entry | None:
        for zone in zones_of(self._account_id, name):
            entry = entry_of(name, list(zone.rrsets), zone.name, self._choose)
            if entry is not None:
                return entry
        return None


def by_weight(weights: Sequence[int]) -> int:
    return random.choices(range(len(weights)), weights=weights)[0]


def zones_of(account_id: str, name: str) -> list[Any]:
    """Those that the name lies in: the longest first, a private one before a public one."""
    # Importing it here would cost every region a second; without it there are no zones.
    models = sys.modules.get("moto.route53.models")
    if models is None:
        return []
    backend = models.route53_backends[account_id]["aws"]
    found = [zone for zone in list(backend.zones.values()) if _is_inside(name, zone.name)]
    return sorted(found, key=lambda zone: (-len(zone.name), not zone.private_zone))


def _bare(name: str) -> str:
    return name.rstrip(".").lower().replace("\\052", "*")


def _is_inside(name: str, zone: str) -> bool:
    bare = _bare(zone)
    return name == bare or name.endswith(f".{bare}")


def entry_of(name: str, sets: Sequence[Any], zone: str, choose: Choose) -> Entry | None:
    """Pure. sets: objects with moto's members name, type, ttl, records, alias_target and weight.

    None where neither the name nor a wildcard above it has records; names that exist only because
    others lie below them are known and empty."""
    at_name = [each for each in sets if _bare(each.name) == name]
    if not at_name:
        at_name = _by_wildcard(name, sets, _bare(zone))
    if not at_name:
        is_between = any(_bare(each.name).endswith(f".{name}") for each in sets)
        return Entry() if is_between else None
    cnames = _weighted([each for each in at_name if each.type == "CNAME"], choose)
    if cnames:
        return _pointing(cnames[0])
    hosts = _weighted([each for each in at_name if each.type == "A"], choose)
    alias = next((each for each in hosts if each.alias_target), None)
    if alias is not None:
        return _pointing(alias)
    addresses = tuple(value for each in hosts for value in each.records or ())
    others = tuple(
        Record(each.type, value, int(each.ttl or DEFAULT_TTL_S))
        for each in at_name
        if each.type not in ("A", "CNAME", "SOA", "NS")
        for value in each.records or ()
    )
    ttl_s = int(hosts[0].ttl or DEFAULT_TTL_S) if hosts else DEFAULT_TTL_S
    return Entry(addresses, records=others, ttl_s=ttl_s)


def _by_wildcard(name: str, sets: Sequence[Any], zone: str) -> list[Any]:
    labels = name.split(".")
    for cut in range(1, len(labels)):
        above = ".".join(labels[cut:])
        found = [each for each in sets if _bare(each.name) == f"*.{above}"]
        if found or above == zone:
            return found
    return []


def _weighted(sets: list[Any], choose: Choose) -> list[Any]:
    """One of several that have weights, as Route 53 chooses: all zero means any."""
    if len(sets) < 2 or any(each.weight is None for each in sets):
        return sets
    weights = [int(each.weight) for each in sets]
    return [sets[choose(weights if any(weights) else [1] * len(sets))]]


def _pointing(one: Any) -> Entry:
    if one.alias_target:
        # The console's own prefix: the same name for IPv4 and IPv6.
        target = _bare(one.alias_target["DNSName"]).removeprefix("dualstack.")
        return Entry(target=target, is_flattened=True, ttl_s=ALIAS_TTL_S)
    if not one.records:
        return Entry()
    return Entry(target=_bare(one.records[0]), ttl_s=int(one.ttl or DEFAULT_TTL_S))
