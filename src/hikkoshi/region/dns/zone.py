"""What the region's DNS knows, and what it answers: no sockets here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol

MAX_CHAIN = 8


@dataclass(frozen=True, slots=True)
class Alias:
    """One CNAME of an answer's chain."""

    name: str
    target: str
    ttl_s: int


@dataclass(frozen=True, slots=True)
class Addresses:
    name: str
    addresses: tuple[str, ...]
    ttl_s: int


@dataclass(frozen=True, slots=True)
class Record:
    """One of another kind than A and CNAME (SRV, TXT, AAAA, …), its data as a zone file has it."""

    kind: str
    data: str
    ttl_s: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What a source has for a name: addresses, or another name in their place.

    is_flattened: the other name's addresses are answered as this one's own, without a CNAME, as
    Route 53 does for an alias of a load balancer."""

    addresses: tuple[str, ...] = ()
    target: str | None = None
    is_flattened: bool = False
    records: tuple[Record, ...] = ()
    ttl_s: int = 60


class Source(Protocol):
    """Names that another room keeps; asked for what the zone does not have itself."""

    def look(self, name: str) -> Entry | None:
        """For a name in lower case, without the last dot; None: there is no such name."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """An answer: the CNAMEs in order, then the addresses and other records they end in.

    is_known False: the name at the chain's end does not exist (NXDOMAIN)."""

    chain: tuple[Alias, ...] = ()
    end: Addresses | None = None
    is_known: bool = False
    records: tuple[Record, ...] = ()


def canonical(name: str) -> str:
    """A name as it is compared: lower case, without the final dot. Raises ValueError for one that
    cannot be a DNS name."""
    bare = name.rstrip(".").lower()
    labels = bare.split(".")
    if not bare or len(bare) > 253 or any(not 0 < len(label) <= 63 for label in labels):
        raise ValueError(f"{name!r} is not a DNS name; write labels of 1 to 63 characters and dots")
    return bare


class Zone:
    """The region's names. Every name is answered with authority; nothing is asked elsewhere but
    the sources, in their order, for a name that is not set here.

    A name may be a wildcard (`*.example.com`): it answers for every name below `example.com` that
    is not set itself; the longest one wins. Kept on the loop, as all state of the region."""

    def __init__(self) -> None:
        self._addresses: dict[str, tuple[tuple[str, ...], int]] = {}
        self._aliases: dict[str, tuple[str, int]] = {}
        self._turn = 0
        self._sources: list[Source] = []

    def add_source(self, source: Source) -> None:
        self._sources.append(source)

    def set(self, name: str, addresses: Sequence[str], ttl_s: int = 60) -> None:
        """The name's A records, in place of what it had. Raises ValueError for a bad address."""
        checked = tuple(str(IPv4Address(address)) for address in addresses)
        key = canonical(name)
        self._aliases.pop(key, None)
        self._addresses[key] = (checked, ttl_s)

    def set_alias(self, name: str, target: str, ttl_s: int = 5) -> None:
        """The name becomes a CNAME for target, in place of what it had."""
        key = canonical(name)
        self._addresses.pop(key, None)
        self._aliases[key] = (canonical(target), ttl_s)

    def remove(self, name: str) -> None:
        key = canonical(name)
        self._addresses.pop(key, None)
        self._aliases.pop(key, None)

    def find(self, name: str) -> Found:
        """The answer for a name as it was asked. Several addresses take turns at being first."""
        chain: list[Alias] = []
        current = name.rstrip(".").lower()
        for _ in range(MAX_CHAIN):
            key = self._match(current)
            if key is None:
                entry = self._look_elsewhere(current)
                if entry is None:
                    return Found(tuple(chain), None, is_known=self._has_names_below(current))
                if entry.target is None:
                    end = self._rotated(current, entry.addresses, entry.ttl_s)
                    return Found(tuple(chain), end, is_known=True, records=entry.records)
                target = entry.target.rstrip(".").lower()
                if not entry.is_flattened:
                    chain.append(Alias(current, target, entry.ttl_s))
                current = target
                continue
            if key in self._addresses:
                end = self._rotated(current, *self._addresses[key])
                return Found(tuple(chain), end, is_known=True)
            target, ttl_s = self._aliases[key]
            chain.append(Alias(current, target, ttl_s))
            current = target
        return Found(tuple(chain), None, is_known=True)

    def _look_elsewhere(self, name: str) -> Entry | None:
        found = (source.look(name) for source in self._sources)
        return next((entry for entry in found if entry is not None), None)

    def _rotated(self, name: str, addresses: tuple[str, ...], ttl_s: int) -> Addresses:
        if len(addresses) > 1:
            self._turn += 1
            first = self._turn % len(addresses)
            addresses = addresses[first:] + addresses[:first]
        return Addresses(name, addresses, ttl_s)

    def _match(self, name: str) -> str | None:
        if name in self._addresses or name in self._aliases:
            return name
        labels = name.split(".")
        for cut in range(1, len(labels)):
            wildcard = "*." + ".".join(labels[cut:])
            if wildcard in self._addresses or wildcard in self._aliases:
                return wildcard
        return None

    def _has_names_below(self, name: str) -> bool:
        """Such a name exists, though it has no records of its own (RFC 8020)."""
        below = "." + name
        return any(key.endswith(below) for key in (*self._addresses, *self._aliases))
