"""What the region's DNS knows, and what it answers: no sockets here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

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
class Found:
    """An answer: the CNAMEs in order, then the addresses they end in.

    is_known False: the name at the chain's end does not exist (NXDOMAIN)."""

    chain: tuple[Alias, ...] = ()
    end: Addresses | None = None
    is_known: bool = False


def canonical(name: str) -> str:
    """A name as it is compared: lower case, without the final dot. Raises ValueError for one that
    cannot be a DNS name."""
    bare = name.rstrip(".").lower()
    labels = bare.split(".")
    if not bare or len(bare) > 253 or any(not 0 < len(label) <= 63 for label in labels):
        raise ValueError(f"{name!r} is not a DNS name; write labels of 1 to 63 characters and dots")
    return bare


class Zone:
    """The region's names. Every name is answered with authority; nothing is asked elsewhere.

    A name may be a wildcard (`*.example.com`): it answers for every name below `example.com` that
    is not set itself; the longest one wins. Kept on the loop, as all state of the region."""

    def __init__(self) -> None:
        self._addresses: dict[str, tuple[tuple[str, ...], int]] = {}
        self._aliases: dict[str, tuple[str, int]] = {}
        self._turn = 0

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
                return Found(tuple(chain), None, is_known=self._has_names_below(current))
            if key in self._addresses:
                return Found(tuple(chain), self._rotated(current, key), is_known=True)
            target, ttl_s = self._aliases[key]
            chain.append(Alias(current, target, ttl_s))
            current = target
        return Found(tuple(chain), None, is_known=True)

    def _rotated(self, name: str, key: str) -> Addresses:
        addresses, ttl_s = self._addresses[key]
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
