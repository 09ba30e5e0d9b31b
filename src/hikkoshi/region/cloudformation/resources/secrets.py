"""AWS::SecretsManager: secrets, and the attachment that writes a database into one."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from hikkoshi.region.cloudformation.adapter import Adapter, ResourceFailed, is_gone


class Secret(Adapter):
    TYPE = "AWS::SecretsManager::Secret"
    REPLACING = frozenset({"Name"})

    def make(self, properties: dict[str, Any]) -> None:
        text = properties.get("SecretString")
        if text is None:
            text = self._generate(properties.get("GenerateSecretString", {}))
        given: dict[str, Any] = {
            k: properties[k] for k in ("Description", "KmsKeyId", "Tags") if k in properties
        }
        name = str(properties.get("Name") or self.name)
        answer = self.call(
            "secretsmanager", "CreateSecret", {"Name": name, "SecretString": text, **given}
        )
        self.identity = answer["ARN"]
        self.attributes = {"Id": self.identity}

    def _generate(self, wanted: dict[str, Any]) -> str:
        shape: dict[str, Any] = {
            key: wanted[key]
            for key in (
                "ExcludeCharacters", "ExcludeLowercase", "ExcludeNumbers", "ExcludePunctuation",
                "ExcludeUppercase", "IncludeSpace", "PasswordLength", "RequireEachIncludedType",
            )
            if key in wanted
        }  # fmt: skip
        password = self.call("secretsmanager", "GetRandomPassword", shape)["RandomPassword"]
        if "SecretStringTemplate" not in wanted:
            return str(password)
        document = json.loads(wanted["SecretStringTemplate"])
        return json.dumps({**document, wanted["GenerateStringKey"]: password})

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        client = self.client("secretsmanager")
        if "Description" in properties:
            client.update_secret(SecretId=self.identity, Description=properties["Description"])
        if "SecretString" in properties:
            client.put_secret_value(SecretId=self.identity, SecretString=properties["SecretString"])
        elif properties.get("GenerateSecretString") != before.get("GenerateSecretString"):
            text = self._generate(properties.get("GenerateSecretString", {}))
            client.put_secret_value(SecretId=self.identity, SecretString=text)

    def remove(self) -> None:
        if not self.identity.startswith("arn:"):
            return
        try:
            self.client("secretsmanager").delete_secret(
                SecretId=self.identity, ForceDeleteWithoutRecovery=True
            )
        except ClientError as error:
            if not is_gone(error):
                raise


class TargetAttachment(Adapter):
    TYPE = "AWS::SecretsManager::SecretTargetAttachment"
    REPLACING = frozenset({"SecretId", "TargetId", "TargetType"})

    def make(self, properties: dict[str, Any]) -> None:
        if properties["TargetType"] != "AWS::RDS::DBCluster":
            raise ResourceFailed(
                f"the local region attaches no secret to a {properties['TargetType']}"
            )
        cluster = self.client("rds").describe_db_clusters(
            DBClusterIdentifier=properties["TargetId"]
        )["DBClusters"][0]
        client = self.client("secretsmanager")
        known = client.get_secret_value(SecretId=properties["SecretId"])
        document = {
            **json.loads(known["SecretString"]),
            "engine": "postgres",
            "host": cluster["Endpoint"],
            "port": cluster["Port"],
            "dbname": cluster.get("DatabaseName", ""),
            "dbClusterIdentifier": cluster["DBClusterIdentifier"],
        }
        client.put_secret_value(SecretId=properties["SecretId"], SecretString=json.dumps(document))
        self.identity = known["ARN"]
        self.attributes = {"Id": self.identity}

    def remove(self) -> None:
        """The secret goes by itself."""


ADAPTERS: tuple[type[Adapter], ...] = (Secret, TargetAttachment)
