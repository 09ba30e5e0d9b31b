"""The metadata endpoint over HTTP, asked by a plain client and by botocore's own provider."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from hikkoshi.base.clock import FakeClock
from hikkoshi.region.engine.port import Usage
from hikkoshi.region.metadata.documents import credentials_document
from hikkoshi.region.metadata.server import Head, MetadataServer, RequestError, parse_head
from hikkoshi.region.ports import (
    ContainerFacts,
    ContainerState,
    TaskOrder,
    TaskState,
    UsageSample,
)

CLUSTER = "arn:aws:ecs:ap-northeast-1:123456789012:cluster/main"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
USAGE = Usage(1.5, 64 << 20, 3, 10, 1024, 2)


class ATask:
    """TaskFacts of a task that stands still."""

    credentials_id = "c0ffee"

    def __init__(self, task_id="abc", address="127.0.0.1"):
        self.address = address
        self.order = TaskOrder(
            task_arn=f"{CLUSTER}/{task_id}",
            task_id=task_id,
            cluster_arn=CLUSTER,
            cluster_name="main",
            definition={
                "family": "web",
                "revision": 12,
                "cpu": "256",
                "memory": "512",
                "taskRoleArn": "arn:aws:iam::123456789012:role/web",
            },
            group="service:web",
            tags=(("team", "genba"),),
        )

    def state(self):
        return TaskState(
            self.order.task_arn, "RUNNING", "RUNNING", (), pull_started_at=NOW, pull_stopped_at=NOW
        )

    def containers(self):
        def container(name, samples, **more):
            return ContainerFacts(
                state=ContainerState(
                    name, f"{self.order.task_id}-{name}", "web:1", "RUNNING",
                    image_digest="sha256:1", **more,
                ),
                container_arn="arn:aws:ecs:ap-northeast-1:123456789012:container/1",
                labels={"com.amazonaws.ecs.cluster": CLUSTER},
                log_driver="awslogs",
                log_options={"awslogs-group": "g"},
                cpu_units=128,
                memory_mib=256,
                created_at=NOW,
                started_at=NOW,
                samples=samples,
            )  # fmt: skip

        newest = (UsageSample(1.0, USAGE), UsageSample(2.0, USAGE))
        return (container("app", newest, health="HEALTHY"), container("young", ()))


def served(scenario, *tasks):
    async def all_of_it():
        server = MetadataServer(clock=FakeClock(NOW.timestamp()))
        for task in tasks:
            server.register(task)
        port = await server.listen("127.0.0.1", 0)
        try:
            return await scenario(server, port)
        finally:
            await server.close()

    return asyncio.run(all_of_it())


async def ask(port, raw):
    """(status, body) of one raw request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = b"" if raw.startswith(b"HEAD") else await reader.readexactly(length)
    writer.close()
    return int(head.split()[1]), body


def get(path, *tasks):
    async def scenario(server, port):
        status, body = await ask(port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return status, json.loads(body)

    return served(scenario, *(tasks or (ATask(),)))


def test_a_task():
    status, task = get("/v4/abc-app/task")
    assert status == 200
    assert task["Cluster"] == CLUSTER
    assert task["TaskARN"] == f"{CLUSTER}/abc"
    assert (task["Family"], task["Revision"]) == ("web", "12")
    assert task["ServiceName"] == "web"
    assert task["Limits"] == {"CPU": 0.25, "Memory": 512}
    assert task["LaunchType"] == "FARGATE"
    assert task["PullStartedAt"] == "2026-01-02T03:04:05.000000Z"
    assert [c["Name"] for c in task["Containers"]] == ["app", "young"]
    assert task["ClockDrift"]["ClockSynchronizationStatus"] == "SYNCHRONIZED"
    assert task["EphemeralStorageMetrics"]["Reserved"] == 20480
    assert get("/v4/abc-app/taskWithTags")[1]["TaskTags"] == {"team": "genba"}


def test_a_container():
    status, container = get("/v4/abc-app")
    assert status == 200
    assert container["DockerId"] == "abc-app"
    assert container["KnownStatus"] == container["DesiredStatus"] == "RUNNING"
    assert container["Limits"] == {"CPU": 128, "Memory": 256}
    assert container["Networks"][0]["IPv4Addresses"] == ["127.0.0.1"]
    assert container["LogOptions"] == {"awslogs-group": "g"}
    assert container["Health"] == {"status": "HEALTHY"}
    assert container["Type"] == "NORMAL"


def test_stats_are_null_until_there_is_a_sample():
    assert get("/v4/abc-young/stats") == (200, None)
    status, stats = get("/v4/abc-app/stats")
    assert status == 200
    assert stats["cpu_stats"]["cpu_usage"]["total_usage"] == 1_500_000_000
    assert stats["memory_stats"]["usage"] == 64 << 20
    assert stats["preread"] < stats["read"]
    status, both = get("/v4/abc-app/task/stats")
    assert both == {"abc-app": stats, "abc-young": None}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("/v4", 404),
        ("/v4/abc-other", 404),
        ("/v4/abc-app/secrets", 404),
        ("/v3/abc-app", 404),
        ("/v2/credentials/unknown", 400),
        ("/v2/credentials/", 400),
    ],
)
def test_what_is_not_there(path, status):
    assert get(path)[0] == status


