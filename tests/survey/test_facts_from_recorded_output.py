"""Parsers of foreign output, from output that was recorded (recorded/), one case a file.

recorded/processes is of two processes under Debian 12: `python3 -m http.server`, and one whose name
is `a) R 1 (b` and whose first argument holds a line that looks like another process's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hikkoshi.survey.access_logs import read_access_log, template
from hikkoshi.survey.commands import parts_of, script
from hikkoshi.survey.configurations import read_cron, read_packages
from hikkoshi.survey.gathered import Entry, Gathered
from hikkoshi.survey.network import read_network
from hikkoshi.survey.processes import read_processes, window_of
from hikkoshi.survey.programs import describe
from hikkoshi.survey.systemd import (
    expand,
    parse_environment_file,
    read_units,
    split_words,
    with_environment,
)

RECORDED = Path(__file__).parent / "recorded"


@pytest.fixture(scope="module")
def recorded() -> Gathered:
    place = RECORDED / "processes"
    answers = {path.name: path.read_bytes() for path in place.iterdir()}
    return Gathered(answers={**answers, "dpkg": (RECORDED / "dpkg.txt").read_bytes()})


def test_processes(recorded: Gathered) -> None:
    server, hostile = read_processes(recorded)
    assert server.arguments[1:4] == ("-m", "http.server", "18431")
    assert (server.memory_mib, server.peak_mib, server.threads) == (20.9, 20.9, 2)
    assert server.nofile == (20000, 20000) and server.open_files == 7
    assert server.executable == "/usr/bin/python3.11" and server.directory == "/tmp/rec"
    assert server.written_files == ("/tmp/rec/out.log",)
    assert hostile.name == "a) R 1 (b" and hostile.pid == 10742
    assert hostile.arguments == ("evil\n/proc/1/cmdline:root\x01", "60")
    assert window_of(recorded) == 0.5


def test_sockets(recorded: Gathered) -> None:
    listeners, peers = read_network(recorded, read_processes(recorded))
    (one,) = listeners
    assert (one.port, one.address, one.protocol, one.pid) == (18431, "127.0.0.1", "tcp", 10739)
    # The client's end is a call out; the server's end of the same connection is not.
    assert [(p.address, p.port, p.connections) for p in peers] == [("127.0.0.1", 18431, 1)]


@pytest.mark.parametrize(("who", "unit"), [("1000", "web.service"), ("33", None)])
def test_a_socket_whose_process_was_not_seen(
    recorded: Gathered, who: str, unit: str | None
) -> None:
    """Of a user with one unit it is that unit's, but not if that user is the one who looks."""
    line = b"/proc/net/tcp:   0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 33 0 7 1 0 0"
    answers = {"net": line, "id": who.encode()}
    process = replace(read_processes(recorded)[0], uid=33, unit="web.service")
    ((listener,), _) = read_network(replace(recorded, answers=answers), [process])
    assert (listener.port, listener.unit) == (8080, unit)


def test_packages(recorded: Gathered) -> None:
    found = {package.name: package.version for package in read_packages(recorded)}
    assert found["bash"] == "5.2.15-2+b8"


UNIT = """[Unit]
Description=an app
After=network.target \\
  redis.service
[Service]
Type=simple
User=app
Environment="A=1 2" B=two
EnvironmentFile=-/etc/default/app
ExecStart=
ExecStart=-/usr/bin/app --name '%p x' --port ${PORT} $ARGS
LimitNOFILE=128:256
RestartSec=2s
"""


def test_a_unit_with_its_drop_in_and_environment() -> None:
    gathered = Gathered(
        {
            "/lib/systemd/system/app.service": UNIT.encode(),
            "/etc/systemd/system/app.service.d/10-more.conf": b"[Service]\nUser=other\n",
            "/etc/default/app": b"PORT=8081\nARGS='--a --b'\n# x\nexport C=\"q\"\n",
        },
        entries={
            path: Entry(path, "l")
            for path in ("/etc/systemd/system/multi-user.target.wants/app.service",)
        },
    )
    (unit,) = [with_environment(unit, gathered) for unit in read_units(gathered)]
    assert unit.is_enabled and unit.user == "other" and unit.type == "simple"
    assert unit.environment == {"A": "1 2", "B": "two", "PORT": "8081", "ARGS": "--a --b", "C": "q"}
    assert expand(unit.commands[0], unit.environment) == (
        "/usr/bin/app", "--name", "app x", "--port", "8081", "--a", "--b",
    )  # fmt: skip
    assert unit.limits == {"LimitNOFILE": "128:256"} and unit.restart_s == 2
    assert unit.needs == ("network.target", "redis.service")


