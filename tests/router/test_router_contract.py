"""What a configuration does, told by the router's own output; the real Fluent Bit, where it is
installed, has to pass the same."""

from __future__ import annotations

import gzip
import json
import signal
import socket
from pathlib import Path
from typing import Any

import msgpack
import pytest
from router_process import Sink, Start, connected, free_port, through, wait_until

FILTERS: dict[str, tuple[str, list[dict[str, Any]], list[dict[str, Any]]]] = {
    "grep keeps": (
        "[FILTER]\n    Name grep\n    Match *\n    Regex log [Ee]rror\n",
        [{"log": "an error"}, {"log": "fine"}, {"other": 1}],
        [{"log": "an error"}],
    ),
    "grep excludes": (
        "[FILTER]\n    Name grep\n    Match *\n    Exclude $a['b'] ^x\n",
        [{"a": {"b": "xy"}}, {"a": {"b": "y"}}, {"a": 1}],
        [{"a": {"b": "y"}}, {"a": 1}],
    ),
    "grep of another tag": (
        "[FILTER]\n    Name grep\n    Match other*\n    Regex log never\n",
        [{"log": "a"}],
        [{"log": "a"}],
    ),
    "record_modifier": (
        "[FILTER]\n    Name record_modifier\n    Match *\n    Record host h1\n"
        "    Record words two words\n    Remove_key secret\n",
        [{"log": "a", "secret": 1}],
        [{"log": "a", "host": "h1", "words": "two words"}],
    ),
    "record_modifier allowlist": (
        "[FILTER]\n    Name record_modifier\n    Match *\n    Allowlist_key log\n",
        [{"log": "a", "b": 1}],
        [{"log": "a"}],
    ),
    "modify": (
        "[FILTER]\n    Name modify\n    Match *\n    Rename log message\n    Add log new\n"
        "    Set level info\n    Remove_wildcard k8s_\n    Copy level severity\n",
        [{"log": "a", "k8s_x": 1, "k8s_y": 2}],
        [{"message": "a", "log": "new", "level": "info", "severity": "info"}],
    ),
    "modify under a condition": (
        "[FILTER]\n    Name modify\n    Match *\n    Condition Key_value_matches level ^(e|f)\n"
        "    Condition Key_does_not_exist done\n    Set alert yes\n",
        [{"level": "error"}, {"level": "info"}, {"level": "fatal", "done": 1}],
        [{"level": "error", "alert": "yes"}, {"level": "info"}, {"level": "fatal", "done": 1}],
    ),
    "nest": (
        "[FILTER]\n    Name nest\n    Match *\n    Operation nest\n    Wildcard ecs_*\n"
        "    Nest_under ecs\n    Remove_prefix ecs_\n",
        [{"log": "a", "ecs_cluster": "c", "ecs_task": "t"}],
        [{"log": "a", "ecs": {"cluster": "c", "task": "t"}}],
    ),
    "lift": (
        "[FILTER]\n    Name nest\n    Match *\n    Operation lift\n    Nested_under ecs\n"
        "    Add_prefix ecs_\n",
        [{"log": "a", "ecs": {"cluster": "c"}}],
        [{"log": "a", "ecs_cluster": "c"}],
    ),
    "rewrite_tag by a capture, then a filter of the new tag": (
        "[FILTER]\n    Name rewrite_tag\n    Match app.*\n"
        "    Rule $level ^(err)or$ $1.$TAG[1] false\n"
        "[FILTER]\n    Name record_modifier\n    Match err.a\n    Record moved yes\n",
        [{"level": "error"}, {"level": "info"}],
        [{"level": "error", "moved": "yes"}, {"level": "info"}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FILTERS)
def test_filters(case: str, start_router: Start, tmp_path: Path) -> None:
    filters, records, expected = FILTERS[case]

    def order(record: dict[str, Any]) -> str:
        return json.dumps(record, sort_keys=True)

    found = through(start_router, tmp_path, records, filters)
    assert sorted(found, key=order) == sorted(expected, key=order)


PARSERS = """[PARSER]
    Name json
    Format json
    Time_Key time
    Time_Format %Y-%m-%dT%H:%M:%S.%LZ
[PARSER]
    Name access
    Format regex
    Regex ^(?<host>[^ ]+) (?<code>\\d+)$
    Types code:integer
[PARSER]
    Name pairs
    Format logfmt
[PARSER]
    Name tabs
    Format ltsv
"""


@pytest.mark.parametrize(
    ("parser", "text", "fields"),
    [
        ("json", '{"a":{"b":[1,null]},"c":"é"}', {"a": {"b": [1, None]}, "c": "é"}),
        ("access", "h1 200", {"host": "h1", "code": 200}),
        ("pairs", 'a=1 b="two words" c', {"a": "1", "b": "two words", "c": True}),
        ("tabs", "a:1\tb:x:y", {"a": "1", "b": "x:y"}),
    ],
)
def test_parsers(
    parser: str, text: str, fields: dict[str, Any], start_router: Start, tmp_path: Path
) -> None:
    filters = (
        f"[FILTER]\n    Name parser\n    Match *\n    Key_Name log\n    Parser {parser}\n"
        "    Reserve_Data On\n"
    )
    records = [{"log": text, "kept": "k"}, {"log": ""}]
    found = through(start_router, tmp_path, records, filters, parsers=PARSERS)
    assert found[0] == {**fields, "kept": "k"}
    assert found[1] == {"log": ""}


@pytest.mark.parametrize("mode", ["message", "forward", "packed", "gzip", "modern"])
def test_every_mode_of_the_forward_protocol(mode: str, start_router: Start, tmp_path: Path) -> None:
    port = free_port()
    router = start_router(
        f"""[SERVICE]
    Flush 0.1
[INPUT]
    Name forward
    Listen 127.0.0.1
    Port {port}
[OUTPUT]
    Name stdout
    Match t.*
    Format json_lines
    json_date_format epoch_ms
"""
    )
    moment = msgpack.ExtType(0, (1_700_000_000).to_bytes(4, "big") + (5_000_000).to_bytes(4, "big"))
    entry = [moment, {"log": "x"}]
    packed = msgpack.packb(entry)
    message: Any = {
        "message": ["t.a", *entry, {"chunk": "id"}],
        "forward": ["t.a", [entry], {"chunk": "id"}],
        "packed": ["t.a", packed, {"chunk": "id", "size": 1}],
        "gzip": ["t.a", gzip.compress(packed), {"chunk": "id", "compressed": "gzip"}],
        "modern": ["t.a", [[[moment, {}], {"log": "x"}]], {"chunk": "id"}],
    }[mode]
    data = msgpack.packb(message)
    with connected(port, router) as sender:
        for at in range(len(data)):  # byte by byte: no boundary is to be relied on
            sender.send(data[at : at + 1])
        assert msgpack.unpackb(sender.recv(100)) == {"ack": "id"}
    assert router.stop() == 0
    assert [json.loads(line) for line in router.stdout().splitlines() if line[0] == "{"] == [
        {"date": 1_700_000_000_005, "log": "x"}
    ]


def test_the_health_input_answers_connections_and_its_records_go_nowhere(
    start_router: Start, tmp_path: Path
) -> None:
    port = free_port()
    router = start_router(
        f"""[INPUT]
    Name tcp
    Tag firelens-healthcheck
    Listen 127.0.0.1
    Port {port}
[OUTPUT]
    Name null
    Match firelens-healthcheck
[OUTPUT]
    Name stdout
    Match app*
"""
    )
    with connected(port, router) as probe:
        probe.sendall(b'{"health":"check"}\n')
    assert router.stop() == 0
    assert "health" not in router.stdout()


def test_variables_includes_and_match_regex(start_router: Start, tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text(
        "@SET shown=from set\n[FILTER]\n    Name record_modifier\n    Match_Regex ^d\\.\\d$\n"
        "    Record a ${GIVEN}\n    Record b ${shown}\n    Record c x${MISSING}y\n"
    )
    router = start_router(
        f"""# a comment
[SERVICE]
    Flush 0.1
[INPUT]
    Name dummy
    Tag  d.1
    Samples 1
    Dummy {{"log":"v"}}
@INCLUDE {tmp_path}/more.conf
[OUTPUT]
    Name stdout
    Match *
    Format json_lines
    json_date_key false
""",
        {"GIVEN": "from environ"},
    )
    wait_until(lambda: "{" in router.stdout(), "a record")
    assert router.stop() == 0
    line = next(text for text in router.stdout().splitlines() if text.startswith("{"))
    assert json.loads(line) == {"log": "v", "a": "from environ", "b": "from set", "c": "xy"}


def test_http_output_sends_json_with_headers_and_gzip(
    start_router: Start, sink: Sink, tmp_path: Path
) -> None:
    router = start_router(
        f"""[SERVICE]
    Flush 0.1
[INPUT]
    Name dummy
    Tag d
    Samples 1
    Dummy {{"log":"v"}}
[OUTPUT]
    Name http
    Match *
    Host 127.0.0.1
    Port {sink.port}
    URI /in
    Format json
    Header X-Token t k
    header_tag X-Tag
    compress gzip
"""
    )
    wait_until(lambda: sink.requests, "a request")
    assert router.stop() == 0
    headers, body = sink.requests[0]
    assert headers["X-Token"] == "t k"
    assert headers["X-Tag"] == "d"
    assert json.loads(gzip.decompress(body))[0]["log"] == "v"


def test_a_chunk_is_dropped_after_its_retries_and_counted(
    start_stand_in: Start, sink: Sink
) -> None:
    sink.status = 500
    router = start_stand_in(
        f"""[SERVICE]
    Flush 0.1
    scheduler.base 1
    scheduler.cap 1
[INPUT]
    Name dummy
    Samples 1
[OUTPUT]
    Name http
    Match *
    Host 127.0.0.1
    Port {sink.port}
"""
    )
    router.wait_for_log("cannot be retried: dropped")
    assert len(sink.requests) == 2  # the first try and Retry_Limit's default of one
    assert router.stop() == 0
    assert "accepted=1 delivered=0 retried=1 dropped=1" in router.log()


def test_grace_ends_the_wait_for_a_slow_destination(start_stand_in: Start, sink: Sink) -> None:
    sink.gate.clear()
    router = start_stand_in(
        f"""[SERVICE]
    Flush 0.1
    Grace 1
[INPUT]
    Name dummy
    Samples 1
[OUTPUT]
    Name http
    Match *
    Host 127.0.0.1
    Port {sink.port}
"""
    )
    wait_until(lambda: sink.requests, "the request that hangs")
    assert router.stop() == 0
    assert "service will shutdown in max 1 seconds" in router.log()
    assert "accepted=1 delivered=0 retried=0 dropped=1" in router.log()


def test_mem_buf_limit_pauses_the_input_and_loses_nothing(
    start_stand_in: Start, sink: Sink, tmp_path: Path
) -> None:
    sink.gate.clear()
    path = tmp_path / "f.sock"
    router = start_stand_in(
        f"""[SERVICE]
    Flush 0.1
[INPUT]
    Name forward
    Unix_Path {path}
    Mem_Buf_Limit 50KB
[OUTPUT]
    Name http
    Match *
    Host 127.0.0.1
    Port {sink.port}
    Format json
"""
    )
    wait_until(path.exists, "the socket")
    count = 2000
    with socket.socket(socket.AF_UNIX) as sender:
        sender.connect(str(path))
        sender.setblocking(False)
        data = b"".join(msgpack.packb(["t", n, {"log": "x" * 500, "n": n}]) for n in range(count))
        view = memoryview(data)
        stalls = 0

        def send() -> bool:
            nonlocal view, stalls
            try:
                view = view[sender.send(view) :]
            except BlockingIOError:
                stalls += 1
                if "paused (mem buf overlimit)" in router.log():
                    sink.gate.set()
            return not view

        wait_until(send, "all was sent once the destination answers")
    assert stalls
    wait_until(
        lambda: sum(len(json.loads(body)) for _, body in sink.requests) == count, "all records"
    )
    assert "resume (mem buf overlimit)" in router.log()
    numbers = sorted(r["n"] for _, body in sink.requests for r in json.loads(body))
    assert numbers == list(range(count))
    assert router.stop() == 0


def test_a_broken_message_ends_its_connection_only(start_router: Start, tmp_path: Path) -> None:
    port = free_port()
    router = start_router(
        f"""[SERVICE]
    Flush 0.1
[INPUT]
    Name forward
    Listen 127.0.0.1
    Port {port}
[OUTPUT]
    Name stdout
    Match *
    Format json_lines
"""
    )
    for broken in (b"\xc1\xc1\xc1", msgpack.packb(5), msgpack.packb(["t", "not packed"])):
        with connected(port, router) as sender:
            sender.sendall(broken)
    with connected(port, router) as sender:
        sender.sendall(msgpack.packb(["t", 1, {"log": "good"}, {"chunk": "1"}]))
        assert msgpack.unpackb(sender.recv(100)) == {"ack": "1"}
    assert router.stop() == 0
    assert '"log":"good"' in router.stdout()


def test_tail_follows_rotation_and_truncation(start_router: Start, tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    file.write_text("old\n")
    router = start_router(
        f"""[SERVICE]
    Flush 0.1
[INPUT]
    Name tail
    Path {tmp_path}/*.log
    Read_from_Head On
    Tag f.*
    Refresh_Interval 1
[OUTPUT]
    Name stdout
    Match f.*
    Format json_lines
    json_date_key false
"""
    )
    wait_until(lambda: '"old"' in router.stdout(), "the first line")
    file.rename(tmp_path / "app.log.1")
    file.write_text("rotated\n")
    wait_until(lambda: '"rotated"' in router.stdout(), "the line after rotation")
    file.write_text("cut\n")
    wait_until(lambda: '"cut"' in router.stdout(), "the line after truncation")
    assert router.stop() == 0
    assert router.stdout().count('"log"') == 3


def test_a_stale_socket_of_a_killed_router_is_taken_over(
    start_router: Start, tmp_path: Path
) -> None:
    path = tmp_path / "f.sock"
    text = (
        f"[INPUT]\n    Name forward\n    Unix_Path {path}\n[OUTPUT]\n    Name null\n    Match *\n"
    )
    first = start_router(text)
    wait_until(path.exists, "the socket")
    first.kill()
    second = start_router(text)

    def connects() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(path)) == 0

    wait_until(connects, "the second router listens")
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(20) == 0


def test_records_that_an_output_chokes_on_cost_only_themselves(
    start_stand_in: Start, tmp_path: Path
) -> None:
    port = free_port()
    router = start_stand_in(
        f"[SERVICE]\n    Flush 0.05\n[INPUT]\n    Name forward\n    Listen 127.0.0.1\n"
        f"    Port {port}\n[OUTPUT]\n    Name file\n    Match *\n    Path {tmp_path}/out\n"
        "    Mkdir On\n"
    )
    with connected(port, router) as sender:
        for number in range(8):  # more than an output has workers; no file can have this name
            sender.sendall(msgpack.packb([f"bad\0{number}", 1, {"log": "x"}]))
        sender.sendall(msgpack.packb(["good", 1, {"log": "y"}]))
        wait_until((tmp_path / "out" / "good").exists, "the good record")
    assert router.stop() == 0
    assert "delivered=1 retried=0 dropped=8" in router.log()
