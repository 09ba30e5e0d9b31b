"""The files that AWS's image of Fluent Bit has on its disk, where a configuration names them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hikkoshi.base.errors import BadInput
from hikkoshi.router import image
from hikkoshi.router.configuration import Configuration, read_configuration

FIRELENS = """[INPUT]
    Name forward
    unix_path {there}/fluent.sock
@INCLUDE {value}
[OUTPUT]
    Name null
    Match *
"""


def read(tmp_path: Path, text: str) -> Configuration:
    main = tmp_path / "fluent-bit.conf"
    main.write_text(text)
    return read_configuration(main, {})


def included(tmp_path: Path, value: str) -> Configuration:
    return read(tmp_path, FIRELENS.format(there=tmp_path, value=value))


def test_parse_json_is_there_with_its_parser_and_times(tmp_path: Path) -> None:
    found = included(tmp_path, "/fluent-bit/configs/parse-json.conf")
    assert [s.kind for s in found.filters] == ["FILTER"]
    assert (found.service.flush_s, found.service.grace_s) == (1, 30)
    line = json.dumps({"level": "info", "time": "2026-11-30T10:00:00Z"})
    fields, moment = found.parsers["json"].parse(line) or ({}, 0)
    # Fluent Bit's json parser reads a web server's time only: ISO 8601 stays a field.
    assert (fields, moment) == (json.loads(line), None)
    assert found.warnings == ()


@pytest.mark.parametrize("path", image.played())
def test_each_of_them_can_be_read(path: str, tmp_path: Path) -> None:
    if "parsers" in path:
        found = read(tmp_path, f"[SERVICE]\n    Parsers_File {path}\n")
        assert {"json", "nginx", "apache2", "docker", "syslog-rfc5424", "cri"} <= set(found.parsers)
        assert bool(found.warnings) == ("/etc/" in path)
    else:
        assert included(tmp_path, path).service.grace_s == 30


COMBINED = (
    '192.0.2.7 - kai [30/Nov/2026:10:00:00 +0900] "GET /a?b=1 HTTP/1.1" 200 34 "-" "curl/7.88"'
)


@pytest.mark.parametrize(
    ("parser", "line", "fields", "seconds"),
    [
        (
            "apache2",
            COMBINED,
            {"host": "192.0.2.7", "user": "kai", "method": "GET", "path": "/a?b=1", "code": "200",
             "size": "34", "referer": "-", "agent": "curl/7.88"},
            1_796_000_400,
        ),
        (
            "nginx",
            COMBINED,
            {"remote": "192.0.2.7", "host": "-", "user": "kai", "method": "GET", "path": "/a?b=1",
             "code": "200", "size": "34", "referer": "-", "agent": "curl/7.88"},
            1_796_000_400,
        ),
        (
            "syslog-rfc5424",
            "<165>1 2026-11-30T01:00:00.000003Z web-1 app 8710 ID47 - started",
            {"pri": "165", "time": "2026-11-30T01:00:00.000003Z", "host": "web-1", "ident": "app",
             "pid": "8710", "msgid": "ID47", "extradata": "-", "message": "started"},
            None,
        ),
        (
            "cri",
            "2026-11-30T10:00:00.5+09:00 stderr F no room",
            {"stream": "stderr", "logtag": "F", "message": "no room"},
            None,
        ),
        (
            "apache_error",
            "[Mon 30/Nov/2026] [error] [pid 12] [client 192.0.2.7] no such file",
            {"time": "30/Nov/2026", "level": "error", "pid": "12", "client": "192.0.2.7",
             "message": "no such file"},
            None,
        ),
    ],
)  # fmt: skip
def test_its_parsers(
    parser: str, line: str, fields: dict[str, str], seconds: int | None, tmp_path: Path
) -> None:
    found = read(tmp_path, "[SERVICE]\n    Parsers_File /fluent-bit/parsers/parsers.conf\n")
    parsed, moment = found.parsers[parser].parse(line) or ({}, None)
    assert parsed == fields
    if seconds is not None:
        assert moment == seconds * 1_000_000_000


def test_what_is_not_played_is_told_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="could not open") as refused:
        included(tmp_path, "/fluent-bit/configs/plugin-metrics-to-cloudwatch.conf")
    assert "/fluent-bit/configs/parse-json.conf" in (refused.value.fix or "")
