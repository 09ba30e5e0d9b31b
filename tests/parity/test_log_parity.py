"""Two log pipelines over the same lines: what fluentd delivers, what the new router does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hikkoshi.base.errors import BadInput
from hikkoshi.parity.compare import compare
from hikkoshi.parity.delivered import Delivered, Outcome
from hikkoshi.parity.fluentd_parsers import NotInterpreted, make_parser
from hikkoshi.parity.fluentd_pipeline import FluentdPipeline, choose_source
from hikkoshi.parity.reading import read_fluentd
from hikkoshi.parity.router_pipeline import RouterPipeline
from hikkoshi.router.fluentd import Directive, parse

HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")
GENBA = Path(__file__).parents[2] / "examples" / "genba"
NOW = 1_700_000_000 * 10**9


def through_fluentd(text: str, lines: list[str], source: str | None = None) -> Outcome:
    directives, complaints = parse(text, "f.conf")
    assert complaints == []
    chosen = choose_source(directives, source, "f.conf")
    return FluentdPipeline(directives, chosen).run(lines, [NOW] * len(lines))


def records(outcome: Outcome) -> list[dict[str, Any]]:
    return [one.record for one in outcome.records]


def tail(parser: str, rest: str) -> str:
    return (
        f"<source>\n @type tail\n path /var/log/a.log\n tag a.b\n <parse>\n {parser}\n </parse>\n"
        f"</source>\n{rest}"
    )


OUT = "<match **>\n @type stdout\n</match>\n"


# The first of each is the example of the parser's own page at docs.fluentd.org.
@pytest.mark.parametrize(
    ("parser", "line", "record", "time"),
    [
        ("@type json", '{"time":1362020400,"host":"192.168.0.1","size":777,"method":"PUT"}',
         {"host": "192.168.0.1", "size": 777, "method": "PUT"}, 1362020400),
        ("@type ltsv\n time_key time\n time_format %d/%b/%Y:%H:%M:%S %z",
         "time:28/Feb/2013:12:00:00 +0900\thost:192.168.0.1\treq_id:111",
         {"host": "192.168.0.1", "req_id": "111"}, 1362020400),
        ("@type apache2", '192.168.0.1 - - [28/Feb/2013:12:00:00 +0900] "GET / HTTP/1.1" 200 777 '
         '"-" "Opera/12.0"',
         {"host": "192.168.0.1", "user": None, "method": "GET", "path": "/", "code": 200,
          "size": 777, "referer": None, "agent": "Opera/12.0"}, 1362020400),
        ("@type nginx", '127.0.0.1 192.168.0.1 - [28/Feb/2013:12:00:00 +0900] "GET / HTTP/1.1" 200 '
         '777 "-" "Opera/12.0" -',
         {"remote": "127.0.0.1", "host": "192.168.0.1", "user": "-", "method": "GET", "path": "/",
          "code": "200", "size": "777", "referer": "-", "agent": "Opera/12.0",
          "http_x_forwarded_for": "-"}, 1362020400),
        ("@type csv\n keys time,host,req_id\n time_format %Y/%m/%d %H:%M:%S\n timezone +0900",
         "2013/02/28 12:00:00,192.168.0.1,111", {"host": "192.168.0.1", "req_id": "111"},
         1362020400),
        (r"@type regexp" "\n" r" expression /^\[(?<logtime>[^\]]*)\] (?<name>[^ ]*) (?<id>\d*)$/"
         "\n time_key logtime\n time_format %Y-%m-%d %H:%M:%S %z\n types id:integer",
         "[2013-02-28 12:00:00 +0900] alice 12345", {"name": "alice", "id": 12345}, 1362020400),
        ("@type none", "as it is", {"message": "as it is"}, NOW // 10**9),
    ],
)  # fmt: skip
def test_parsers(parser: str, line: str, record: dict[str, Any], time: int) -> None:
    (one,) = through_fluentd(tail(parser, OUT), [line]).records
    assert one.record == record
    assert one.time_ns == time * 10**9 and one.tag == "a.b"


def test_a_line_that_does_not_match_is_dropped_and_says_where() -> None:
    outcome = through_fluentd(tail("@type json", OUT), ["no json", '{"a":1}', '{"time":"x"}'])
    assert records(outcome) == [{"a": 1}]
    assert outcome.dropped == dict.fromkeys((0, 2), "f.conf:1: the line does not match its parser")


def test_filters_in_their_order() -> None:
    rest = """
<filter a.**>
 @type grep
 <regexp>
  key level
  pattern /^(ERROR|WARN)$/
 </regexp>
 <exclude>
  key $.user.name
  pattern ^root$
 </exclude>
