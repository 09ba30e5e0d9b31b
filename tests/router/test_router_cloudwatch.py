"""cloudwatch_logs: signed as botocore signs, and delivered to moto's CloudWatch Logs."""

from __future__ import annotations

import calendar
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import ThreadedMotoServer
from router_process import RouterProcess, wait_until

from hikkoshi.router.outputs.cloudwatch_logs import MAX_BATCH, MAX_EVENTS, batches, sign

Start = Callable[..., RouterProcess]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_the_signature_is_botocores() -> None:
    payload = b'{"logGroupName":"g"}'
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "Logs_20140328.X"}
    theirs = AWSRequest("POST", "http://127.0.0.1:4566/", data=payload, headers=headers)
    SigV4Auth(Credentials("a", "s", "t"), "logs", "ap-northeast-1").add_auth(theirs)
    stamp = theirs.headers["X-Amz-Date"]
    now = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    ours = dict(
        sign(payload, "Logs_20140328.X", "127.0.0.1", 4566, "ap-northeast-1", ("a", "s", "t"), now)
    )
    assert ours["x-amz-date"] == stamp
    assert ours["Authorization"] == theirs.headers["Authorization"]


def configuration(key: str) -> str:
    return f"""[SERVICE]
    Flush 0.1
[INPUT]
    Name dummy
    Tag app-firelens-1
    Samples 2
    Rate 50
    Dummy {{"log":"hello"}}
[OUTPUT]
    Name cloudwatch_logs
    Match *
    region ap-northeast-1
    log_group_name /genba
    log_stream_prefix s-
    auto_create_group On
{key}"""


def test_records_reach_the_log_group(start_stand_in: Start, endpoint: str) -> None:
    environ = {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"
    }  # fmt: skip
    router = start_stand_in(configuration("    log_key log\n"), environ)
    client = boto3.client(
        "logs", endpoint_url=endpoint, region_name="ap-northeast-1", aws_access_key_id="a",
        aws_secret_access_key="b",
    )  # fmt: skip

    def messages() -> list[str]:
        try:
            found = client.get_log_events(logGroupName="/genba", logStreamName="s-app-firelens-1")
        except client.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in found["events"]]

    wait_until(lambda: len(messages()) == 2, "two events in the group")
    assert messages() == ["hello", "hello"]
    assert router.stop() == 0
    assert "delivered=2" in router.log()


def test_without_an_endpoint_records_are_captured_and_said_to_be(start_stand_in: Start) -> None:
    router = start_stand_in(configuration(""))
    router.wait_for_log("counted as captured, not delivered")
    assert router.stop() == 0
    assert "delivered=0" in router.log()


def test_batches_keep_to_the_limits() -> None:
    events: list[Any] = [(n * 10**6, {"log": "x" * 100}) for n in range(25_000, 0, -1)]
    made = batches(events, "log")
    assert [len(batch) for batch in made] == [8322, 8322, 8322, 34]
    assert max(len(batch) for batch in made) <= MAX_EVENTS
    assert all(sum(126 for _ in batch) <= MAX_BATCH for batch in made)
    stamps = [entry["timestamp"] for batch in made for entry in batch]
    assert stamps == sorted(stamps)  # type: ignore[type-var]
