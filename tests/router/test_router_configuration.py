"""Reading configurations: what is refused, where, and what the parts make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.base.errors import BadInput
from hikkoshi.router.accessor import MISSING, getter, template
from hikkoshi.router.configuration import Configuration, Service, read_configuration
from hikkoshi.router.engine import Engine
from hikkoshi.router.filters.multiline import JoinedLines, PartialMessages
from hikkoshi.router.filters.throttle import Throttle
from hikkoshi.router.forward import BadMessage, read_message, unpacker
from hikkoshi.router.match import compile_regex, wildcard
from hikkoshi.router.outputs.datadog import Datadog, remap
from hikkoshi.router.port import FilterContext
from hikkoshi.router.section import Property, Section, Settings, parse_seconds, parse_size
from hikkoshi.router.timeformat import compile_time


def no_log(*_: object) -> None:
    return None


def built(path: Path, environ: dict[str, str] | None = None) -> Configuration:
    configuration = read_configuration(path, environ or {})
    Engine(configuration, log=no_log, write=lambda data: None, environ={}).close()
    return configuration


OUTPUT = "[OUTPUT]\n    Name null\n    Match *\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[INPUT]\n    Name dummy\n[OUTPT]\n    Name null\n", 3, "unknown section [OUTPT]"),
        ("[INPUT]\n    Name nonesuch\n", 1, "'nonesuch' cannot be loaded"),
        ("[FILTER]\n    Name lua\n    Match *\n", 1, "not interpreted by the stand-in"),
        ("[OUTPUT]\n    Name null\n    Matches *\n", 3, "unknown configuration property"),
        ("[OUTPUT]\n    Name datadog\n    Match *\n    apikey ${NONE}\n", 1, "no apikey"),
        ("[OUTPUT]\n    Match *\n", 1, "without a Name"),
        ("Name dummy\n", 1, "outside of any section"),
        ("[INPUT]\n    Name dummy\n  Rate 1\n", 3, "invalid indentation level"),
        ("[INPUT]\n    Name\n", 2, "has no value"),
        ("[SERVICE]\n    Flush soon\n", 2, "invalid value 'soon' for flush"),
        ("[INPUT]\n    Name dummy\n@INCLUDE gone.conf\n", 3, "could not open"),
        ("@SET broken\n", 1, "@SET without '='"),
        ("[FILTER]\n    Name grep\n    Match *\n    Regex log ([\n", 4, "could not compile"),
        ("[FILTER]\n    Name parser\n    Match *\n    Key_Name log\n    Parser p\n", 5, "'p' not"),
        (
            "[FILTER]\n    Name multiline\n    Match *\n    multiline.parser cri\n",
            1,
            "'cri' is not",
        ),
        ("[CUSTOM]\n    Name calyptia\n", 1, "not interpreted by the stand-in"),
        ("[OUTPUT]\n    Name null\n    Retry_Limit -1\n", 3, "invalid value '-1'"),
    ],
)
def test_what_is_refused_names_file_and_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    path = tmp_path / "bad.conf"
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        built(path)
    assert words in caught.value.what
    assert caught.value.where is not None
    assert caught.value.where.startswith(f"{path}:{line}")
    assert caught.value.fix


def test_a_file_that_includes_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("@INCLUDE *.conf\n")
    with pytest.raises(BadInput, match="includes itself"):
        built(path)


def test_later_service_sections_win_whatever_their_line(tmp_path: Path) -> None:
    (tmp_path / "user.conf").write_text("[SERVICE]\n    Flush 2\n    Grace 30\n")
    path = tmp_path / "main.conf"
    path.write_text(f"\n\n\n\n[SERVICE]\n    Flush 9\n@INCLUDE user.conf\n{OUTPUT}")
    service = built(path).service
    assert (service.flush_s, service.grace_s) == (2.0, 30.0)


def test_defaults_are_fluent_bits_own(tmp_path: Path) -> None:
    path = tmp_path / "main.conf"
    path.write_text(OUTPUT)
    service = built(path).service
    assert (service.flush_s, service.grace_s) == (1.0, 5.0)
    assert (service.retry_base_s, service.retry_cap_s) == (5.0, 2000.0)


def test_yaml_gives_the_same_sections(tmp_path: Path) -> None:
    (tmp_path / "included.yaml").write_text(
        "pipeline:\n  outputs:\n    - name: stdout\n      match: '${WHICH}'\n"
    )
    path = tmp_path / "main.yaml"
    path.write_text(
        """env:
  WHICH: app.*
