"""The front as its clients meet it: boto3, awscli, and those who mean no good."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import pytest
from botocore.config import Config

from hikkoshi.base.errors import BadInput
from hikkoshi.region.front.door import MAX_OWN_BODY, ApiFront
from hikkoshi.region.front.port import AwsError, Caller


class EchoEcs:
    """A service of few operations that keeps what it was given."""

    name = "ecs"

    def __init__(self) -> None:
        self.given: list[tuple[dict[str, Any], Caller]] = []

    def operations(self) -> dict[str, Any]:
        return {
            "ListClusters": self._list,
            "DescribeServices": self._refuse,
            "RunTask": self._break,
            "StopTask": self._hang,
        }

    async def _list(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        self.given.append((parameters, caller))
        return {"clusterArns": [f"arn:aws:ecs:{caller.region}:{caller.account_id}:cluster/c"]}

    async def _refuse(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        raise AwsError("ClusterNotFoundException", "Cluster not found.")

    async def _break(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        raise KeyError("oops")

    async def _hang(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}


class Door:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.ecs = EchoEcs()
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.port, self.second_port = (item.getsockname()[1] for item in sockets)
        self.url = f"http://127.0.0.1:{self.port}"
        self.front = ApiFront(
            {"ecs": self.ecs},
            loop=self.loop,
            account_id="111122223333",
            calls={"/_hikkoshi/echo": self._echo, "/_hikkoshi/fail": self._fail},
            deadline_s=1.0,
        )
        warming = self.front.start(sockets)
        assert warming is not None
        warming.join()

    async def _echo(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return {"given": parameters}

    async def _fail(self, parameters: dict[str, Any]) -> dict[str, Any]:
        raise BadInput("no such mark", where="mark", fix="name one")

    def client(self, service: str, port: int | None = None) -> Any:
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{port or self.port}",
            region_name="ap-northeast-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 0}, read_timeout=15),
        )

    def send(self, raw: bytes) -> tuple[int, dict[str, str], bytes]:
        """Raw bytes in, (status, headers, body) out; the connection has to be closed by then."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=15) as connection:
            connection.sendall(raw)
            with contextlib.suppress(OSError):  # it may have been closed on us already
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        return int(lines[0].split(" ")[1]), headers, body

    def post(self, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
        fields = {"Host": "127.0.0.1", "Connection": "close", "Content-Length": str(len(body))}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return self.send(f"POST / HTTP/1.1\r\n{head}\r\n".encode() + body)

    def close(self) -> None:
        self.front.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    built = Door()
    try:
        yield built
    finally:
        built.close()


ECS = "AmazonEC2ContainerServiceV20141113"


def test_boto3_calls_a_service_at_both_doors(door: Door) -> None:
    for port in (door.port, door.second_port):
        answer = door.client("ecs", port).list_clusters(maxResults=5)
        assert answer["clusterArns"] == ["arn:aws:ecs:ap-northeast-1:111122223333:cluster/c"]
    assert door.ecs.given[-1][0] == {"maxResults": 5}
    assert door.ecs.given[-1][1].request_id == answer["ResponseMetadata"]["RequestId"]


def test_awscli_calls_a_service(door: Door, tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "aws"
    done = subprocess.run(
        [str(program), "ecs", "list-clusters", "--query", "clusterArns[0]", "--output", "text"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "AWS_ENDPOINT_URL": door.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "eu-west-1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout.strip(), done.stderr) == (
        "arn:aws:ecs:eu-west-1:111122223333:cluster/c",
        "",
    )


def test_errors_of_a_service_are_its_own_exceptions(door: Door) -> None:
    client = door.client("ecs")
    with pytest.raises(client.exceptions.ClusterNotFoundException, match=r"Cluster not found\."):
        client.describe_services(services=["x"])


@pytest.mark.parametrize(
    ("service", "call", "arguments"),
    [
        ("ecs", "list_services", {}),
        ("elbv2", "describe_load_balancers", {}),
        ("rds", "describe_db_clusters", {}),
        ("xray", "get_trace_summaries", {"StartTime": 1, "EndTime": 2}),
        ("outposts", "list_sites", {}),
    ],
)
def test_what_is_not_there_says_so(
    door: Door, service: str, call: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        getattr(door.client(service), call)(**arguments)
    assert caught.value.response["Error"]["Code"] == "NotImplementedException"
    assert "not implemented by the local region" in caught.value.response["Error"]["Message"]


def test_moto_answers_for_the_rest_in_our_account(door: Door) -> None:
    assert door.client("sts").get_caller_identity()["Account"] == "111122223333"
    ec2 = door.client("ec2")
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    assert len(vpcs) == 1
    subnets = ec2.describe_subnets()["Subnets"]
    assert {subnet["VpcId"] for subnet in subnets} == {vpcs[0]["VpcId"]}
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) >= 2
    assert ec2.describe_security_groups()["SecurityGroups"][0]["GroupName"] == "default"
    s3 = door.client("s3")
    s3.create_bucket(
        Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
    )
    large = os.urandom(MAX_OWN_BODY + 1)
    s3.put_object(Bucket="kept", Key="large", Body=large)
    assert s3.get_object(Bucket="kept", Key="large")["Body"].read() == large


def test_a_fault_of_ours_is_an_internal_failure_in_awss_shape(door: Door) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match=r"InternalFailure.*KeyError"):
        door.client("ecs").run_task(taskDefinition="x")


def test_an_operation_that_hangs_is_given_up(door: Door) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match="took longer than 1 s"):
        door.client("ecs").stop_task(task="x")


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"{", "SerializationException", "not JSON"),
        (b"[]", "SerializationException", "Start of structure"),
        (b"\xff\xfe", "SerializationException", "not JSON"),
        (b'{"maxResults": NaN}', "SerializationException", "NaN"),
        (b'{"maxResults": "5"}', "SerializationException", "a string was found, a number"),
        (b'{"maxResults": 1e99}', "SerializationException", "is not an integer"),
        (b'{"maxResults": 1.5}', "SerializationException", "an? integer"),
        (b'{"nextToken": "\\ud800"}', "SerializationException", "surrogate"),
        (b"[" * 200_000, "SerializationException", "deeply|not JSON"),
    ],
)
def test_broken_json_is_refused(door: Door, body: bytes, code: str, words: str) -> None:
    status, headers, answer = door.post(body, X_Amz_Target=f"{ECS}.ListClusters")
    document = json.loads(answer)
    assert (status, document["__type"]) == (400, code)
    assert headers["content-type"] == "application/x-amz-json-1.1"
    assert re.search(words, document["message"]), document


