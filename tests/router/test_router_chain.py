"""The whole way of a line: log driver → router process → Datadog's intake, played."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from router_process import RouterProcess, free_port

from hikkoshi.base.clock import SystemClock
from hikkoshi.region.intake.datadog import DatadogIntake, Port
from hikkoshi.region.logs import FargateLogDrivers
from hikkoshi.region.ports import LogTarget

Start = Callable[..., RouterProcess]
KEY = "0123456789abcdef0123456789abcdef"


class Rows:
    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[str, Any]]] = []

    def record(self, table: str, **columns: Any) -> None:
        self.rows.append((table, columns))

    def of(self, table: str) -> list[dict[str, Any]]:
        return [columns for name, columns in self.rows if name == table]

    def delivered(self) -> list[dict[str, Any]]:
        return [json.loads(row["record"]) for row in self.of("delivered_logs")]


async def until(condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while not condition():
        assert loop.time() < end, f"within {timeout_s} s this did not happen: {what}"
        await asyncio.sleep(0.01)


def generated(socket_path: Path, included: Path) -> str:
    """As the ECS agent generates it for a container `app` without options (facts: FireLens), with
    the ports and paths of this test."""
    return f"""
[INPUT]
    Name forward
    Mem_Buf_Limit 25MB
    unix_path {socket_path}

[INPUT]
    Name forward
    Listen 127.0.0.1
    Port {free_port()}

[INPUT]
    Name tcp
    Tag firelens-healthcheck
    Listen 127.0.0.1
    Port {free_port()}

[FILTER]
    Name record_modifier
    Match *
    Record ecs_cluster genba
    Record ecs_task_arn arn:aws:ecs:ap-northeast-1:123456789012:task/genba/0123
    Record ecs_task_definition genba:7

@INCLUDE {included}

[OUTPUT]
    Name null
    Match firelens-healthcheck
"""


def users_file(directory: Path, port: int, more: str = "") -> Path:
    path = directory / "extra.conf"
    path.write_text(
        f"""[SERVICE]
    Flush 0.1
    Grace 5
    scheduler.base 1
    scheduler.cap 1
{more}
[OUTPUT]
    Name datadog
    Match app-firelens*
    Host 127.0.0.1
    Port {port}
    TLS On
    apikey ${{DD_API_KEY}}
    compress gzip
    dd_service genba
    dd_source python
    dd_tags env:rehearsal
    provider ecs
    Retry_Limit 5
"""
    )
    return path


def target(socket_path: Path, **options: str) -> LogTarget:
    return LogTarget(
        task_id="0123",
        container="app",
        container_id="0123-1",
        driver="awsfirelens",
        options=options,
        fluentd_socket=str(socket_path),
        tag="app-firelens-0123",
    )


async def with_chain(
    tmp_path: Path,
    start: Start,
    body: Callable[[DatadogIntake, Callable[[], RouterProcess], Any, Path], Any],
    more: str = "",
    **driver: Any,
) -> Rows:
    rows = Rows()
    intake = DatadogIntake(tmp_path / "tls", rows, SystemClock(), extra_names=["127.0.0.1"])
    await intake.start("127.0.0.1", [Port(0, True)])
    socket_path = tmp_path / "fluent.sock"
    text = generated(socket_path, users_file(tmp_path, intake.ports[True], more))
    environ = {"SSL_CERT_FILE": str(intake.ca_file), "DD_API_KEY": KEY}
    drivers = FargateLogDrivers(tmp_path / "logs", rows, SystemClock(), **driver)
    try:
        await body(intake, lambda: start(text, environ), drivers, socket_path)
    finally:
        drivers.close()
        await intake.close()
    return rows


def test_every_line_arrives_exactly_once_with_its_metadata(
    tmp_path: Path, start_router: Start
) -> None:
    count = 3000

    async def body(intake: DatadogIntake, launch: Any, drivers: Any, path: Path) -> None:
        log = drivers.open(target(path))  # before the router is there
        log.write("stdout", b'{"n":"early"}\n')
        router = launch()
        for batch in range(0, count, 50):
            lines = "".join(f'{{"n":{n}}}\n' for n in range(batch, batch + 50))
            log.write("stdout", lines.encode())
            await asyncio.sleep(0.025)  # the pace: 2,000 lines a second
        await until(lambda: intake.counts.records == count + 1, "all lines at the intake")
        await log.close(5.0)
        assert log.counted.accepted == count + 1
        assert log.counted.dropped == 0
        assert router.stop() == 0

    rows = asyncio.run(with_chain(tmp_path, start_router, body, retry_wait_s=0.1))
    records = rows.delivered()
    numbers = [json.loads(record["message"])["n"] for record in records]
    assert numbers.count("early") == 1
    assert sorted(n for n in numbers if n != "early") == list(range(count))
    one = records[-1]
    assert one["service"] == "genba"
    assert one["ddsource"] == "python"
    assert one["source"] == "stdout"
    assert one["ddtags"].split(",") == [
        "container_id:0123-1",
        "container_name:app",
        "cluster_name:genba",
        "task_arn:arn:aws:ecs:ap-northeast-1:123456789012:task/genba/0123",
        "region:ap-northeast-1",
        "task_id:genba/0123",
        "task_family:genba",
        "task_version:7",
        "env:rehearsal",
    ]
    assert abs(one["timestamp"] / 1000 - SystemClock().now()) < 60
    assert KEY not in str(rows.rows)


def test_a_killed_router_costs_lines_but_never_the_writer(
    tmp_path: Path, start_stand_in: Start
) -> None:
    async def body(intake: DatadogIntake, launch: Any, drivers: Any, path: Path) -> None:
        router = launch()
        log = drivers.open(target(path, **{"log-driver-buffer-limit": "100"}))
        log.write("stdout", b"before\n")
        await until(lambda: intake.counts.records == 1, "the first line at the intake")
        router.kill()
        for number in range(1000):
            log.write("stdout", b"while away %d\n" % number)  # returns: nothing waits
        assert log.counted.accepted == 1001
        assert log.counted.dropped == 900
        launch()
        await until(lambda: intake.counts.records == 101, "the buffered lines at the intake")
        log.write("stdout", b"after\n")
        await until(lambda: intake.counts.records == 102, "a new line at the intake")
        await log.close(5.0)

    rows = asyncio.run(with_chain(tmp_path, start_stand_in, body, retry_wait_s=0.05))
    messages = [record["message"] for record in rows.delivered()]
    assert messages[0] == "before"
    assert messages[1:101] == [f"while away {n}" for n in range(100)]
    assert messages[101] == "after"
    last = rows.of("log_counters")[-1]
    assert (last["task"], last["container"]) == ("0123", "app")
    assert (last["accepted"], last["dropped"]) == (1002, 900)


def test_long_lines_are_split_and_joined_again(tmp_path: Path, start_router: Start) -> None:
    join = """[FILTER]
    Name multiline
    Match *
    multiline.key_content log
    mode partial_message