service:
  flush: 0.5
  grace: 7
parsers:
  - name: js
    format: json
multiline_parsers:
  - name: ml
    type: regex
    flush_timeout: 1000
    rules:
      - {state: start_state, regex: '/^\\S/', next_state: cont}
      - {state: cont, regex: '/^\\s/', next_state: cont}
pipeline:
  inputs:
    - name: dummy
      tag: app.x
  filters:
    - name: record_modifier
      match: '*'
      record:
        - a 1
        - b 2
includes:
  - included.yaml
"""
    )
    found = built(path)
    assert (found.service.flush_s, found.service.grace_s) == (0.5, 7.0)
    assert list(found.parsers) == ["js"]
    assert [rule.next_state for rule in found.multiline["ml"].rules] == ["cont", "cont"]
    assert [(p.key, p.value) for p in found.filters[0].properties][2:] == [
        ("record", "a 1"),
        ("record", "b 2"),
    ]
    assert found.outputs[0].properties[1].value == "app.*"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("pipeline: [1, 2]\n", 1),
        ("a:\n  - b\n", 2),
        ("service:\n  flush: {a: 1}\n", 2),
        ("a: [", 1),
    ],
)
def test_yaml_that_is_not_interpreted_names_its_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "main.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        built(path)
    assert str(caught.value.where).startswith(f"{path}:{line}")


def test_units() -> None:
    assert parse_size("25MB") == 25_000_000
    assert parse_size("512k") == 512_000
    assert parse_size("False") == 0
    assert parse_seconds("500ms") == 0.5
    assert parse_seconds("2m") == 120.0


@pytest.mark.parametrize(
    ("pattern", "text", "nanoseconds"),
    [
        ("%Y-%m-%dT%H:%M:%S.%L%z", "2020-11-05T10:00:01.25+0900", 1_604_538_001_250_000_000),
        ("%d/%b/%Y:%H:%M:%S %z", "05/Nov/2020:01:00:01 +0000", 1_604_538_001_000_000_000),
        ("%s.%L", "1604538001.000000001", 1_604_538_001_000_000_001),
        ("%F %T", "2020-11-05 01:00:01", 1_604_538_001_000_000_000),
        ("%F %I:%M %p", "2020-11-05 01:00 PM", 1_604_581_200_000_000_000),
        ("%F", "yesterday", None),
    ],
)
def test_times(pattern: str, text: str, nanoseconds: int | None) -> None:
    assert compile_time(pattern)(text) == nanoseconds


def test_time_offset_holds_where_the_text_has_no_zone() -> None:
    assert compile_time("%F %T", 9 * 3600)("2020-11-05 10:00:01") == 1_604_538_001_000_000_000


def test_record_accessors() -> None:
    record = {"a": {"b": ["x", {"c": 1}]}, "k-1": 2}
    assert getter("$a['b'][1]['c']")(record) == 1
    assert getter("$a['b'][5]")(record) is MISSING
    assert getter("$k-1")(record) == 2
    assert getter("k-1")(record) == 2
    assert template("$TAG.$TAG[1].$1.$a['b'][0].$none!")("t.u", record, ["", "z"]) == "t.u.u.z.x.!"


@given(st.text(max_size=30))
def test_a_wildcard_without_a_star_matches_itself_only(text: str) -> None:
    plain = text.replace("*", "")
    assert wildcard(plain).fullmatch(plain)
    assert not wildcard(plain).fullmatch(plain + "x")
    assert wildcard(plain + "*").fullmatch(plain + text)


def test_onigmo_in_python() -> None:
    assert compile_regex(r"/^(?<a>[[:digit:]]+)\h$/i", "x").match("12F").group("a") == "12"


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_a_known_refusal(data: bytes) -> None:
    reader = unpacker(10_000)
    try:
        reader.feed(data)
        for message in reader:
            read_message(message, 10_000)
    except (BadMessage, ValueError, TypeError, RecursionError):
        return


def test_remapping_of_ecs_metadata() -> None:
    assert remap("container_name", "/app") == ["container_name:app"]
    assert remap("ecs_cluster", "arn:aws:ecs:r:1:cluster/c") == ["cluster_name:c"]
    assert remap("ecs_task_definition", "odd") == ["ecs_task_definition:odd"]
    assert remap("ecs_task_arn", "odd") == ["task_arn:odd", "task_id:odd"]


def datadog(**keys: str) -> Datadog:
    properties = {"name": "datadog", "apikey": "k", **keys}
    entries = tuple(Property(key, value, "f", 1) for key, value in properties.items())
    return Datadog(Settings(Section("OUTPUT", entries, "f", 1), "datadog"), no_log)


def test_datadog_documents() -> None:
    event = (1_700_000_000_001_600_000, {"log": "l", "container_name": "/app", "n": 1})
    assert datadog().document("t", event) == {
        "timestamp": 1_700_000_000_002,
        "message": "l",
        "container_name": "/app",
        "n": 1,
    }
    whole = datadog(provider="ecs", include_tag_key="on", tag_key="tag", dd_message_key="n")
    assert whole.document("t", event) == {
        "timestamp": 1_700_000_000_002,
        "tag": "t",
        "log": "l",
        "message": 1,
        "ddtags": "container_name:app",
    }


class Held:
    """A filter's context with a clock that is set, and what it let go of."""

    def __init__(self, **more: Any) -> None:
        self.now = 0.0
        self.released: list[Any] = []
        self.context = FilterContext(
            emit=lambda tag, events: self.released.extend(events),
            resume=lambda tag, events: self.released.extend(events),
            parsers={},
            multiline={},
            log=no_log,
            clock=lambda: self.now,
        )


