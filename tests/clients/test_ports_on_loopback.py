"""Every port that a running region opens on the machine, found as `ss -lntup` finds them."""

from __future__ import annotations

import ipaddress
import json
import re
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.region

LISTEN, UNCONNECTED = "0A", "07"
PRIVATE = ipaddress.ip_network("10.0.0.0/16")
METADATA = ipaddress.ip_address("169.254.170.2")


def descendants(pid: int) -> list[int]:
    found = [pid]
    for known in found:
        for children in Path(f"/proc/{known}/task").glob("*/children"):
            found += [int(word) for word in children.read_text().split()]
    return found


def sockets_of(pids: list[int]) -> set[str]:
    """The inodes of their sockets, in whatever network namespace these are."""
    inodes = set()
    for pid in pids:
        try:
            entries = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue  # it has ended meanwhile
        inodes |= {found[1] for each in entries if (found := re.match(r"socket:\[(\d+)\]", each))}
    return inodes


def open_ports(net: Path) -> list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int, str]]:
    """(address, port, inode) of all that listens in the namespace of this /proc/PID/net."""
    found = []
    for name in ("tcp", "tcp6", "udp", "udp6"):
        path = net / name
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            fields = line.split()
            if fields[3] != (LISTEN if name.startswith("tcp") else UNCONNECTED):
                continue
            address, _, port = fields[1].partition(":")
            raw = bytes.fromhex(address)
            words = b"".join(raw[k : k + 4][::-1] for k in range(0, len(raw), 4))
            found.append((ipaddress.ip_address(words), int(port, 16), fields[9]))
    return found


@pytest.fixture
def listener(region):
    """A door on the machine beside the API's: a load balancer's."""
    elb, ec2 = region.client("elbv2"), region.client("ec2")
    subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]]
    (made,) = elb.create_load_balancer(Name="swept", Subnets=subnets)["LoadBalancers"]
    says = {"StatusCode": "200"}
    (listener,) = elb.create_listener(
        LoadBalancerArn=made["LoadBalancerArn"], Protocol="HTTP", Port=80,
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": says}],
    )["Listeners"]  # fmt: skip
    yield listener["ListenerArn"]
    elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])


def test_a_region_listens_on_loopback_only(region, listener):
    with urllib.request.urlopen(f"{region.url}/_hikkoshi/doors", timeout=20) as answer:
        door = json.load(answer)["listeners"][listener]
    record = json.loads((region.home / "state/hikkoshi/region/region.json").read_text())
    processes = descendants(record["door_pid"])
    inodes = sockets_of(processes)
    assert len(processes) > 2
    ours = [
        (address, port)
        for address, port, inode in open_ports(Path("/proc/self/net"))
        if inode in inodes
    ]
    expected = {int(region.url.rpartition(":")[2]), int(door.rpartition(":")[2])}
    assert expected <= {port for _, port in ours}, "the sweep finds what is known to be open"
    assert [each for each in ours if not each[0].is_loopback] == []


def test_what_listens_in_its_namespace_is_not_the_machines(region, listener):
    record = json.loads((region.home / "state/hikkoshi/region/region.json").read_text())
    inside = open_ports(Path(f"/proc/{record['init_pid']}/net"))
    assert inside, "DNS, metadata, the API for tasks"
    for address, port, _ in inside:
        is_its_own = address.is_loopback or address == METADATA or address in PRIVATE
        assert is_its_own, f"{address}:{port}"