"""
    lines = ["x" * 16_384, "y" * 16_383, "é" * 50_000, "short", "z" * 262_144]

    async def body(intake: DatadogIntake, launch: Any, drivers: Any, path: Path) -> None:
        launch()
        log = drivers.open(target(path))
        data = "".join(line + "\n" for line in lines).encode()
        for start in range(0, len(data), 7001):  # pieces that respect no boundary
            log.write("stdout", data[start : start + 7001])
        await until(lambda: intake.counts.records >= len(lines), "the joined lines")
        await log.close(5.0)

    rows = asyncio.run(with_chain(tmp_path, start_router, body, more=join, retry_wait_s=0.05))
    records = rows.delivered()
    assert [record["message"] for record in records] == lines
    assert not any(key.startswith("partial_") for record in records for key in record)


def test_without_the_filter_a_long_line_arrives_in_parts(
    tmp_path: Path, start_router: Start
) -> None:
    async def body(intake: DatadogIntake, launch: Any, drivers: Any, path: Path) -> None:
        launch()
        log = drivers.open(target(path))
        log.write("stderr", b"a" * 40_000 + b"\n")
        await until(lambda: intake.counts.records == 3, "three parts")
        await log.close(5.0)

    rows = asyncio.run(with_chain(tmp_path, start_router, body, retry_wait_s=0.05))
    parts = rows.delivered()
    assert [len(part["message"]) for part in parts] == [16_384, 16_384, 7232]
    assert [part["partial_ordinal"] for part in parts] == ["1", "2", "3"]
    assert [part["partial_last"] for part in parts] == ["false", "false", "true"]
    assert len({part["partial_id"] for part in parts}) == 1


def test_sigterm_flushes_what_the_router_holds(tmp_path: Path, start_router: Start) -> None:
    async def body(intake: DatadogIntake, launch: Any, drivers: Any, path: Path) -> None:
        router = launch()
        log = drivers.open(target(path))
        await until(path.exists, "the router's socket")
        log.write("stdout", b"".join(b"%d\n" % n for n in range(500)))
        await log.close(5.0)
        router.process.send_signal(signal.SIGTERM)
        await until(lambda: router.process.poll() is not None, "the router's end")
        assert router.process.returncode == 0
        assert intake.counts.records == 500, router.log()

    # One flush in an hour: only the end can have flushed.
    asyncio.run(
        with_chain(
            tmp_path, start_router, body, more="[SERVICE]\n    Flush 3600\n", retry_wait_s=0.05
        )
    )


def test_an_intake_that_fails_for_a_while_loses_nothing(
    tmp_path: Path, start_router: Start
) -> None:
    async def body(intake: DatadogIntake, launch: Any, drivers: Any, path: Path) -> None:
        router = launch()
        log = drivers.open(target(path))
        intake.fail(status=503, requests=1)
        log.write("stdout", b"persistent\n")
        await until(lambda: intake.counts.records == 1, "the line after a retry")
        assert intake.counts.refused == {503: 1}
        await log.close(5.0)
        assert router.stop() == 0

    rows = asyncio.run(with_chain(tmp_path, start_router, body, retry_wait_s=0.05))
    assert [record["message"] for record in rows.delivered()] == ["persistent"]
    assert rows.of("dropped")[0]["reason"] == "HTTP 503"


def test_bytes_that_are_no_text_pass_unharmed(tmp_path: Path, start_router: Start) -> None:
    async def body(intake: DatadogIntake, launch: Any, drivers: Any, path: Path) -> None:
        launch()
        log = drivers.open(target(path))
        log.write("stdout", b"nul \0 broken \xff\xfe end\n")
        await until(lambda: intake.counts.records == 1, "the line")
        await log.close(5.0)

    rows = asyncio.run(with_chain(tmp_path, start_router, body, retry_wait_s=0.05))
    message = rows.delivered()[0]["message"]
    assert message.startswith("nul \0 broken ")
    assert message.endswith(" end")
    assert rows.of("logs")[0]["line"] == "nul ␀ broken �� end"
