"""The configuration of HAProxy, and the decisions on targets, as pure functions.

`HIKKOSHI_ACCEPT_GOLDENS=1 pytest tests/elb/test_elb_config.py` writes the golden files anew.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.model.timers import Timers
from hikkoshi.region.elb.answers import quoted
from hikkoshi.region.elb.attributes import APPLICATION, HTTP_GROUP, defaults_of
from hikkoshi.region.elb.backend import check_of
from hikkoshi.region.elb.config import render
from hikkoshi.region.elb.model import (
    HealthCheck,
    Holdings,
    Listener,
    LoadBalancer,
    Rule,
    TargetGroup,
)
from hikkoshi.region.elb.target import ServerRow, Target, counters_of, judge, state_lines

GOLDENS = Path(__file__).parent / "goldens"
BALANCER = "arn:aws:elasticloadbalancing:r:1:loadbalancer/app/web/00b1"


def balancer(**attributes: str) -> LoadBalancer:
    return LoadBalancer(
        arn=BALANCER,
        name="web",
        dns_name="web-1.r.elb.amazonaws.com",
        scheme="internet-facing",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        address="10.0.0.16",
        zones=(),
        vpc_id=None,
        security_groups=(),
        ip_address_type="ipv4",
        attributes=defaults_of(APPLICATION) | attributes,
    )


def group(number: int, **attributes: str) -> TargetGroup:
    return TargetGroup(
        arn=f"arn:aws:elasticloadbalancing:r:1:targetgroup/g{number}/{number:016x}",
        name=f"g{number}",
        number=number,
        protocol="HTTP",
        protocol_version="HTTP1",
        port=80,
        vpc_id=None,
        target_type="ip",
        health_check=HealthCheck("HTTP", "traffic-port", "/health", 30, 5, 5, 2, "200-299,301"),
        attributes=defaults_of(HTTP_GROUP) | attributes,
    )


def forward(*pairs: tuple[TargetGroup, int]) -> tuple[dict[str, Any], ...]:
    groups = [{"TargetGroupArn": item.arn, "Weight": weight} for item, weight in pairs]
    return ({"Type": "forward", "ForwardConfig": {"TargetGroups": groups}},)


def holding(actions: tuple[Any, ...], *rules: Rule, groups: tuple[TargetGroup, ...]) -> Holdings:
    listener = Listener("arn:listener/app/web/00b1/0011", BALANCER, 80, "HTTP", 7, 8080, 8, actions)
    return Holdings(
        load_balancers={BALANCER: balancer()},
        target_groups={item.arn: item for item in groups},
        listeners={listener.arn: listener},
        rules={rule.arn: rule for rule in rules},
    )


ONE, TWO = (
    group(1001),
    group(1002, **{"load_balancing.algorithm.type": "least_outstanding_requests"}),
)
RULES = (
    Rule(
        "arn:rule/2",
        "arn:listener/app/web/00b1/0011",
        20,
        (
            {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/api/*", "/v?"]}},
            {"Field": "host-header", "HostHeaderConfig": {"Values": ["*.example.com"]}},
        ),
        forward((ONE, 90), (TWO, 10)),
    ),
    Rule(
        "arn:rule/1",
        "arn:listener/app/web/00b1/0011",
        10,
        ({"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}},),
        ({"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "403"}},),
    ),
)
CASES = {
    "one-group": holding(forward((ONE, 1)), groups=(ONE, TWO)),
    "rules-and-weights": holding(forward((TWO, 1)), *RULES, groups=(ONE, TWO)),
    "redirect": holding(
        ({"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443",
                                                 "StatusCode": "HTTP_301"}},),
        groups=(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_goldens(case: str) -> None:
    targets = {ONE.arn: {"10.0.1.5:8080": Target("10.0.1.5", 8080, 3)}}
    text = render(
        CASES[case],
        targets,
        control_socket=Path("/run/hikkoshi/haproxy-1.sock"),
        state_file=Path("/state/elb/haproxy-1.state"),
        log_fd=9,
        timers=Timers.for_rehearsal(),
    )
    golden = GOLDENS / f"{case}.cfg"
    if os.environ.get("HIKKOSHI_ACCEPT_GOLDENS"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


@given(st.text(max_size=40))
def test_nothing_in_an_argument_is_left_for_haproxy_to_interpret(text: str) -> None:
    written = quoted(text.encode("utf-8", "ignore").decode())
    inside = written[1:-1]
    assert written[0] == written[-1] == '"'
    assert not set(inside.replace("\\x", "")) & set("\"'$#\\\n\r\t")
    plain = inside.encode().decode("unicode_escape").encode("latin-1").decode()
    assert plain == text.encode("utf-8", "ignore").decode()


@pytest.mark.parametrize(
    ("timers", "interval_ms", "timeout_ms"),
    [
        (Timers(), 30_000, 5_000),
        (Timers(target_health_interval_s=0.5), 500, 2_000),
        (Timers(target_health_interval_s=4), 4_000, 4_000),
        (Timers(target_health_interval_s=60), 30_000, 5_000),
    ],
)
def test_caps_of_the_check(timers: Timers, interval_ms: int, timeout_ms: int) -> None:
    check = check_of(ONE, timers)
    assert (check.interval_ms, check.timeout_ms) == (interval_ms, timeout_ms)
    assert (check.rise, check.fall) == (5, 2)


INITIAL = Target("10.0.1.5", 80, 1)
HEALTHY = Target("10.0.1.5", 80, 1, "healthy", None, None)
BAD = Target("10.0.1.5", 80, 1, "unhealthy", "Target.Timeout", "Request timed out")


@pytest.mark.parametrize(
    ("before", "status", "check", "code", "phase", "reason"),
    [
        (INITIAL, "DRAIN", "INI", "", "initial", "Elb.InitialHealthChecking"),
        (INITIAL, "DRAIN", "L7OK", "200", "healthy", None),
        (INITIAL, "DRAIN", "L4CON", "", "initial", "Elb.InitialHealthChecking"),
        (INITIAL, "DOWN", "L4CON", "", "unhealthy", "Target.FailedHealthChecks"),
        (HEALTHY, "UP", "L7OK", "200", "healthy", None),
        (HEALTHY, "UP 1/2", "L7TOUT", "", "healthy", None),
        (HEALTHY, "DOWN", "L7TOUT", "", "unhealthy", "Target.Timeout"),
        (HEALTHY, "DOWN", "L4TOUT", "", "unhealthy", "Target.Timeout"),
        (HEALTHY, "DOWN", "L7STS", "500", "unhealthy", "Target.ResponseCodeMismatch"),
        (HEALTHY, "DOWN", "L7RSP", "", "unhealthy", "Target.FailedHealthChecks"),
        (BAD, "DOWN 1/5", "L7OK", "200", "unhealthy", "Target.Timeout"),
        (BAD, "DOWN", "L7STS", "503", "unhealthy", "Target.ResponseCodeMismatch"),
        (BAD, "UP", "L7OK", "200", "healthy", None),
    ],
)
def test_judging_a_target(
    before: Target, status: str, check: str, code: str, phase: str, reason: str | None
) -> None:
    after = judge(before, ServerRow(status, check, code, 0))
    assert (after.phase, after.reason) == (phase, reason)


def test_a_target_that_haproxy_does_not_know_yet_stays_as_it_is() -> None:
    assert judge(HEALTHY, None) == HEALTHY


def test_state_lines_have_a_value_for_every_column() -> None:
    targets = {"a": INITIAL, "b": BAD}
    lines = [line.split(" ") for line in state_lines("tg-1", 1001, targets, 5, 2)]
    assert [len(line) for line in lines] == [25] * 4
    # (name, operational state, administrative state, check's health)
    assert [(line[3], line[5], line[6], line[12]) for line in lines] == [
        ("10.0.1.5:80", "2", "8", "6"),
        ("10.0.1.5:80-open", "2", "0", "0"),
        ("10.0.1.5:80", "0", "0", "0"),
        ("10.0.1.5:80-open", "2", "0", "0"),
    ]


def test_counters_are_those_of_all_processes_and_of_the_spare() -> None:
    here = {
        ("g", "a:1"): ServerRow("UP", "L7OK", "200", 3, 0, 10, 1, 2, 15),
        ("g", "a:1-open"): ServerRow("UP", "", "", 1),
    }
    stopping = {("g", "a:1"): ServerRow("UP", "L7OK", "200", 2, 0, 5, 0, 0, 40)}
    assert counters_of([here, stopping], "g", ("a:1", "a:1-open")) == {
        "at_work": 6, "queued": 1, "responses": 15, "retries": 2, "response_s": 0.04,
    }  # fmt: skip
    assert counters_of([here], "g", ("b:1",)) is None