def test_a_task_reads_only_what_is_its_own():
    foreign = ATask("abc", address="10.0.1.7")
    assert get("/v4/abc-app/task", foreign)[0] == 404
    assert get("/v2/credentials/c0ffee", foreign)[0] == 400


def test_a_withdrawn_task_is_gone():
    async def scenario(server, port):
        server.withdraw(f"{CLUSTER}/abc")
        server.withdraw(f"{CLUSTER}/abc")
        return await ask(port, b"GET /v4/abc-app HTTP/1.1\r\n\r\n")

    assert served(scenario, ATask())[0] == 404


def test_botocores_own_provider_takes_the_credentials():
    from botocore.utils import ContainerMetadataFetcher

    async def scenario(server, port):
        url = f"http://127.0.0.1:{port}/v2/credentials/c0ffee"
        return await asyncio.to_thread(ContainerMetadataFetcher().retrieve_full_uri, url)

    answer = served(scenario, ATask())
    assert answer["AccessKeyId"].startswith("ASIA")
    assert len(answer["AccessKeyId"]) == 20
    assert len(answer["SecretAccessKey"]) == 40
    assert answer["RoleArn"] == "arn:aws:iam::123456789012:role/web"
    assert answer["Expiration"] == "2026-01-02T09:04:05Z"
    assert answer == credentials_document(ATask(), NOW)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"POST /v4/abc-app HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 405),
        (b"GET /v4/abc-app HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400),
        (b"GET v4 HTTP/1.1\r\n\r\n", 400),
        (b"garbage\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 40000 + b"\r\n\r\n", 431),
        (b"PUT /api/abc-app/task-protection/v1/state HTTP/1.1\r\n\r\n", 501),
        (b"HEAD /v4/abc-app HTTP/1.1\r\n\r\n", 200),
    ],
)
def test_broken_requests_are_answered_and_the_server_lives(raw, status):
    async def scenario(server, port):
        first = await ask(port, raw)
        again = await ask(port, b"GET /v4/abc-app HTTP/1.1\r\n\r\n")
        return first[0], again[0]

    assert served(scenario, ATask()) == (status, 200)


def test_a_connection_is_kept():
    async def scenario(server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(b"GET /v4/abc-app HTTP/1.1\r\n\r\n")
            async with asyncio.timeout(10):
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.split(b"Content-Length: ")[1].split()[0]))
        writer.close()
        return head

    assert b"keep-alive" in served(scenario, ATask())


def test_head_lines():
    assert parse_head(b"GET /a HTTP/1.1\r\n\r\n") == Head("GET", "/a", is_last=False)
    assert parse_head(b"GET /a HTTP/1.1\r\nConnection: Close\r\n\r\n") == Head(
        "GET", "/a", is_last=True
    )
    assert parse_head(b"GET /a HTTP/1.0\r\n\r\n") == Head("GET", "/a", is_last=True)
    with pytest.raises(RequestError):
        parse_head(b"GET /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