</filter>
<filter other>
 @type grep
 <regexp>
  key nothing
  pattern .
 </regexp>
</filter>
<filter a.b>
 @type record_transformer
 remove_keys level
 <record>
  host "#{Socket.gethostname}"
  kind ${tag_parts[1]}
  line ${record["level"]}: ${record["m"]}
 </record>
</filter>
"""
    lines = [
        '{"level":"ERROR","m":"x","user":{"name":"a"}}', '{"level":"INFO","m":"x"}',
        '{"level":"WARN","m":"y","user":{"name":"root"}}',
    ]  # fmt: skip
    outcome = through_fluentd(tail("@type json", rest + OUT), lines)
    assert records(outcome) == [
        {"m": "x", "user": {"name": "a"}, "host": "(hostname)", "kind": "b", "line": "ERROR: x"}
    ]
    assert set(outcome.dropped) == {1, 2}


def test_copy_relabel_and_rewritten_tags() -> None:
    rest = """
<match a.b>
 @type copy
 <store>
  @type relabel
  @label @ARCHIVE
 </store>
 <store>
  @type rewrite_tag_filter
  <rule>
   key status
   pattern /^(5)\\d\\d$/
   tag error.$1.${tag_parts[0]}
  </rule>
  <rule>
   key status
   pattern /^200$/
   tag clear
  </rule>
 </store>
</match>
<match error.**>
 @type stdout
</match>
<match clear>
 @type null
</match>
<label @ARCHIVE>
 <match **>
  @type s3
 </match>
</label>
"""
    lines = ['{"status":502}', '{"status":200}', '{"status":404}']
    outcome = through_fluentd(tail("@type json", rest), lines)
    assert [(d.destination, d.tag, d.line) for d in outcome.records] == [
        ("s3", "a.b", 0), ("stdout", "error.5.a", 0), ("s3", "a.b", 1), ("s3", "a.b", 2),
    ]  # fmt: skip
    assert len(outcome.not_interpreted) == 1 and "'s3' is not interpreted" in str(
        outcome.not_interpreted
    )
    assert "null output" in outcome.dropped[1] and "no rule" in outcome.dropped[2]


def test_a_tag_that_is_rewritten_in_a_circle_ends() -> None:
    rest = (
        "<match **>\n @type rewrite_tag_filter\n <rule>\n key a\n pattern .\n tag x\n </rule>\n"
        "</match>"
    )
    outcome = through_fluentd(tail("@type json", rest), ['{"a":"1"}'])
    assert outcome.records == [] and "circle" in outcome.dropped[0]


def test_what_is_not_interpreted_is_named_with_its_line() -> None:
    rest = "<filter **>\n @type geoip\n</filter>\n" + OUT
    outcome = through_fluentd(tail("@type json", rest), ['{"a":1}'])
    assert outcome.not_interpreted == [
        "f.conf:9: the filter 'geoip' is not interpreted: records pass it unchanged"
    ]
    with pytest.raises(NotInterpreted):
        make_parser(Directive("parse", "", "f", {"@type": "grok"}))


def test_the_parser_filter_with_and_without_the_old_fields() -> None:
    def run(more: str) -> list[dict[str, Any]]:
        rest = (
            f"<filter **>\n @type parser\n key_name log\n {more}\n <parse>\n @type json\n </parse>"
        )
        return records(
            through_fluentd(
                tail("@type json", rest + "\n</filter>\n" + OUT), ['{"k":1,"log":"{\\"u\\":2}"}']
            )
        )

    assert run("reserve_data false") == [{"u": 2}]
    assert run("reserve_data true\n remove_key_name_field true") == [{"k": 1, "u": 2}]
    assert run("hash_value_field p\n reserve_data true") == [
        {"k": 1, "log": '{"u":2}', "p": {"u": 2}}
    ]


def test_includes_are_followed(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.conf").write_text(OUT)
    (tmp_path / "f.conf").write_text(tail("@type none", "@include conf.d/*.conf\n"))
    kinds = [d.kind for d in read_fluentd(tmp_path / "f.conf")]
    assert kinds == ["source", "match"]
    (tmp_path / "f.conf").write_text("@include f.conf\n")
    with pytest.raises(BadInput, match="circle"):
        read_fluentd(tmp_path / "f.conf")


ROUTER = """[FILTER]
    Name     parser
    Match    app-firelens*
    Key_Name log
    Parser   p
    Reserve_Data On
[FILTER]
    Name     rewrite_tag
    Match    app-firelens*
    Rule     $level ^ERROR$ errors false
[OUTPUT]
    Name     stdout
    Match    *
[OUTPUT]
    Name     datadog
    Match    errors
    apikey   ${KEY}
    dd_service ${NAME}
