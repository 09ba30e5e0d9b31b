"""Datadog's intake, played, asked by real HTTP clients."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import ssl
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hikkoshi.base.clock import FakeClock
from hikkoshi.base.errors import CannotRun
from hikkoshi.region.intake.datadog import DatadogIntake, Port

KEY = {"DD-API-KEY": "0123456789abcdef0123456789abcdef", "Content-Type": "application/json"}


class Rows:
    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[str, Any]]] = []

    def record(self, table: str, **columns: Any) -> None:
        self.rows.append((table, columns))

    def delivered(self) -> list[dict[str, Any]]:
        return [json.loads(row["record"]) for table, row in self.rows if table == "delivered_logs"]


class Client:
    def __init__(self, intake: DatadogIntake) -> None:
        self.intake = intake

    async def ask(
        self, path: str, body: bytes, headers: dict[str, str], method: str = "POST"
    ) -> tuple[int, bytes]:
        def call() -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", self.intake.ports[False], 10)
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                return response.status, response.read()
            finally:
                connection.close()

        return await asyncio.to_thread(call)

    async def send(self, records: Any, **headers: str) -> int:
        body = records if isinstance(records, bytes) else json.dumps(records).encode()
        return (await self.ask("/api/v2/logs", body, {**KEY, **headers}))[0]


def play(
    tmp_path: Path, body: Callable[[Client, FakeClock], Any], **options: Any
) -> tuple[DatadogIntake, Rows]:
    rows, clock = Rows(), FakeClock()
    intake = DatadogIntake(tmp_path, rows, clock, **options)

    async def main() -> None:
        await intake.start("127.0.0.1", [Port(0, True), Port(0, False)])
        try:
            await body(Client(intake), clock)
        finally:
            await intake.close()

    asyncio.run(main())
    return intake, rows


def test_logs_are_taken_and_kept_in_every_encoding(tmp_path: Path) -> None:
    async def body(client: Client, clock: FakeClock) -> None:
        text = json.dumps([{"message": "a"}, {"message": "b"}]).encode()
        assert await client.ask("/api/v2/logs", text, KEY) == (202, b"{}")
        assert await client.send(gzip.compress(text), **{"Content-Encoding": "gzip"}) == 202
        assert await client.send(zlib.compress(text), **{"Content-Encoding": "deflate"}) == 202
        raw = zlib.compressobj(wbits=-15)
        squeezed = raw.compress(text) + raw.flush()
        assert await client.send(squeezed, **{"Content-Encoding": "deflate"}) == 202
        assert await client.send({"message": "one"}) == 202
        assert (await client.ask("/v1/input", b"l1\nl2\n", {**KEY, "Content-Type": "text/plain"}))[
            0
        ] == 200

    intake, rows = play(tmp_path, body)
    messages = [record["message"] for record in rows.delivered()]
    assert messages == ["a", "b"] * 4 + ["one", "l1", "l2"]
    assert intake.counts.records == 11
    assert {row["destination"] for _, row in rows.rows} == {"datadog"}
    assert rows.rows[0][1]["t"] == FakeClock().now()


def test_a_key_is_asked_for_and_never_written_down(tmp_path: Path) -> None:
    async def body(client: Client, clock: FakeClock) -> None:
        assert (await client.ask("/api/v2/logs", b"[]", {}))[0] == 403
        assert (await client.ask("/api/v1/validate", b"", {}, "GET"))[0] == 403
        assert await client.ask("/api/v1/validate", b"", KEY, "GET") == (200, b'{"valid":true}')
        secret = KEY["DD-API-KEY"]
        for path in (f"/api/v2/logs?dd-api-key={secret}", f"/v1/input/{secret}"):
            assert (await client.ask(path, b'[{"m":1}]', {}))[0] in (200, 202)

    intake, rows = play(tmp_path, body)
    assert intake.counts.refused == {403: 2}
    assert len(rows.delivered()) == 2
    assert KEY["DD-API-KEY"] not in str(rows.rows)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"not json", {}, 400),
        (b"[1, 2]", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b"x", {"Content-Encoding": "gzip"}, 400),
        (b"[]", {"Content-Encoding": "br"}, 400),
        (b"[" + b" " * 5_000_000 + b"]", {}, 413),
        (gzip.compress(b" " * 50_000_000), {"Content-Encoding": "gzip"}, 413),
    ],
)
def test_what_is_too_large_or_broken_is_refused_and_counted(
    tmp_path: Path, body: bytes, headers: dict[str, str], status: int
) -> None:
    async def ask(client: Client, clock: FakeClock) -> None:
        assert await client.send(body, **headers) == status
        assert await client.send([{"message": "still here"}]) == 202

    intake, rows = play(tmp_path, ask)
    assert intake.counts.refused == {status: 1}
    assert [record["message"] for record in rows.delivered()] == ["still here"]


def test_more_than_1000_entries_are_counted_and_refused_only_on_demand(tmp_path: Path) -> None:
    many = [{"n": n} for n in range(1001)]

    async def body(client: Client, clock: FakeClock) -> None:
        statuses.append(await client.send(many))

    statuses: list[int] = []
    lenient, rows = play(tmp_path / "a", body)
    strict, none = play(tmp_path / "b", body, refuse_over_entries=True)
    assert statuses == [202, 413]
    assert (lenient.counts.over_entries, strict.counts.over_entries) == (1, 1)
    assert (len(rows.delivered()), len(none.delivered())) == (1001, 0)


def test_a_log_over_1_mb_is_cut(tmp_path: Path) -> None:
    async def body(client: Client, clock: FakeClock) -> None:
        assert await client.send([{"message": "x" * 1_500_000, "k": "v"}]) == 202

    intake, rows = play(tmp_path, body)
    record = rows.delivered()[0]
    assert intake.counts.truncated == 1
    assert len(record["message"]) < 1_000_000
    assert record["k"] == "v"


def test_failing_for_a_while(tmp_path: Path) -> None:
    async def body(client: Client, clock: FakeClock) -> None:
        client.intake.fail(status=503, for_s=10)
        assert await client.send([{"n": 1}]) == 503
        clock.advance(10)
        assert await client.send([{"n": 2}]) == 202
        client.intake.fail(status=429, requests=1)
        assert await client.send([{"n": 3}]) == 429
        assert await client.send([{"n": 4}]) == 202
        client.intake.fail()
        client.intake.recover()
        assert await client.send([{"n": 5}]) == 202

    intake, rows = play(tmp_path, body)
    assert [record["n"] for record in rows.delivered()] == [2, 4, 5]
    assert intake.counts.refused == {503: 1, 429: 1}
    reasons = [row["reason"] for table, row in rows.rows if table == "dropped"]
    assert reasons == ["HTTP 503", "HTTP 429"]


def test_a_slow_intake_answers_late_and_its_end_does_not_wait_for_it(tmp_path: Path) -> None:
    async def body(client: Client, clock: FakeClock) -> None:
        client.intake.slow_down(3600)
        pending = asyncio.create_task(client.send([{"n": 1}]))
        await asyncio.sleep(0)
        assert client.intake.counts.records == 0
        await client.intake.close()
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            await pending

    _, rows = play(tmp_path, body)
    assert rows.delivered() == []


@pytest.mark.parametrize(
    "name",
    ["http-intake.logs.datadoghq.com", "http-intake.logs.us5.datadoghq.com", "api.datadoghq.eu"],
)
def test_the_certificate_is_for_datadogs_names_by_the_throw_away_authority(
    tmp_path: Path, name: str
) -> None:
    async def body(client: Client, clock: FakeClock) -> None:
        context = ssl.create_default_context(cafile=str(client.intake.ca_file))
        port = client.intake.ports[True]
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=name
        )
        writer.close()
        await writer.wait_closed()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="example.com"
            )

    intake, _ = play(tmp_path, body)
    server = intake.ca_file.with_name("server.pem")
    assert stat.S_IMODE(server.stat().st_mode) == 0o600
    assert b"PRIVATE" not in intake.ca_file.read_bytes()


@pytest.mark.parametrize(
    "raw",
    [
        b"garbage\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"POST /api/v2/logs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_answered_400(tmp_path: Path, raw: bytes) -> None:
    async def body(client: Client, clock: FakeClock) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.intake.ports[False])
        writer.write(raw)
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer.startswith(b"HTTP/1.1 400")
        writer.close()

    play(tmp_path, body)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    async def body(client: Client, clock: FakeClock) -> None:
        other = DatadogIntake(tmp_path / "b", Rows(), clock)
        with pytest.raises(CannotRun, match=str(client.intake.ports[False])):
            await other.start("127.0.0.1", [Port(client.intake.ports[False], False)])

    play(tmp_path / "a", body)