def test_parameters_are_checked_in_awss_words(door: Door) -> None:
    status, _, answer = door.post(b'{"launchType": "MAINFRAME"}', X_Amz_Target=f"{ECS}.RunTask")
    document = json.loads(answer)
    assert (status, document["__type"]) == (400, "InvalidParameterException")
    assert document["message"] == (
        "2 validation errors detected: Value null at 'taskDefinition' failed to satisfy "
        "constraint: Member must not be null; Value 'MAINFRAME' at 'launchType' failed to satisfy "
        "constraint: Member must satisfy enum value set: [EC2, FARGATE, EXTERNAL, "
        "MANAGED_INSTANCES]"
    )


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 65_517, 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: No.Such\r\nContent-Length: 0\r\n\r\n", 400),
        (f"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: {ECS}.Nope\r\n\r\n".encode(), 400),
        (b"POST /?Action=Nope&Version=2015-12-01 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST /?Version=2015-12-01 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ],
)
def test_garbage_is_refused_in_awss_shape(door: Door, raw: bytes, status: int) -> None:
    found, headers, body = door.send(raw)
    assert found == status
    assert "json" in headers["content-type"] or "xml" in headers["content-type"]
    assert b"<html" not in body.lower()


def test_a_huge_body_for_our_own_services_is_refused(door: Door) -> None:
    body = b" " * (MAX_OWN_BODY + 1)
    status, _, answer = door.post(body, X_Amz_Target=f"{ECS}.ListClusters")
    assert (status, json.loads(answer)["__type"]) == (413, "RequestEntityTooLarge")


def test_ten_thousand_parameters_are_no_trouble(door: Door) -> None:
    form = "Action=RegisterTargets&Version=2015-12-01&" + "&".join(
        f"Targets.member.{index}.Id=x" for index in range(30_000)
    )
    status, _, answer = door.post(form.encode(), Content_Type="application/x-www-form-urlencoded")
    assert status == 400 and b"MalformedQueryString" in answer


def private(door: Door, head: str, body: bytes = b"") -> tuple[int, Any]:
    length = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    status, _, answer = door.send((head + length).encode() + body)
    return status, json.loads(answer)


def test_private_calls(door: Door) -> None:
    json_type = "Content-Type: application/json\r\n"
    get = "GET /_hikkoshi/echo?a=1 HTTP/1.1\r\nHost: 10.0.0.1:4566\r\n"
    assert private(door, get) == (200, {"given": {"a": "1"}})
    post = "POST /_hikkoshi/echo HTTP/1.1\r\nHost: localhost:1\r\n"
    assert private(door, post + json_type, b'{"b": [1]}') == (200, {"given": {"b": [1]}})
    status, answer = private(door, "GET /_hikkoshi/fail HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    assert (status, answer["error"]) == (400, "BadInput") and "fix: name one" in answer["message"]
    status, answer = private(door, "GET /_hikkoshi/nope HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    assert status == 404 and "/_hikkoshi/echo" in answer["message"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /_hikkoshi/echo HTTP/1.1\r\nHost: evil.example\r\n", 403),
        ("GET /_hikkoshi/echo HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n", 403),
        ("GET /_hikkoshi/echo HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n", 403),
        ("GET /_hikkoshi/echo HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n", 403),
        ("POST /_hikkoshi/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n", 415),
    ],
)
def test_web_pages_cannot_call_the_region(door: Door, head: str, status: int) -> None:
    found, _ = private(door, head, b"{}" if "POST" in head else b"")
    assert found == status


def test_no_answer_allows_another_origin(door: Door) -> None:
    _, headers, _ = door.send(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:1\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert not any(name.startswith("access-control") for name in headers)
