"""The log drivers: lines, what is kept, the fluentd driver on a socket, awslogs against moto."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from hikkoshi.base.clock import FakeClock, SystemClock
from hikkoshi.region.logs import FargateLogDrivers
from hikkoshi.region.logs.fluentd import retry_wait_s
from hikkoshi.region.logs.kept import BoundedFile, Evidence, LastLines
from hikkoshi.region.logs.lines import MAX_LINE, Line, LineSplitter, shown
from hikkoshi.region.logs.multiline import pattern_of
from hikkoshi.region.ports import LogTarget


class Rows:
    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[str, Any]]] = []

    def record(self, table: str, **columns: Any) -> None:
        self.rows.append((table, columns))

    def of(self, table: str) -> list[dict[str, Any]]:
        return [columns for name, columns in self.rows if name == table]


async def until(condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while not condition():
        assert loop.time() < end, f"within {timeout_s} s this did not happen: {what}"
        await asyncio.sleep(0.01)


def target(driver: str, socket_path: Path | None = None, **options: str) -> LogTarget:
    return LogTarget(
        task_id="t1",
        container="app",
        container_id="t1-9",
        driver=driver,
        options={key.replace("_", "-"): value for key, value in options.items()},
        fluentd_socket=str(socket_path) if socket_path else None,
        tag="app-firelens-t1",
        labels={"com.amazonaws.ecs.cluster": "c"},
    )


# -- lines ------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=3 * MAX_LINE)), st.integers(min_value=1, max_value=40_000))
def test_whatever_the_pieces_the_bytes_are_the_same(lines: list[bytes], size: int) -> None:
    data = b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)
    splitter = LineSplitter()
    found: list[Line] = []
    for start in range(0, len(data), size):
        found += splitter.feed(data[start : start + size])
    assert splitter.finish() == []
    assert all(len(line.data) <= MAX_LINE for line in found)
    joined = b"".join(
        line.data + (b"\n" if line.part is None or line.part.is_last else b"") for line in found
    )
    assert joined == data


def test_parts_are_numbered_from_one_and_share_an_id() -> None:
    splitter = LineSplitter()
    parts = splitter.feed(b"a" * (2 * MAX_LINE) + b"bc\nnext\n")
    assert [line.part and (line.part.ordinal, line.part.is_last) for line in parts] == [
        (1, False),
        (2, False),
        (3, True),
        None,
    ]
    assert len({line.part.id for line in parts if line.part}) == 1


def test_a_last_line_without_newline_comes_at_the_end() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"a\nb") == [Line(b"a")]
    assert splitter.finish() == [Line(b"b")]
    assert splitter.finish() == []


def test_what_is_shown_is_safe() -> None:
    assert shown(b"a\0b\xff", 10) == "a␀b�"
    assert shown("あ".encode() * 10, 5) == "ああああ…"


# -- what is kept -----------------------------------------------------------------------------


def test_a_chatty_container_cannot_fill_the_evidence() -> None:
    rows, clock = Rows(), FakeClock()
    evidence = Evidence(rows, clock, "t", "c")
    evidence.add("stdout", [Line(b"x")] * 1500)
    clock.advance(1)
    evidence.add("stderr", [Line(b"y")])
    evidence.close()
    found = rows.of("logs")
    assert [row["stream"] for row in found].count("stdout") == 500
    left_out = [row["line"] for row in found if row["stream"] == "left_out"]
    assert left_out == ["1000 more lines were not recorded (limit 500/s)"]
    assert found[-1]["line"] == "y"


def test_the_file_is_bounded(tmp_path: Path) -> None:
    file = BoundedFile(tmp_path / "d" / "c.log", limit=100)
    for _ in range(50):
        file.write(b"0123456789")
    file.close()
    sizes = [path.stat().st_size for path in (tmp_path / "d").iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= 100


def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "d").write_text("a file where a directory should be")
    file = BoundedFile(tmp_path / "d" / "c.log")
    file.write(b"x")
    file.close()


def test_last_lines_are_the_newest_and_bounded() -> None:
    last = LastLines()
    last.add(("t", "c"), [Line(b"%d" % n) for n in range(1000)])
    assert last.get("t", "c", 2) == ["998", "999"]
    assert len(last.get("t", "c", 10_000)) == 100
    assert last.get("t", "other", 5) == []


def test_without_a_driver_output_is_kept_only(tmp_path: Path) -> None:
    async def main() -> None:
        drivers = FargateLogDrivers(tmp_path, rows, SystemClock())
        log = drivers.open(target("none"))
        log.write("stdout", b"one\ntw")
        log.write("stderr", b"err\n")
        log.write("stdout", b"o\nthree")
        await log.close(1.0)
        await log.close(1.0)
        log.write("stdout", b"too late\n")
        assert drivers.last_lines("t1", "app") == ["one", "err", "two", "three"]
        drivers.close()

    rows = Rows()
    asyncio.run(main())
    assert [(row["stream"], row["line"]) for row in rows.of("logs")] == [
        ("stdout", "one"),
        ("stderr", "err"),
        ("stdout", "two"),
        ("stdout", "three"),
    ]
    assert (tmp_path / "t1" / "app.log").read_bytes() == b"one\ntwerr\no\nthree"
    assert rows.of("log_counters")[-1]["accepted"] == 4


@pytest.mark.parametrize(
    ("given_target", "words"),
    [
        (target("splunk"), "splunk is not implemented by the local region"),
        (target("syslog"), "does not know the log driver 'syslog'"),
        (target("awsfirelens"), "no container of the task has a firelensConfiguration"),
        (target("awsfirelens", Path("/s"), log_driver_buffer_limit="-1"), "buffer-limit"),
        (target("awslogs", awslogs_group="g"), "needs the option awslogs-region"),
        (target("awslogs", awslogs_grp="g"), "unknown log option 'awslogs-grp'"),
        (target("awslogs", awslogs_endpoint="x"), "not implemented"),
    ],
)
def test_what_fargate_would_refuse_is_refused(
    tmp_path: Path, given_target: LogTarget, words: str
) -> None:
    async def main() -> None:
        drivers = FargateLogDrivers(tmp_path, Rows(), SystemClock(), lambda region: None)
        with pytest.raises(ValueError, match=words):
            drivers.open(given_target)

    asyncio.run(main())


# -- fluentd ----------------------------------------------------------------------------------


class Router:
    """Reads the forward protocol from a Unix socket in a thread."""

    def __init__(self, path: Path) -> None:
        self.messages: list[Any] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                reader = msgpack.Unpacker(unicode_errors="surrogateescape")
                while data := connection.recv(65536):
                    reader.feed(data)
                    self.messages.extend(reader)
        except OSError:
            return

    def close(self) -> None:
        for connection in self.connections:
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self.listener.close()


def test_a_record_is_as_dockers_fluentd_driver_writes_it(tmp_path: Path) -> None:
    async def main() -> None:
        router = Router(tmp_path / "s")
        drivers = FargateLogDrivers(tmp_path, Rows(), FakeClock(1_700_000_000.25))
        log = drivers.open(target("awsfirelens", tmp_path / "s", Name="datadog"))
        log.write("stderr", b"caf\xc3\xa9 \xff\n")
        await until(lambda: router.messages, "a message")
        await log.close(1.0)
        router.close()
        tag, time, record, options = router.messages[0]
        assert tag == "app-firelens-t1"
        assert time == msgpack.ExtType(0, bytes.fromhex("6553f1000ee6b280"))
        assert record == {
            "container_id": "t1-9",
            "container_name": "app",
            "source": "stderr",
            "log": "café \udcff",
        }
        assert options == {}

    asyncio.run(main())


def test_a_reader_that_stands_still_never_blocks_the_writer(tmp_path: Path) -> None:
    async def main() -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "s"))
        listener.listen()  # accepts nothing, reads nothing
        drivers = FargateLogDrivers(tmp_path, Rows(), SystemClock(), buffer_bytes=100_000)
        log = drivers.open(target("awsfirelens", tmp_path / "s"))
        for _ in range(200):
            log.write("stdout", b"x" * 9_999 + b"\n")
            await asyncio.sleep(0)
        assert log.counted.accepted == 200
        assert 100 <= log.counted.dropped <= 190
        dropped = log.counted.dropped
        await log.close(0.05)
        assert log.counted.dropped > dropped  # what close could not deliver is counted, too
        listener.close()

    asyncio.run(main())


def test_lines_wait_for_the_router_and_go_on_after_its_restart(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / ("d" * 60) / ("e" * 60) / "s"  # longer than a socket's name may be
        path.parent.mkdir(parents=True)
        drivers = FargateLogDrivers(tmp_path, Rows(), SystemClock(), retry_wait_s=0.02)
        log = drivers.open(target("awsfirelens", path))
        log.write("stdout", b"1\n2\n")
        os.chdir(path.parent)
        first = Router(Path("s"))
        await until(lambda: len(first.messages) == 2, "two messages")
        first.close()
        path.unlink()
        log.write("stdout", b"3\n4\n")
        second = Router(Path("s"))
        await until(lambda: len(second.messages) == 2, "two messages more")
        await log.close(1.0)
        second.close()
        assert [m[2]["log"] for m in first.messages + second.messages] == ["1", "2", "3", "4"]
        assert log.counted.dropped == 0

    before = Path.cwd()
    try:
        asyncio.run(main())
    finally:
        os.chdir(before)


def test_the_waits_between_attempts_grow_to_a_minute() -> None:
    assert [retry_wait_s(n) for n in range(8)] == [0, 1, 1, 2, 3, 5, 7, 11]
    assert retry_wait_s(1000) == 60


# -- awslogs ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def logs_client() -> Iterator[Callable[[str], Any]]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield lambda region: boto3.client(
        "logs", region_name=region, endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="a", aws_secret_access_key="b",
    )  # fmt: skip
    server.stop()


OPTIONS = {"awslogs_region": "ap-northeast-1", "awslogs_stream_prefix": "ecs"}


def test_awslogs_delivers_in_order_and_says_so(tmp_path: Path, logs_client: Any) -> None:
    async def main() -> None:
        drivers = FargateLogDrivers(tmp_path, rows, SystemClock(), logs_client)
        wanted = target("awslogs", **OPTIONS, awslogs_group="made", awslogs_create_group="true")
        await drivers.prepare(wanted)
        log = drivers.open(wanted)
        log.write("stdout", b"".join(b"line %d\n" % n for n in range(2500)) + b"\nbad \xff\n")
        log.write("stdout", b"x" * 20_000 + b"\n")
        await log.close(20.0)
        assert (log.counted.accepted, log.counted.dropped) == (2503, 0)
        drivers.close()

    rows = Rows()
    asyncio.run(main())
    found = logs_client("ap-northeast-1").get_log_events(
        logGroupName="made", logStreamName="ecs/app/t1", startFromHead=True, limit=10_000
    )["events"]
    assert [e["message"] for e in found] == [
        *(f"line {n}" for n in range(2500)),
        "bad �",
        "x" * 20_000,
    ]
    delivered = rows.of("delivered_logs")
    assert len(delivered) == 2502
    assert delivered[0]["destination"] == "logs:made:ecs/app/t1"


def test_a_missing_group_is_told_in_awss_words(tmp_path: Path, logs_client: Any) -> None:
    async def main() -> None:
        drivers = FargateLogDrivers(tmp_path, Rows(), SystemClock(), logs_client)
        with pytest.raises(ValueError, match="The specified log group does not exist"):
            await drivers.prepare(target("awslogs", **OPTIONS, awslogs_group="none"))
        drivers.close()

    asyncio.run(main())


def test_awslogs_over_its_buffer_drops_and_counts(tmp_path: Path, logs_client: Any) -> None:
    async def main() -> None:
        drivers = FargateLogDrivers(tmp_path, Rows(), SystemClock(), logs_client)
        log = drivers.open(target("awslogs", **OPTIONS, awslogs_group="none", max_buffer_size="1k"))
        log.write("stdout", b"0123456789\n" * 100)
        assert log.counted.dropped == 100 - 1024 // 36
        await log.close(0.0)
        assert log.counted.dropped <= log.counted.accepted == 100
        assert drivers.not_imitated() == []
        drivers.open(target("awslogs", **OPTIONS, awslogs_group="g", mode="blocking"))
        assert "blocking" in drivers.not_imitated()[0]
        drivers.close()

    asyncio.run(main())


def test_awslogs_joins_the_lines_of_a_message(tmp_path: Path, logs_client: Any) -> None:
    trace = "ERROR no checklist\nTraceback:\n\n  at x"

    async def main() -> None:
        drivers = FargateLogDrivers(tmp_path, rows, SystemClock(), logs_client)
        wanted = target("awslogs", **OPTIONS, awslogs_group="joined", awslogs_create_group="true",
                        awslogs_multiline_pattern="^(INFO|ERROR) [[:lower:]]")  # fmt: skip
        await drivers.prepare(wanted)
        log = drivers.open(wanted)
        log.write("stdout", f"INFO begun\n{trace}\nINFO done\n".encode())
        await log.close(20.0)
        assert (log.counted.accepted, log.counted.dropped) == (6, 0)
        drivers.close()

    rows = Rows()
    asyncio.run(main())
    found = logs_client("ap-northeast-1").get_log_events(
        logGroupName="joined", logStreamName="ecs/app/t1", startFromHead=True
    )["events"]
    assert [e["message"] for e in found] == ["INFO begun\n", f"{trace}\n", "INFO done\n"]


def test_a_message_whose_next_never_comes_is_published_with_the_batch(
    tmp_path: Path, logs_client: Any
) -> None:
    async def main() -> None:
        drivers = FargateLogDrivers(
            tmp_path, rows, SystemClock(), logs_client, awslogs_flush_s=0.05
        )
        wanted = target("awslogs", **OPTIONS, awslogs_group="late", awslogs_create_group="true",
                        awslogs_datetime_format="%Y-%m-%d")  # fmt: skip
        await drivers.prepare(wanted)
        log = drivers.open(wanted)
        log.write("stdout", b"2026-11-30 a\n b\n")
        async with asyncio.timeout(20):
            while not rows.of("delivered_logs"):
                await asyncio.sleep(0.01)
        await log.close(5.0)
        drivers.close()

    rows = Rows()
    asyncio.run(main())
    assert [row["record"] for row in rows.of("delivered_logs")] == ["2026-11-30 a\n b\n"]


@pytest.mark.parametrize(
    ("form", "line", "begins"),
    [
        ("%Y-%m-%d %H:%M:%S%L", b"2026-11-30 09:00:59.123 x", True),
        ("%Y-%m-%d %H:%M:%S%L", b"2026-11-30 24:00:59.123 x", False),
        (r"\[%b %d, %Y %I:%M:%S %p\]", b"[Nov 30, 2026 09:00:00 AM]", True),
        ("%d/%b/%Y:%H:%M:%S %z", b"30/Nov/2026:10:00:00 +0900", True),
        ("%d/%b/%Y:%H:%M:%S %z", b"30/Nov/26:10:00:00 +0900", False),
    ],
)
def test_a_datetime_format_is_an_expression(form: str, line: bytes, begins: bool) -> None:
    pattern = pattern_of({"awslogs-datetime-format": form})
    assert pattern is not None
    assert (pattern.match(line) is not None) is begins


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"awslogs-multiline-pattern": "(["}, "could not parse"),
        ({"awslogs-datetime-format": "[%b %d]"}, "could not parse awslogs-datetime-format"),
        ({"awslogs-multiline-pattern": "a", "awslogs-datetime-format": "%Y"}, "at the same time"),
    ],
)
def test_a_bad_pattern_is_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pattern_of(options)
