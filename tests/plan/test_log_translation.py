"""fluentd, rsyslog and CloudWatch agent into Fluent Bit: read back by the router itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hikkoshi.model.survey import Configuration, Unit
from hikkoshi.plan.choice import Notebook
from hikkoshi.plan.fluent_bit import Router, accessor, slashless
from hikkoshi.plan.logs import translate
from hikkoshi.router import fluentd
from hikkoshi.router.configuration import read_configuration

UNIT = Unit("app.service", ("/a",), output="append:/var/log/app/app.log")
TAIL = """<source>
  @type tail
  path /var/log/app/app.log
  tag app.log
  <parse>
    @type json
  </parse>
</source>
"""


def translated(text: str, kind: str = "fluentd", unit: Unit = UNIT) -> Router:
    notebook = Notebook({})
    where = Configuration("/etc/agent.conf", kind, text)
    return translate("app", unit, [where], "ap-northeast-1", notebook)


def sections(router: Router, kind: str) -> list[dict[str, str]]:
    return [dict(entries) for name, entries in router.sections if name == kind]


def test_the_router_takes_what_is_written(tmp_path: Path) -> None:
    router = translated(
        TAIL + "<filter app.**>\n @type grep\n <exclude>\n key path\n"
        " pattern /^\\/health$/\n </exclude>\n</filter>\n"
        "<filter **>\n @type record_transformer\n remove_keys a,b\n <record>\n"
        '  team "field apps"\n  copied ${record["x"]}\n </record>\n</filter>\n'
        "<match **>\n @type datadog\n api_key \"#{ENV['DD_API_KEY']}\"\n service app\n</match>\n"
    )
    assert router.lost == []
    assert router.variables == {"DD_API_KEY": True}
    parsers = tmp_path / "parsers.conf"
    parsers.write_text(router.parsers_text())
    main = tmp_path / "application.conf"
    main.write_text(router.text("x").replace("/fluent-bit/configs/parsers.conf", str(parsers)))
    read = read_configuration(main, {"DD_API_KEY": "k"})
    assert (len(read.filters), len(read.outputs), list(read.parsers)) == (3, 1, ["app_log"])
    (grep,) = [s for s in sections(router, "FILTER") if s["Name"] == "grep"]
    assert grep["Exclude"] == "path ^/health$"
    (modify,) = [s for s in sections(router, "FILTER") if s["Name"] == "modify"]
    assert modify["Set"] == 'team "field apps"' and modify["Copy"] == "x copied"
    (output,) = sections(router, "OUTPUT")
    assert (output["Name"], output["apikey"], output["Match"]) == (
        "datadog", "${DD_API_KEY}", "app-firelens*",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        ("@type cloudwatch_logs\n log_group_name g\n region r",
         {"Name": "cloudwatch_logs", "log_group_name": "g", "region": "r"}),
        ("@type forward\n <server>\n host h\n port 1\n </server>",
         {"Name": "forward", "Host": "h", "Port": "1"}),
        ("@type http\n endpoint https://h.example/in",
         {"Name": "http", "Host": "h.example", "Port": "443", "URI": "/in", "tls": "on"}),
        ("@type elasticsearch\n host e\n index_name i", {"Name": "es", "Host": "e", "Index": "i"}),
        ("@type kinesis_firehose\n delivery_stream_name d\n region r",
         {"Name": "kinesis_firehose", "delivery_stream": "d"}),
        ("@type s3\n s3_bucket b\n s3_region r", {"Name": "s3", "bucket": "b", "region": "r"}),
        ("@type null", {"Name": "null"}),
    ],
)  # fmt: skip
def test_each_output(output: str, wanted: dict[str, str]) -> None:
    (made,) = sections(translated(f"{TAIL}<match **>\n {output}\n</match>\n"), "OUTPUT")
    assert wanted.items() <= made.items()


def test_copy_and_relabel_are_followed() -> None:
    router = translated(
        TAIL + "<match app.*>\n @type copy\n <store>\n @type stdout\n </store>\n <store>\n"
        " @type relabel\n @label @OUT\n </store>\n</match>\n<label @OUT>\n <match **>\n"
        " @type null\n </match>\n</label>\n"
    )
    assert [s["Name"] for s in sections(router, "OUTPUT")] == ["stdout", "null"]


def test_what_has_no_counterpart_is_said_with_its_line() -> None:
    router = translated(
        TAIL + "<filter **>\n @type geoip\n</filter>\n<filter **>\n @type record_transformer\n"
        " enable_ruby\n <record>\n  n ${record['a'].to_i + 1}\n </record>\n</filter>\n"
        "<match **>\n @type mongo\n</match>\n"
    )
    text = "\n".join(router.lost)
    assert "/etc/agent.conf:9: the filter 'geoip'" in text
    assert "n is computed" in text and "'mongo'" in text


def test_a_source_that_is_not_the_applications_is_said() -> None:
    router = translated(
        "<source>\n @type tail\n path /var/log/auth.log\n tag auth\n</source>\n<match **>\n"
        " @type datadog\n api_key x\n</match>\n"
    )
    assert "auth.log" in router.lost[0]
    assert [s["Name"] for s in sections(router, "OUTPUT")] == ["cloudwatch_logs"]


def test_rsyslog_to_another_host() -> None:
    unit = Unit("app.service", ("/a",))
    router = translated("*.* @@logs.example:6514\nauth.* /var/log/auth.log\n", "rsyslog", unit)
    (output,) = sections(router, "OUTPUT")
    assert (output["Host"], output["Port"], output["Mode"]) == ("logs.example", "6514", "tcp")


def test_cloudwatch_agent() -> None:
    files = [{"file_path": "/var/log/app/app.log", "log_group_name": "/app"}]
    text = json.dumps({"logs": {"logs_collected": {"files": {"collect_list": files}}}})
    (output,) = sections(translated(text, "cloudwatch"), "OUTPUT")
    assert output["log_group_name"] == "/app"


@pytest.mark.parametrize(
    ("pattern", "tag", "does"),
    [("a.*", "a.b", True), ("a.*", "a.b.c", False), ("a.**", "a", True), ("a.**", "a.b.c", True),
     ("**", "x.y", True), ("{a,b}.c", "b.c", True), ("a b", "b", True), ("**.c", "a.b.c", True),
     ("a", "ab", False)],
)  # fmt: skip
def test_tags_match_as_in_fluentd(pattern: str, tag: str, does: bool) -> None:
    assert fluentd.matches(pattern, tag) is does


def test_small_words() -> None:
    assert slashless(r"/^\/health$/") == "^/health$"
    assert slashless("/x/i") == "(?i)x"
    assert accessor("$.a.b") == "$a['b']"


def test_broken_configuration_is_said() -> None:
    router = translated("<source>\n @type tail\n</match>\n")
    assert any("closes nothing" in words for words in router.lost)
