"""What former2 or CloudFormation's IaC generator wrote of an account, into what is imported.

Read are the network, the load balancer with its listener and old target group, and the database
cluster. Ids are taken where they stand: former2 writes those of what was not selected into the
properties, the IaC generator puts them into logical names (`EC2VPC00vpc0a1b…00XyZ12`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from hikkoshi.base.errors import BadInput
from hikkoshi.base.written_out import MOST_NODES, written_out
from hikkoshi.model.project import (
    ExistingDatabase,
    ExistingLoadBalancer,
    ExistingNetwork,
    Iac,
)
from hikkoshi.project.documents import read_document, read_text

_ID = {
    "vpc": re.compile(r"\bvpc-[0-9a-f]{8,17}\b"),
    "subnet": re.compile(r"\bsubnet-[0-9a-f]{8,17}\b"),
    "group": re.compile(r"\bsg-[0-9a-f]{8,17}\b"),
}
_BALANCER = re.compile(r"arn:aws[\w-]*:elasticloadbalancing:[\w-]+:\d{12}:loadbalancer/app/[\w/-]+")
_LISTENER = re.compile(r"arn:aws[\w-]*:elasticloadbalancing:[\w-]+:\d{12}:listener/app/[\w/-]+")
_TARGET_GROUP = re.compile(r"arn:aws[\w-]*:elasticloadbalancing:[\w-]+:\d{12}:targetgroup/[\w/-]+")


@dataclass(frozen=True, slots=True)
class Found:
    """What the template told; `missing`: what is there without an id that could be imported."""

    iac: Iac
    seen: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass
class _Reading:
    resources: Mapping[str, Mapping[str, Any]]
    seen: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def read_existing(path: Path, iac: Iac) -> Found:
    """`iac` with what the template names; what `iac` says already stays. Raises BadInput."""
    document = _read_template(path)
    resources = document.get("Resources") if isinstance(document, dict) else None
    if not isinstance(resources, dict) or not resources:
        raise BadInput(
            f"{path} is no CloudFormation template: it has no Resources",
            fix="give former2's CloudFormation output, or the IaC generator's template",
        )
    bad = [k for k, v in resources.items() if not isinstance(v, dict) or "Type" not in v]
    if bad:
        raise BadInput(f"the resource {bad[0]!r} has no Type", where=str(path))
    reading = _Reading(resources)
    found = replace(
        iac,
        network=iac.network or _network(reading),
        load_balancer=iac.load_balancer or _load_balancer(reading),
        database=iac.database or _database(reading),
    )
    return Found(found, tuple(reading.seen), tuple(reading.missing))


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!Ref x`, `!GetAtt a.b`, `!Sub …`."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def _read_template(path: Path) -> Any:
    if path.suffix == ".json":
        return read_document(path).data
    text = read_text(path)
    try:
        if written_out(yaml.compose(text, Loader=_Loader)) > MOST_NODES:
            raise BadInput(
                f"more than {MOST_NODES} keys and items, aliases counted each time",
                where=str(path),
                fix="write less of it by aliases (*name)",
            )
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise BadInput(str(error.problem), where=place) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise BadInput(f"not YAML: {error}", where=str(path)) from error


def _network(reading: _Reading) -> ExistingNetwork | None:
    """The VPC, and its subnets where all of them have ids and zones."""
    subnets = [(name, r) for name, r in _of(reading, "AWS::EC2::Subnet")]
    vpcs = {_identity(reading, name, r, "vpc") for name, r in _of(reading, "AWS::EC2::VPC")}
    named = set(_texts(reading.resources, _ID["vpc"]))
    candidates = (vpcs & named or vpcs or named) - {None}
    if len(candidates) != 1:
        if candidates or vpcs or subnets:
            reading.missing.append(
                f"the network: {', '.join(sorted(map(str, candidates)))} are several"
                if candidates
                else "the network: no id of a VPC stands in the template"
            )
        return None
    vpc = str(candidates.pop())
    rows = []
    for name, resource in subnets:
        properties = resource.get("Properties") or {}
        zone = properties.get("AvailabilityZone")
        identity = _identity(reading, name, resource, "subnet")
        if identity and isinstance(zone, str):
            rows.append((zone, bool(properties.get("MapPublicIpOnLaunch")), identity))
    zones, public, private = _paired(rows)
    reading.seen.append(f"network {vpc}" + (f", {len(rows)} subnets" if private else ""))
    return ExistingNetwork(vpc, zones, public, private)


def _paired(
    rows: list[tuple[str, bool, str]],
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Zones with one private subnet and one public subnet each, where every zone has both; else
    nothing, and the CDK looks the VPC up."""
    by_zone: dict[str, dict[bool, str]] = {}
    for zone, is_public, identity in sorted(rows):
        by_zone.setdefault(zone, {}).setdefault(is_public, identity)
    whole = [zone for zone, kinds in by_zone.items() if len(kinds) == 2]
    if not whole:
        return (), (), ()
    return (
        tuple(whole),
        tuple(by_zone[zone][True] for zone in whole),
        tuple(by_zone[zone][False] for zone in whole),
    )


