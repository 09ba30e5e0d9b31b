"""Waiting for a database that will never come."""

from __future__ import annotations

import time

import boto3
import pytest
from botocore.stub import Stubber

from hikkoshi.base.errors import CannotRun
from hikkoshi.trials.database import wait_for_database


def test_a_database_that_failed_is_not_waited_for():
    """botocore's own stub, since a region's database fails only when its disk is full."""
    rds = boto3.client(
        "rds", region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any"
    )
    with Stubber(rds) as stub:
        stub.add_response("describe_db_clusters", {"DBClusters": [
            {"Status": "failed", "DBClusterMembers": []}]})  # fmt: skip
        stub.add_response("describe_events", {"Events": [
            {"Message": "Failed: initdb: No space left on device", "EventCategories": ["failure"]},
            {"Message": "DB cluster created", "EventCategories": ["creation"]}]})  # fmt: skip
        began = time.monotonic()
        with pytest.raises(CannotRun, match="genba failed: Failed: initdb: No space") as error:
            wait_for_database(rds, "genba")
    assert time.monotonic() - began < 5
    assert "disk" in (error.value.fix or "")
