"""The bucket of a shared load, as both sides use it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from hikkoshi.aws.access import Access, calling
from hikkoshi.aws.pages import pages
from hikkoshi.base.errors import AwsRefused, BadInput
from hikkoshi.load.tasks.plan import Bucket

# DeleteObjects takes so many keys: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """stamped: when S3 took it, epoch seconds by S3's clock; whole seconds in an account. tag: of
    its content, which no other has."""

    name: str
    stamped: float
    tag: str


class Drop:
    """Objects below one prefix. Names are relative to it. AwsRefused when S3 does not let us."""

    def __init__(self, access: Access, bucket: Bucket) -> None:
        self.bucket = bucket
        self._s3 = access.client("s3")

    def check(self) -> None:
        """BadInput when there is no such bucket."""
        try:
            calling("s3:HeadBucket", self._s3.head_bucket, Bucket=self.bucket.name)
        except AwsRefused as error:
            cause = error.__cause__
            # HEAD has no body, so S3 gives the status alone as code.
            if isinstance(cause, ClientError) and cause.response["Error"]["Code"] == "404":
                raise BadInput(
                    f"there is no bucket {self.bucket.name}", where="--bucket",
                    fix=f"make it: aws s3 mb s3://{self.bucket.name}",
                ) from error  # fmt: skip
            raise

    def put(self, name: str, document: dict[str, Any]) -> None:
        self.put_bytes(name, json.dumps(document).encode())

    def put_bytes(self, name: str, data: bytes) -> None:
        calling(
            "s3:PutObject", self._s3.put_object,
            Bucket=self.bucket.name, Key=self.bucket.prefix + name, Body=data,
        )  # fmt: skip

    def get(self, name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.get_bytes(name))
        return document

    def get_bytes(self, name: str) -> bytes:
        key = self.bucket.prefix + name
        answer = calling("s3:GetObject", self._s3.get_object, Bucket=self.bucket.name, Key=key)
        data: bytes = answer["Body"].read()
        return data

    def find(self, under: str = "") -> list[Found]:
        """All objects whose names begin so, by name. Asking by a list, and not for the object
        itself, tells what is not there yet from what may not be read."""
        prefix = self.bucket.prefix + under
        listed = pages(
            "s3:ListObjectsV2", self._s3, "list_objects_v2", Bucket=self.bucket.name, Prefix=prefix
        )
        rows = [row for page in listed for row in page.get("Contents", [])]
        start = len(self.bucket.prefix)
        return [
            Found(row["Key"][start:], row["LastModified"].timestamp(), row["ETag"]) for row in rows
        ]

    def clear(self) -> None:
        """Removes all of them."""
        names = [found.name for found in self.find()]
        for at in range(0, len(names), _AT_ONCE):
            keys = [{"Key": self.bucket.prefix + name} for name in names[at : at + _AT_ONCE]]
            calling(
                "s3:DeleteObjects", self._s3.delete_objects,
                Bucket=self.bucket.name, Delete={"Objects": keys, "Quiet": True},
            )  # fmt: skip