"""


def test_the_new_router_runs_its_own_filters(tmp_path: Path) -> None:
    text = "[SERVICE]\n    Parsers_File /fluent-bit/configs/p.conf\n" + ROUTER
    (tmp_path / "r.conf").write_text(text)
    (tmp_path / "p.conf").write_text("[PARSER]\n    Name p\n    Format json\n")
    lines = ['{"level":"ERROR"}', '{"level":"INFO"}']
    outcome = RouterPipeline(tmp_path / "r.conf").run(lines, [NOW, NOW])
    assert sorted((d.destination, d.tag[:6], d.line) for d in outcome.records) == [
        ("datadog", "errors", 0), ("stdout", "app-fi", 1), ("stdout", "errors", 0),
    ]  # fmt: skip
    (sent,) = [d.record for d in outcome.records if d.destination == "datadog"]
    assert sent["service"] == "(NAME)" and sent["level"] == "ERROR"


def delivered(record: dict[str, Any], **more: Any) -> Delivered:
    return Delivered("datadog", record, **more)


def kinds_of(before: list[Delivered], after: list[Delivered]) -> list[tuple[str, str]]:
    return [(d.kind, d.key) for d in compare(Outcome(before), Outcome(after)).differences]


def test_each_kind_of_difference() -> None:
    one = {"id": "x1", "path": "/a", "n": 1}
    assert kinds_of([delivered(one)], [delivered({"log": json.dumps(one)})]) == []
    assert kinds_of([delivered(one)], [delivered({**one, "ecs_cluster": "c"})]) == []
    assert kinds_of([delivered(one)], []) == [("missing", "")]
    assert kinds_of([], [delivered(one)]) == [("added", "")]
    assert kinds_of([delivered(one)], [delivered(one), delivered(one)]) == [("doubled", "")]
    assert kinds_of([delivered(one)], [delivered({**one, "n": 2})]) == [("field", "n")]
    assert kinds_of([delivered(one)], [delivered({"id": "x1", "path": "/a"})]) == [("field", "n")]
    times = [delivered(one, time_ns=NOW)], [delivered(one, time_ns=NOW + 2_000_000)]
    assert kinds_of(*times) == [("time", "")]
    tags = [delivered(one, tag="a")], [delivered(one, tag="b")]
    assert kinds_of(*tags) == [("tag", "")]
    elsewhere = [delivered(one)], [Delivered("s3", one)]
    assert kinds_of(*elsewhere) == [("destination", "")]


def command(*words: object, code: int) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [HIKKOSHI, "logs", "parity", *map(str, words)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_genba_before_and_after_as_a_user_asks(tmp_path: Path) -> None:
    sample = tmp_path / "genba.log"
    lines = [{"time": 1604188800.5, "path": p, "status": 200} for p in ("/reports", "/health")]
    sample.write_text("".join(json.dumps(line) + "\n" for line in lines) + "Traceback:\n")
    before = GENBA / "before/ec2/td-agent.conf"
    words = ("--before", before, "--after", GENBA / "after/log-router/genba.conf")
    done = command(*words, "--sample", sample, "--json", code=1)
    found = json.loads(done.stdout)
    assert (found["before"], found["after"], found["compared"]) == (1, 2, 1)
    assert [(d["kind"], d["key"], d["line"]) for d in found["differences"]] == [
        ("added", "", 2), ("field", "hostname", 0), ("field", "time", 0), ("time", "", 0),
    ]  # fmt: skip
    shown = command(*words, "--sample", sample, code=1).stdout
    assert "line 3, datadog" in shown and "does not match its parser" in shown
    assert "\x1b[" not in shown


def test_recorded_records_without_a_difference(tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text('{"tag":"a","time":1.5,"record":{"log":"{\\"a\\": 1}"}}\n')
    (tmp_path / "new.jsonl").write_text('{"a": 1, "container_id": "x"}\n')
    done = command("--before", tmp_path / "old.jsonl", "--after", tmp_path / "new.jsonl", code=0)
    assert "no difference" in done.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<source>\n", "x.conf:1"),
        ("<match **>\n</match>\n", "no source here"),
        (tail("@type regexp\n expression /(/", OUT), "regular expression"),
        ("{", "x.conf:1: this is no JSON"),
    ],
)
def test_bad_input_names_the_place(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.conf").write_text(text)
    (tmp_path / "s").write_text("a\n")
    (tmp_path / "new.jsonl").write_text("{}\n")
    done = command("--before", tmp_path / "x.conf", "--after", tmp_path / "new.jsonl",
                   "--sample", tmp_path / "s", code=2)  # fmt: skip
    assert words in done.stderr and "Traceback" not in done.stderr