def part(text: str, last: str, number: int = 1) -> tuple[int, dict[str, Any]]:
    return (
        number,
        {"log": text, "partial_message": "true", "partial_id": "i", "partial_last": last, "k": 1},
    )


def test_partial_messages_join_across_batches() -> None:
    held = Held()
    joiner = PartialMessages("log", 2.0, held.context)
    assert joiner.apply("t", [part("a", "false"), (5, {"log": "between"})]) == [
        (5, {"log": "between"})
    ]
    assert joiner.apply("t", [part("b", "true", 9)]) == [(1, {"log": "ab", "k": 1})]


def test_a_part_whose_rest_never_comes_is_let_go() -> None:
    held = Held()
    joiner = PartialMessages("log", 2.0, held.context)
    joiner.apply("t", [part("a", "false")])
    joiner.tick(1.9)
    assert held.released == []
    joiner.tick(2.1)
    assert held.released == [(1, {"log": "a", "k": 1})]


def test_lines_join_by_rules(tmp_path: Path) -> None:
    (tmp_path / "parsers.conf").write_text(
        "[MULTILINE_PARSER]\n    name trace\n    type regex\n    flush_timeout 1000\n"
        '    rule "start_state" "/^Traceback/" "body"\n    rule "body" "/^ /" "body"\n'
        '    rule "body" "/Error:/" "end"\n'
    )
    path = tmp_path / "main.conf"
    path.write_text(f"[SERVICE]\n    Parsers_File parsers.conf\n{OUTPUT}")
    held = Held()
    joiner = JoinedLines("log", [built(path).multiline["trace"]], held.context)
    lines = ["plain", "Traceback", "  at x", "ValueError: y", "after"]
    found = joiner.apply("t", [(n, {"log": text}) for n, text in enumerate(lines)])
    assert [record["log"] for _, record in found] == [
        "plain",
        "Traceback\n  at x\nValueError: y",
        "after",
    ]


def test_throttle_counts_over_its_window() -> None:
    held = Held()
    entries = tuple(Property(key, value, "f", 1) for key, value in [("rate", "2"), ("window", "3")])
    throttle = Throttle(Settings(Section("FILTER", entries, "f", 1), "throttle"), held.context)
    events: list[Any] = [(n, {}) for n in range(10)]
    assert len(throttle.apply("t", events)) == 6
    held.now = 1.0
    assert throttle.apply("t", events) == []
    held.now = 3.0
    assert len(throttle.apply("t", events)) == 6
    assert throttle.dropped == 18


@given(st.integers(min_value=1, max_value=60))
def test_retries_wait_within_base_and_cap(attempt: int) -> None:
    asked: list[tuple[float, float]] = []

    def pick(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    configuration = Configuration(
        service=Service(), inputs=(), filters=(), outputs=(), parsers={},
        multiline={}, warnings=(),
    )  # fmt: skip
    engine = Engine(configuration, log=no_log, write=lambda data: None, environ={}, pick=pick)
    wait = engine._retry_wait(attempt)
    engine.close()
    assert asked[0][0] == 5.0
    assert wait == min(2000.0, 5.0 * 2**attempt)
