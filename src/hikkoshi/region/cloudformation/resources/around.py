"""What surrounds a service and moto's CloudFormation has not: kept by moto's API, as metadata."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from hikkoshi.region.cloudformation.adapter import Adapter, is_gone

_METADATA = "metadata only: the local region keeps it, nothing acts on it"


class Alarm(Adapter):
    TYPE = "AWS::CloudWatch::Alarm"
    REPLACING = frozenset({"AlarmName"})
    METADATA = "metadata only: the local region's alarms never ring"

    def make(self, properties: dict[str, Any]) -> None:
        self.identity = str(properties.get("AlarmName") or self.name)
        self.call("cloudwatch", "PutMetricAlarm", {"AlarmName": self.identity, **properties})
        place = f"{self.region}:{_account(self)}"
        self.attributes = {"Arn": f"arn:aws:cloudwatch:{place}:alarm:{self.identity}"}

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        self.call("cloudwatch", "PutMetricAlarm", {"AlarmName": self.identity, **properties})

    def remove(self) -> None:
        self.client("cloudwatch").delete_alarms(AlarmNames=[self.identity])


class Key(Adapter):
    """moto has one too, which does not take the tags that the CDK writes."""

    TYPE = "AWS::KMS::Key"
    REPLACING = frozenset({"KeySpec", "KeyUsage", "MultiRegion"})
    METADATA = _METADATA

    def make(self, properties: dict[str, Any]) -> None:
        given: dict[str, Any] = {
            key: properties[key]
            for key in ("Description", "KeySpec", "KeyUsage", "MultiRegion")
            if key in properties
        }
        given["Policy"] = json.dumps(properties["KeyPolicy"]) if "KeyPolicy" in properties else None
        tags = [
            {"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in properties.get("Tags", [])
        ]
        key = self.client("kms").create_key(
            **{name: value for name, value in given.items() if value is not None}, Tags=tags
        )["KeyMetadata"]
        self.identity = key["KeyId"]
        self.attributes = {"Arn": key["Arn"], "KeyId": key["KeyId"]}
        self.change(properties, {})

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        client = self.client("kms")
        if properties.get("EnableKeyRotation") in (True, "true"):
            client.enable_key_rotation(KeyId=self.identity)
        elif before.get("EnableKeyRotation"):
            client.disable_key_rotation(KeyId=self.identity)
        if before and "KeyPolicy" in properties:
            client.put_key_policy(
                KeyId=self.identity, PolicyName="default",
                Policy=json.dumps(properties["KeyPolicy"]),
            )  # fmt: skip

    def remove(self) -> None:
        if "Arn" in self.attributes:
            self.client("kms").schedule_key_deletion(KeyId=self.identity, PendingWindowInDays=7)


class BucketPolicy(Adapter):
    TYPE = "AWS::S3::BucketPolicy"
    REPLACING = frozenset({"Bucket"})
    METADATA = _METADATA

    def make(self, properties: dict[str, Any]) -> None:
        self.identity = str(properties["Bucket"])
        self.change(properties, {})

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        document = properties["PolicyDocument"]
        kept = [each for each in document["Statement"] if not _wants_tls(each)]
        if len(kept) < len(document["Statement"]):
            self.lacks.add("the statement that denies HTTP, which is all the local region speaks")
        if kept:
            policy = json.dumps({**document, "Statement": kept})
            self.client("s3").put_bucket_policy(Bucket=self.identity, Policy=policy)
        else:
            self.client("s3").delete_bucket_policy(Bucket=self.identity)

    def remove(self) -> None:
        try:
            self.client("s3").delete_bucket_policy(Bucket=self.properties["Bucket"])
        except ClientError as error:
            if not is_gone(error):
                raise


def _wants_tls(statement: dict[str, Any]) -> bool:
    transport = statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")
    return statement.get("Effect") == "Deny" and str(transport).lower() == "false"


class TopicPolicy(Adapter):
    TYPE = "AWS::SNS::TopicPolicy"
    METADATA = _METADATA

    def make(self, properties: dict[str, Any]) -> None:
        self.change(properties, {})

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        for topic in properties["Topics"]:
            self.client("sns").set_topic_attributes(
                TopicArn=topic,
                AttributeName="Policy",
                AttributeValue=json.dumps(properties["PolicyDocument"]),
            )

    def remove(self) -> None:
        """The topic goes by itself."""


class _SecurityGroupRule(Adapter):
    """PEER: the property that names the other group."""

    DIRECTION = ""
    PEER = ""
    METADATA = _METADATA

    def make(self, properties: dict[str, Any]) -> None:
        client = self.client("ec2")
        permit = getattr(client, f"authorize_security_group_{self.DIRECTION}")
        answer = permit(**self._rule(properties))
        rules = answer.get("SecurityGroupRules") or [{}]
        self.attributes = {"Id": rules[0].get("SecurityGroupRuleId", self.name)}
        self.identity = self.attributes["Id"]

    def remove(self) -> None:
        if not self.attributes:
            return
        forbid = getattr(self.client("ec2"), f"revoke_security_group_{self.DIRECTION}")
        try:
            forbid(**self._rule(self.properties))
        except ClientError as error:
            if not is_gone(error):
                raise

    def _rule(self, properties: dict[str, Any]) -> dict[str, Any]:
        permission: dict[str, Any] = {"IpProtocol": str(properties["IpProtocol"])}
        for key in ("FromPort", "ToPort"):
            if key in properties:
                permission[key] = int(properties[key])
        described = {k: properties[k] for k in ("Description",) if k in properties}
        if "CidrIp" in properties:
            permission["IpRanges"] = [{"CidrIp": properties["CidrIp"], **described}]
        if "CidrIpv6" in properties:
            permission["Ipv6Ranges"] = [{"CidrIpv6": properties["CidrIpv6"], **described}]
        if self.PEER in properties:
            permission["UserIdGroupPairs"] = [{"GroupId": properties[self.PEER], **described}]
        return {"GroupId": properties["GroupId"], "IpPermissions": [permission]}


_RULE = frozenset(
    {"GroupId", "IpProtocol", "FromPort", "ToPort", "CidrIp", "CidrIpv6", "Description"}
)


class SecurityGroupEgress(_SecurityGroupRule):
    TYPE = "AWS::EC2::SecurityGroupEgress"
    DIRECTION, PEER = "egress", "DestinationSecurityGroupId"
    REPLACING = _RULE | {PEER}


class SecurityGroupIngress(_SecurityGroupRule):
    TYPE = "AWS::EC2::SecurityGroupIngress"
    DIRECTION, PEER = "ingress", "SourceSecurityGroupId"
    REPLACING = _RULE | {PEER}


class CdkMetadata(Adapter):
    """The CDK's own note about itself; AWS ignores it too."""

    TYPE = "AWS::CDK::Metadata"

    def make(self, properties: dict[str, Any]) -> None:
        """Nothing to make."""

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        """Nothing to change."""

    def remove(self) -> None:
        """Nothing to remove."""


def _account(adapter: Adapter) -> str:
    return str(adapter.client("sts").get_caller_identity()["Account"])


ADAPTERS: tuple[type[Adapter], ...] = (
    Alarm,
    Key,
    BucketPolicy,
    TopicPolicy,
    SecurityGroupEgress,
    SecurityGroupIngress,
    CdkMetadata,
)
