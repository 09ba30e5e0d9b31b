"""What rooms of the region ask of services that are moto's: EC2's instances, ACM's certificates,
CloudWatch's alarms."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from hikkoshi.region.elb.balancers import FindSubnet
from hikkoshi.region.elb.delivery import PutObject
from hikkoshi.region.elb.groups import FindInstance
from hikkoshi.region.elb.keeper import FindCertificate
from hikkoshi.region.ports import Alarm
from hikkoshi.region.task.secrets import MakeClient

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----\n?", re.DOTALL)


def subnet_finder(account_id: str) -> FindSubnet:
    """Subnets are moto's. One that EC2 does not know is taken as it is, since a project's service
    definition names those of its AWS account; EC2 is not imported to learn that it knows none."""

    def find(subnet: str, region: str) -> tuple[str | None, str]:
        if "moto.ec2.models" not in sys.modules:
            return None, ""
        from moto.backends import get_backend

        for in_zone in get_backend("ec2")[account_id][region].subnets.values():
            if subnet in in_zone:
                return str(in_zone[subnet].vpc_id), str(in_zone[subnet].availability_zone)
        return None, ""

    return find


def instance_finder(clients: MakeClient) -> FindInstance:
    """EC2 is moto's: its instances are records, and a target is whatever has that address here."""

    def ask(instance_id: str, region: str) -> str | None:
        try:
            found = clients("ec2", region).describe_instances(
                InstanceIds=[instance_id],
                Filters=[{"Name": "instance-state-name", "Values": ["running"]}],
            )
        except ClientError:
            return None
        return next(
            (i.get("PrivateIpAddress") for r in found["Reservations"] for i in r["Instances"]), None
        )

    async def find(instance_id: str, region: str) -> str | None:
        return await asyncio.to_thread(ask, instance_id, region)

    return find


class MotoAlarms:
    """CloudWatch is moto's: an alarm there is a record, whose state SetAlarmState sets. A region
    that was killed has none of them any more."""

    def __init__(self, account_id: str, region: str) -> None:
        self._account_id = account_id
        self._region = region
        self._backend: Any = None

    async def find(self, names: Sequence[str]) -> Mapping[str, Alarm]:
        if self._backend is None:
            self._backend = await asyncio.to_thread(self._load)
        return self.now(names)

    def _load(self) -> Any:
        from moto.backends import get_backend

        return get_backend("cloudwatch")[self._account_id][self._region]

    def now(self, names: Sequence[str]) -> Mapping[str, Alarm]:
        alarms = self._backend.alarms if self._backend is not None else {}
        return {name: _alarm(alarms[name]) for name in names if name in alarms}


def _alarm(found: Any) -> Alarm:
    looks_back_s = float(found.period or 0) * float(found.evaluation_periods or 0)
    return Alarm(found.state_value == "ALARM", looks_back_s)


def object_putter(clients: MakeClient) -> PutObject:
    """S3 is moto's."""

    def put(region: str, bucket: str, key: str, content: bytes) -> str | None:
        try:
            clients("s3", region).put_object(Bucket=bucket, Key=key, Body=content)
        except (ClientError, BotoCoreError) as error:
            return str(error)
        return None

    async def put_object(region: str, bucket: str, key: str, content: bytes) -> str | None:
        return await asyncio.to_thread(put, region, bucket, key, content)

    return put_object


def certificate_finder(account_id: str) -> FindCertificate:
    """ACM is moto's; its API gives no private key away, so moto itself is asked."""

    def ask(arn: str, region: str) -> str | None:
        from moto.backends import get_backend

        found = get_backend("acm")[account_id][region]._certificates.get(arn)
        if found is None:
            return None
        parts = (found.cert, found.key, found.chain or b"")
        texts = [part.decode() if isinstance(part, bytes) else str(part) for part in parts]
        return "\n".join(text.strip() for text in texts) + "\n"

    async def find(arn: str, region: str) -> str | None:
        return await asyncio.to_thread(ask, arn, region)

    return find


def return_certificates(account_id: str, files: Mapping[str, Path]) -> None:
    """Give ACM back, under their ARNs, the certificates that a killed region's listeners had.
    Imports moto. files: ARN → certificate, key and chain in PEM, in this order. Of ACM's record
    only these come back: not its tags, nor that AWS had issued it."""
    from moto.acm.models import CertBundle
    from moto.backends import get_backend

    for arn, file in files.items():
        region = arn.split(":")[3]
        key, certificates = b"", []
        for block in _PEM.finditer(file.read_bytes()):
            if block[1].endswith(b"PRIVATE KEY"):
                key = block[0]
            else:
                certificates.append(block[0])
        bundle = CertBundle(account_id, certificates[0], key, region=region, arn=arn)
        bundle.chain = b"".join(certificates[1:])
        get_backend("acm")[account_id][region]._certificates[arn] = bundle
