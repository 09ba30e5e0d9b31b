"""The one place that changes what ELBv2 holds: HAProxy first, then the record of it."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import logging
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hikkoshi.region.elb.balancer import Balancer
from hikkoshi.region.elb.model import Holdings, Listener, LoadBalancer, Rule, TargetGroup
from hikkoshi.region.elb.restore import changed, everything, held_before, with_sockets
from hikkoshi.region.engine.instances import Ground
from hikkoshi.region.front.port import AwsError, Caller, NotImplementedByRegion
from hikkoshi.region.journal import Journal
from hikkoshi.region.ports import Names

_log = logging.getLogger(__name__)

_FIRST_ADDRESS = 15
"""Load balancers get the gateway's address plus this and up (10.0.0.16 …)."""

_MISSING = {
    "load_balancers": ("LoadBalancerNotFound", "Load balancers '[{}]' not found"),
    "target_groups": ("TargetGroupNotFound", "One or more target groups not found"),
    "listeners": ("ListenerNotFound", "One or more listeners not found"),
    "rules": ("RuleNotFound", "One or more rules not found"),
}


FindCertificate = Callable[[str, str], Awaitable[str | None]]
"""(ARN in ACM, AWS's region) → certificate, key and chain in PEM; None if there is none."""


class Keeper:
    """Holdings, the balancer that makes them true, and what they stand on."""

    def __init__(
        self,
        *,
        ground: Ground,
        names: Names,
        balancer: Balancer,
        certificates: Path,
        find_certificate: FindCertificate | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._find_certificate = find_certificate
        self._certificates = certificates
        self._journal = journal
        self.holdings = Holdings()
        self.balancer = balancer
        self._ground = ground
        self._names = names
        self._turn = asyncio.Lock()
        self._addresses_given = 0
        self._groups_numbered = 1000
        self._sockets: dict[int, socket.socket] = {}

    async def change(self, alter: Callable[[Holdings], Holdings]) -> Holdings:
        """Apply a pure change. If it raises, or HAProxy refuses it, nothing has changed."""
        async with self._turn:
            altered = alter(self.holdings)
            if _is_structural(self.holdings, altered):
                await self.balancer.apply(altered)
            if self._journal is not None:
                for line in changed(self.holdings, altered):
                    self._journal.write(time.time(), *line)
            self.holdings = altered
            if self._journal is not None and self._journal.is_long:
                self._journal.rewrite(time.time(), everything(altered))
            return altered

    async def restore(self) -> None:
        """Hold again what a region that was killed held: under the same names, addresses and, if
        they are free, ports. Called once, while nothing is held."""
        if self._journal is None:
            return
        held = held_before(self._journal.read())
        first = int(ipaddress.IPv4Address(self._ground.gateway)) + _FIRST_ADDRESS
        for balancer in held.load_balancers.values():
            given = int(ipaddress.IPv4Address(balancer.address)) - first + 1
            self._addresses_given = max(self._addresses_given, given)
            await self._ground.add_address(balancer.address)
            self._names.set(balancer.dns_name.lower(), [balancer.address])
        numbers = [group.number for group in held.target_groups.values()]
        self._groups_numbered = max([self._groups_numbered, *numbers])
        sockets: dict[str, tuple[int, int, int]] = {}
        try:
            for listener in held.listeners.values():
                address = held.load_balancers[listener.load_balancer_arn].address
                sockets[listener.arn] = await self.open_sockets(
                    address, listener.port, wanted_door=listener.door_port
                )
            await self.change(lambda _: with_sockets(held, sockets))
        except AwsError as error:
            _log.error("the load balancers of the killed region do not come back: %s", error)
            for door_fd, _, inside_fd in sockets.values():
                await self.close_sockets(door_fd, inside_fd)
        self._journal.rewrite(time.time(), everything(self.holdings))

    def find(self, kind: str, arn: str) -> Any:
        """The thing of this ARN, or AWS's NotFound."""
        found = getattr(self.holdings, kind).get(arn)
        if found is None:
            code, message = _MISSING[kind]
            raise AwsError(code, message.format(arn))
        return found

    def balancer_of(self, arn: str) -> LoadBalancer:
        found: LoadBalancer = self.find("load_balancers", arn)
        return found

    def group(self, arn: str) -> TargetGroup:
        found: TargetGroup = self.find("target_groups", arn)
        return found

    def listener(self, arn: str) -> Listener:
        found: Listener = self.find("listeners", arn)
        return found

    def rule(self, arn: str) -> Rule:
        found: Rule = self.find("rules", arn)
        return found

    async def certificate_file(self, certificate_arn: str, region: str) -> str:
        """A file of certificate, key and chain, as HAProxy reads it; only we may."""
        if self._find_certificate is None:
            raise NotImplementedByRegion("elbv2: certificates, without ACM")
        text = await self._find_certificate(certificate_arn, region)
        if text is None:
            what = f"Certificate ARN '{certificate_arn[:200]}' is not valid"
            raise AwsError("CertificateNotFound", what)
        self._certificates.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (
            self._certificates / f"{hashlib.sha256(certificate_arn.encode()).hexdigest()[:24]}.pem"
        )
        file.touch(mode=0o600)
        file.write_text(text)
        return str(file)

    def next_group_number(self) -> int:
        self._groups_numbered += 1
        return self._groups_numbered

    async def give_address(self, dns_name: str) -> str:
        self._addresses_given += 1
        first = ipaddress.ip_address(self._ground.gateway) + _FIRST_ADDRESS
        address = str(first + self._addresses_given - 1)
        await self._ground.add_address(address)
        self._names.set(dns_name.lower(), [address])
        return address

    def forget_name(self, dns_name: str) -> None:
        self._names.remove(dns_name.lower())

    async def open_sockets(
        self, address: str, port: int, *, wanted_door: int | None = None
    ) -> tuple[int, int, int]:
        """(door's descriptor, door's port on the host, descriptor of the socket inside). The
        door gets the listener's own port, or the wanted one, if that is free."""
        inside = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        inside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            inside.bind((address, port))
            inside.listen(1024)
        except OSError as error:
            inside.close()
            what = f"the local region cannot listen at {address}:{port}: {error.strerror}"
            raise AwsError("InvalidConfigurationRequest", what) from error
        try:
            door_fd, door_port = await self._ground.open_door(wanted_door or port)
        except BaseException:
            inside.close()
            raise
        self._sockets[inside.fileno()] = inside
        return door_fd, door_port, inside.fileno()

    async def close_sockets(self, door_fd: int, inside_fd: int) -> None:
        inside = self._sockets.pop(inside_fd, None)
        if inside is not None:
            inside.close()
        await self._ground.close_door(door_fd)

    async def reset(self) -> None:
        """Hold nothing any more."""
        before = self.holdings
        await self.change(lambda _: Holdings())
        for listener in before.listeners.values():
            await self.close_sockets(listener.door_fd, listener.inside_fd)
        for balancer in before.load_balancers.values():
            self.forget_name(balancer.dns_name)

    async def close(self) -> None:
        await self.balancer.close()
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        for listener in self.holdings.listeners.values():
            await self.close_sockets(listener.door_fd, listener.inside_fd)


def _is_structural(before: Holdings, after: Holdings) -> bool:
    """Whether HAProxy has to know. A rule or a group without a listener is of no concern to it."""
    if not before.listeners and not after.listeners:
        return False
    kinds = ("load_balancers", "target_groups", "listeners", "rules")
    return any(getattr(before, kind) != getattr(after, kind) for kind in kinds)


def new_id() -> str:
    return secrets.token_hex(8)


def arn(caller: Caller, rest: str) -> str:
    return f"arn:aws:elasticloadbalancing:{caller.region}:{caller.account_id}:{rest}"


def page(
    items: Sequence[Any], parameters: Mapping[str, Any], member: str, *, size: int = 400
) -> dict[str, Any]:
    """One page of an answer, by Marker and PageSize."""
    marker = parameters.get("Marker") or "0"
    if not (marker.isascii() and marker.isdigit() and len(marker) < 9):
        raise AwsError("ValidationError", f"Invalid marker {marker[:40]!r}")
    start, length = int(marker), int(parameters.get("PageSize") or size)
    answer: dict[str, Any] = {member: list(items[start : start + length])}
    if start + length < len(items):
        answer["NextMarker"] = str(start + length)
    return answer


def tags_of(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in parameters.get("Tags") or []}


ApiCall = Callable[[dict[str, Any], Caller], Awaitable[dict[str, Any]]]