def _load_balancer(reading: _Reading) -> ExistingLoadBalancer | None:
    arns = sorted(set(_texts(reading.resources, _BALANCER)))
    listeners = sorted(set(_texts(reading.resources, _LISTENER)))
    if not arns:
        # A listener's ARN has the load balancer's in it.
        arns = sorted(
            {arn.replace(":listener/", ":loadbalancer/").rpartition("/")[0] for arn in listeners}
        )
    has_one = bool(_of(reading, "AWS::ElasticLoadBalancingV2::LoadBalancer"))
    if not (arns or has_one):
        return None
    groups = [
        group
        for _, resource in _of(reading, "AWS::ElasticLoadBalancingV2::LoadBalancer")
        for group in _references(reading, (resource.get("Properties") or {}).get("SecurityGroups"))
    ]
    lacks = [
        words
        for words, values in (("ARN", arns), ("listener's ARN", listeners), ("group", groups))
        if not values
    ]
    if lacks or len(arns) > 1:
        what = f"it has no {' and no '.join(lacks)}" if lacks else "there are several"
        reading.missing.append(
            f"the load balancer: {what} in the template; write iac.load_balancer yourself"
        )
        return None
    target_groups = sorted(set(_texts(reading.resources, _TARGET_GROUP)))
    reading.seen.append(f"load balancer {arns[0]}")
    return ExistingLoadBalancer(
        arns[0], listeners[0], groups[0], target_groups[0] if len(target_groups) == 1 else None
    )


def _database(reading: _Reading) -> ExistingDatabase | None:
    clusters = _of(reading, "AWS::RDS::DBCluster")
    if not clusters:
        return None
    name, resource = clusters[0]
    properties = resource.get("Properties") or {}
    identifier = properties.get("DBClusterIdentifier")
    groups = _references(reading, properties.get("VpcSecurityGroupIds"))
    if len(clusters) > 1 or not isinstance(identifier, str) or not groups:
        reading.missing.append(
            f"the database cluster {name}: write iac.database (cluster, security_group) yourself"
        )
        return None
    port = str(properties.get("Port"))
    reading.seen.append(f"database cluster {identifier}")
    return ExistingDatabase(identifier, groups[0], int(port) if port.isdigit() else 5432)


def _of(reading: _Reading, kind: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name, r) for name, r in reading.resources.items() if r.get("Type") == kind]


def _identity(reading: _Reading, name: str, resource: Mapping[str, Any], kind: str) -> str | None:
    """The physical id of a resource: in its logical name, or among its properties or metadata."""
    pattern = _ID[kind]
    for text in (resource.get("Metadata"), resource.get("Properties")):
        for value in _texts(text, pattern):
            return value
    return _glued(name, kind)


def _glued(name: str, kind: str) -> str | None:
    """The id in a logical name of the IaC generator's: `EC2VPC00vpc0436cc8bb9b7d869a00UXFnL`."""
    match = re.search(rf"00{kind}-?([0-9a-f]{{17}}|[0-9a-f]{{8}})00\w{{5}}$", name)
    return f"{kind}-{match[1]}" if match else None


def _references(reading: _Reading, value: Any) -> list[str]:
    """Ids of security groups: as they stand, or of the group that is referred to."""
    found = list(_texts(value, _ID["group"]))
    if found:
        return found
    for name in _refs(value):
        resource = reading.resources.get(name)
        if resource is not None:
            found += list(_texts(resource.get("Metadata"), _ID["group"]))
            identity = _glued(name, "sg")
            found += [identity] if identity and not found else []
    return found


def _refs(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("Ref"), str):
            yield value["Ref"]
        if isinstance(value.get("Fn::GetAtt"), list) and value["Fn::GetAtt"]:
            yield str(value["Fn::GetAtt"][0])
    items = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, (Mapping, list)):
        for item in items:
            yield from _refs(item)


def _texts(value: Any, pattern: re.Pattern[str]) -> Iterator[str]:
    """Every match in every text below."""
    if isinstance(value, str):
        yield from pattern.findall(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item, pattern)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, pattern)