@pytest.mark.parametrize(
    ("text", "words"),
    [("a b", ["a", "b"]), ("'a b' c", ["a b", "c"]), ('"a\\"b"', ['a"b']), ("''", [""]),
     ("a\\x", ["a\\x"]), ("", []), ("a='b c'", ["a='b", "c'"])],
)  # fmt: skip
def test_words_are_split_as_systemd_does(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_an_environment_file_may_be_a_pattern() -> None:
    text = "[Service]\nExecStart=/a\nEnvironmentFile=/etc/a/*.env\nEnvironmentFile=/etc/b/*.env\n"
    files = {"/etc/a/2.env": "X=2\n", "/etc/a/1.env": "X=1\nY=1\n", "/etc/a/d/3.env": "X=3\n"}
    gathered = Gathered({name: words.encode() for name, words in
                         {"/etc/systemd/system/a.service": text, **files}.items()})  # fmt: skip
    (unit,) = [with_environment(unit, gathered) for unit in read_units(gathered)]
    assert unit.environment == {"X": "2", "Y": "1"} and unit.missing_files == ("/etc/b/*.env",)


def test_environment_files_are_never_executed() -> None:
    assert parse_environment_file("A=$(touch x)\nB=`id`\nbad line\n1X=y") == {
        "A": "$(touch x)", "B": "`id`",
    }  # fmt: skip


COMBINED = (
    '10.0.0.9 - - [01/Nov/2020:08:00:{:02} +0900] "GET /users/{}?q=1 HTTP/1.1" 200 12 "-" '
    '"curl/7" 0.012\n'
)


def test_an_access_log_of_nginx() -> None:
    text = "".join(COMBINED.format(i % 5, i) for i in range(20)) + "garbage\n"
    text += '10.0.0.1 - - [01/Nov/2020:08:00:01 +0900] "GET /alive HTTP/1.1" 200 2 "-" ' \
            '"ELB-HealthChecker/2.0"\n'  # fmt: skip
    log = read_access_log("/x", text)
    assert log is not None and log.form == "combined" and log.lines == 21
    assert log.peer_checks == {"/alive": 200} and log.peak_rate == 4.0
    (endpoint,) = log.endpoints
    assert (endpoint.template, endpoint.count, endpoint.p99_ms) == ("/users/{n}", 20, 12.0)


def test_what_is_no_access_log() -> None:
    assert read_access_log("/x", "Nov  1 08:00:00 host cron[1]: x\n" * 50) is None


@pytest.mark.parametrize(
    ("path", "shape"),
    [("/a/7", "/a/{n}"), ("/a/b?x=7", "/a/b"), ("/v1/3f2b7a52-6f0e-4f44-9d3b-0a1b2c3d4e5f",
     "/v1/{n}"), ("/static/app.js", "/static/app.js"), ("/", "/")],
)  # fmt: skip
def test_paths_have_a_shape(path: str, shape: str) -> None:
    assert template(path) == shape


def test_cron() -> None:
    gathered = Gathered({
        "/etc/cron.d/a": b"SHELL=/bin/sh\n# x\n*/5 * * * * app /bin/x --y\n@daily root /bin/z\n",
    })  # fmt: skip
    jobs = read_cron(gathered, {})
    assert [(j.schedule, j.user, j.command) for j in jobs] == [
        ("*/5 * * * *", "app", "/bin/x --y"), ("@daily", "root", "/bin/z"),
    ]  # fmt: skip


def test_programs_by_their_bytes() -> None:
    data = Path("/bin/sh").resolve().read_bytes()
    found = describe("/bin/sh", data)
    assert found.kind == "elf-dynamic" and "libc.so.6" in found.libraries
    assert describe("/x", b"#!/usr/bin/env python3\n").interpreter == "python3"
    assert describe("/x", b"\x7fELF\x02\x01").kind == "elf-static"
    assert describe("/x", b"").kind == "unknown"


def test_no_file_can_end_a_part() -> None:
    word = "0123456789abcdef"
    text = script([("a", "cat"), ("b", "true")], word)
    assert "cat" in text
    body = b"x\n%s end a 0\n" % b"another-word"
    output = b"%s begin a\n%s\n%s end a 3\n%s begin b\n" % (word.encode(), body, word.encode(),
                                                        word.encode())  # fmt: skip
    assert parts_of(output, word) == {"a": (body, 3), "b": (b"", None)}
