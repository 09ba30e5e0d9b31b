"""What a client and a target see of the load balancer; a real HAProxy carries every request."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from elb_house import QUICK, Backend, House, wait_until

Make = Callable[[str], Backend]


def get(
    port: int, path: str = "/", headers: dict[str, str] | None = None, host: str | None = None
) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection(host or "127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.getheaders()}
    finally:
        connection.close()


def forward(*groups: str | tuple[str, int]) -> list[dict[str, object]]:
    pairs = [group if isinstance(group, tuple) else (group, 1) for group in groups]
    documents = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in pairs]
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": documents}}]


def serving(house: House, *backends: Backend) -> tuple[str, str, int]:
    """(target group, listener, port) with these targets healthy."""
    group = house.create_group("app")
    listener = house.create_listener(house.create_balancer(), forward(group))
    house.register(group, *backends)
    house.wait_for(group, healthy=len(backends))
    return group, listener, house.door(listener)


def test_requests_go_round_the_healthy_targets(house: House, backends: Make) -> None:
    _, _, port = serving(house, backends("a"), backends("b"))
    assert Counter(get(port)[1] for _ in range(20)) == {"a": 10, "b": 10}


def test_the_listener_is_also_at_the_balancers_name_inside(house: House, backends: Make) -> None:
    serving(house, backends("a"))
    balancer = house.client.describe_load_balancers()["LoadBalancers"][0]
    address = house.names.names[balancer["DNSName"].lower()][0]
    listener = house.client.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])
    assert get(listener["Listeners"][0]["Port"], host=address)[:2] == (200, "a")


def test_targets_get_the_headers_of_a_load_balancer(house: House, backends: Make) -> None:
    backend = backends("a")
    _, _, port = serving(house, backend)
    get(port, "/plain")
    get(port, "/kept", {"X-Forwarded-For": "203.0.113.7", "X-Amzn-Trace-Id": "Root=1-5-a"})
    seen = dict(backend.seen)
    plain, kept = seen["/plain"], seen["/kept"]
    assert plain["x-forwarded-for"] == "127.0.0.1"
    assert plain["x-forwarded-proto"] == "http"
    assert plain["x-forwarded-port"] == "8000"
    trace = re.fullmatch(r"Root=1-([0-9a-f]{8})-[0-9a-f]{24}", plain["x-amzn-trace-id"])
    assert trace is not None and abs(int(trace.group(1), 16) - time.time()) < 60
    assert kept["x-forwarded-for"] == "203.0.113.7, 127.0.0.1"
    assert re.fullmatch(r"Self=1-[0-9a-f]{8}-[0-9a-f]{24};Root=1-5-a", kept["x-amzn-trace-id"])


def test_headers_as_the_attributes_want_them(house: House, backends: Make) -> None:
    backend = backends("a")
    _, _, port = serving(house, backend)
    balancer = house.client.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]

    def seen(path: str, **attributes: str) -> dict[str, str]:
        named = {f"routing.http.{key.replace('__', '.')}": v for key, v in attributes.items()}
        house.client.modify_load_balancer_attributes(
            LoadBalancerArn=balancer,
            Attributes=[{"Key": key, "Value": value} for key, value in named.items()],
        )
        sent = {"X-Forwarded-For": "203.0.113.7", "under_score": "1", "Host": "shop.example:81"}
        assert get(port, path, sent)[0] == 200
        return dict(backend.seen)[path]

    removed = seen("/removed", xff_header_processing__mode="remove")
    assert "x-forwarded-for" not in removed and removed["under_score"] == "1"
    preserved = seen(
        "/preserved", xff_header_processing__mode="preserve",
        drop_invalid_header_fields__enabled="true",
    )  # fmt: skip
    assert preserved["x-forwarded-for"] == "203.0.113.7" and "under_score" not in preserved
    assert preserved["host"] == "shop.example:81"
    appended = seen(
        "/appended", xff_header_processing__mode="append", xff_client_port__enabled="true"
    )
    assert re.fullmatch(r"203\.0\.113\.7, 127\.0\.0\.1:\d+", appended["x-forwarded-for"])


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("routing.http.desync_mitigation_mode", "strictest"),
        ("routing.http.desync_mitigation_mode", "monitor"),
        ("waf.fail_open.enabled", "true"),
        ("zonal_shift.config.enabled", "true"),
        ("ipv6.deny_all_igw_traffic", "true"),
        ("connection_logs.s3.enabled", "true"),
        ("health_check_logs.s3.enabled", "true"),
    ],
)
def test_what_is_not_done_is_refused_by_name(house: House, attribute: str, value: str) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        house.client.modify_load_balancer_attributes(
            LoadBalancerArn=house.create_balancer(),
            Attributes=[{"Key": attribute, "Value": value}],
        )
    said = refused.value.response["Error"]
    assert said["Code"] == "NotImplementedException" and f"{attribute}={value}" in said["Message"]


def test_a_new_target_gets_its_share_slowly(tmp_path: Path, backends: Make) -> None:
    """The balancer's clock is moved; the shares are of real requests."""
    ahead_s = 0.0
    house = House(tmp_path, QUICK, monotonic=lambda: time.monotonic() + ahead_s)
    try:
        one, two, late = backends("one"), backends("two"), backends("late")
        group, _, port = serving(house, one, two)
        house.client.modify_target_group_attributes(
            TargetGroupArn=group,
            Attributes=[{"Key": "slow_start.duration_seconds", "Value": "900"}],
        )
        house.register(group, late)
        house.wait_for(group, healthy=3)

        def shares() -> Counter[str]:
            return Counter(get(port)[1] for _ in range(60))

        # A minute of 900 s, however slow this machine is: under 7 parts of 207.
        few = shares()
        assert few["late"] <= 5 and abs(few["one"] - few["two"]) <= 4, few
        ahead_s = 450.0
        wait_until(lambda: 8 <= shares()["late"] <= 16, "half a share, 12 of 60")
        # What it is now survives a new HAProxy.
        house.client.create_rule(
            ListenerArn=house.client.describe_listeners(
                LoadBalancerArn=house.client.describe_load_balancers()["LoadBalancers"][0][
                    "LoadBalancerArn"
                ]
            )["Listeners"][0]["ListenerArn"],
            Priority=1,
            Conditions=[{"Field": "path-pattern", "Values": ["/none"]}],
            Actions=forward(group),
        )
        assert 8 <= shares()["late"] <= 16
        ahead_s = 1000.0
        wait_until(lambda: 18 <= shares()["late"] <= 22, "the whole share, 20 of 60")
    finally:
        house.close()


def test_slow_start_needs_round_robin(house: House) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match="round_robin"):
        house.client.modify_target_group_attributes(
            TargetGroupArn=house.create_group("app"),
            Attributes=[
                {"Key": "slow_start.duration_seconds", "Value": "30"},
                {"Key": "load_balancing.algorithm.type", "Value": "least_outstanding_requests"},
            ],
        )


def test_health_checks_are_those_of_elb(house: House, backends: Make) -> None:
    backend = backends("a")
    serving(house, backend)
    path, headers = backend.seen[0]
    assert path == "/health"
    assert headers["user-agent"] == "ELB-HealthChecker/2.0"
    assert headers["host"] == f"127.0.0.1:{backend.port}"


def test_connections_are_kept_to_both_sides(house: House, backends: Make) -> None:
    _, _, port = serving(house, backends("a"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(5):
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200 and not answer.will_close
    connection.close()


def test_no_registered_target_is_503(house: House) -> None:
    group = house.create_group("app")
    listener = house.create_listener(house.create_balancer(), forward(group))
    status, body, headers = get(house.door(listener))
    assert (status, headers["server"]) == (503, "awselb/2.0")
    assert "503 Service Temporarily Unavailable" in body


def test_with_no_healthy_target_all_get_requests(house: House, backends: Make) -> None:
    one, other = backends("a"), backends("b")
    group, _, port = serving(house, one, other)
    one.status = other.status = 500
    house.wait_for(group, unhealthy=2)
    assert {get(port)[:2] for _ in range(6)} == {(200, "a"), (200, "b")}
    one.status = 200
    house.wait_for(group, healthy=1)
    assert {get(port)[1] for _ in range(6)} == {"a"}


def test_reasons_of_bad_health(house: House, backends: Make) -> None:
    backend, gone = backends("a"), backends("gone")
    group, _, _ = serving(house, backend, gone)
    backend.status = 500
    gone.close()
    house.wait_for(group, unhealthy=2)
    answer = house.client.describe_target_health(TargetGroupArn=group)
    found = {
        item["Target"]["Port"]: (
            item["TargetHealth"]["Reason"],
            item["TargetHealth"]["Description"],
        )
        for item in answer["TargetHealthDescriptions"]
    }
    assert found == {
        backend.port: (
            "Target.ResponseCodeMismatch",
            "Health checks failed with these codes: [500]",
        ),
        gone.port: ("Target.FailedHealthChecks", "Health checks failed"),
    }


def test_a_target_that_never_passes_is_unhealthy_and_gets_nothing(
    house: House, backends: Make
) -> None:
    good, bad = backends("good"), backends("bad")
    bad.status = 503
    group, _, port = serving(house, good)
    house.register(group, bad)
    assert house.states(group)[bad.port] == "initial"
    assert {get(port)[1] for _ in range(8)} == {"good"}
    house.wait_for(group, unhealthy=1)
    assert {get(port)[1] for _ in range(8)} == {"good"}


@pytest.mark.parametrize(("path", "status"), [("/reset", 502), ("/garbage", 502)])
def test_a_bad_answer_is_502(house: House, backends: Make, path: str, status: int) -> None:
    _, _, port = serving(house, backends("a"))
    assert get(port, path)[0] == status


def test_a_reset_on_a_kept_connection_is_502_as_well(house: House, backends: Make) -> None:
    backend = backends("a")
    _, _, port = serving(house, backend)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    statuses = []
    for path in ("/", "/", "/reset"):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
    assert statuses == [200, 200, 502]
    assert [path for path, _ in backend.seen].count("/reset") == 1


def test_a_refused_connection_is_502_and_is_not_sent_elsewhere(
    house: House, backends: Make
) -> None:
    gone = backends("gone")
    group = house.create_group("app", HealthCheckIntervalSeconds=30)
    listener = house.create_listener(house.create_balancer(), forward(group))
    house.register(group, gone)
    gone.close()
    # Nothing is healthy: it fails open to the one that is there.
    status, body, headers = get(house.door(listener))
    assert (status, headers["server"]) == (502, "awselb/2.0")
    assert "502 Bad Gateway" in body


def test_a_target_that_does_not_answer_is_504(house: House, backends: Make) -> None:
    backend = backends("a")
    _, _, port = serving(house, backend)
    balancer = house.client.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
    house.client.modify_load_balancer_attributes(
        LoadBalancerArn=balancer,
        Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "1"}],
    )
    assert get(port, "/wait")[0] == 504


def test_draining_lets_requests_end_and_takes_no_new_ones(house: House, backends: Make) -> None:
    slow, other = backends("slow"), backends("other")
    group, _, port = serving(house, slow)
    answers: list[tuple[int, str]] = []
    waiting = threading.Thread(target=lambda: answers.append(get(port, "/wait")[:2]))
    waiting.start()
    wait_until(lambda: any(path == "/wait" for path, _ in slow.seen), "the request to arrive")
    house.register(group, other)
    house.wait_for(group, healthy=2)
    house.client.deregister_targets(
        TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": slow.port}]
    )
    answer = house.client.describe_target_health(
        TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": slow.port}]
    )["TargetHealthDescriptions"][0]["TargetHealth"]
    assert (answer["State"], answer["Reason"]) == (
        "draining",
        "Target.DeregistrationInProgress",
    )
    assert {get(port)[1] for _ in range(6)} == {"other"}
    slow.gate.set()
    waiting.join()
    assert answers == [(200, "slow")]
    house.wait_for(group, draining=0, healthy=1)
    assert house.service.health(group, "127.0.0.1", slow.port).reason == "Target.NotRegistered"


def test_draining_ends_at_the_delay_whatever_is_left(house: House, backends: Make) -> None:
    slow = backends("slow")
    group, _, port = serving(house, slow)
    house.client.modify_target_group_attributes(
        TargetGroupArn=group,
        Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "1"}],
    )
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(get(port, "/wait")[0]))
    waiting.start()
    wait_until(lambda: any(path == "/wait" for path, _ in slow.seen), "the request to arrive")
    house.client.deregister_targets(TargetGroupArn=group, Targets=[{"Id": "127.0.0.1"}])
    house.wait_for(group, draining=0)
    waiting.join(10)
    assert not waiting.is_alive() and answers == [502]


def test_a_target_can_come_back_at_once(house: House, backends: Make) -> None:
    backend = backends("a")
    group, _, port = serving(house, backend)
    for _ in range(3):
        house.client.deregister_targets(TargetGroupArn=group, Targets=[{"Id": "127.0.0.1"}])
        house.wait_for(group, draining=0)
        house.register(group, backend)
        house.wait_for(group, healthy=1)
        assert get(port)[:2] == (200, "a")


class Load:
    """A few clients that keep their connections and count what is not a 200."""

    def __init__(self, port: int, clients: int = 4) -> None:
        self._port = port
        self._stop = threading.Event()
        self.answers: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        while not self._stop.is_set():
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                body = answer.read().decode()
                self.answers[body if answer.status == 200 else str(answer.status)] += 1
            except (OSError, http.client.HTTPException) as error:
                self.answers[f"{type(error).__name__}: {error}"] += 1
                connection.close()
        connection.close()

    def wait_for(self, count: int) -> None:
        reached = sum(self.answers.values()) + count
        wait_until(lambda: sum(self.answers.values()) >= reached, f"{count} more answers")


def test_no_request_is_lost_while_everything_changes(house: House, backends: Make) -> None:
    targets = [backends(name) for name in "abcd"]
    group, listener, port = serving(house, *targets[:2])
    with Load(port) as load:
        for round_ in range(4):
            rule = house.client.create_rule(
                ListenerArn=listener,
                Priority=10 + round_,
                Conditions=[{"Field": "path-pattern", "Values": ["/other*"]}],
                Actions=forward(group),
            )["Rules"][0]["RuleArn"]
            load.wait_for(20)
            new, old = targets[(round_ + 2) % 4], targets[round_ % 4]
            house.register(group, new)
            house.wait_for(group, healthy=3)
            house.client.deregister_targets(
                TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": old.port}]
            )
            house.client.delete_rule(RuleArn=rule)
            house.wait_for(group, healthy=2, draining=0)
            load.wait_for(20)
    assert set(load.answers) == {"a", "b", "c", "d"}, load.answers


def test_old_processes_end(house: House, backends: Make) -> None:
    group, listener, port = serving(house, backends("a"))
    for weight in (1, 2, 3):
        house.client.modify_listener(ListenerArn=listener, DefaultActions=forward((group, weight)))
        assert get(port)[0] == 200
    processes = house.ground.instance.processes
    wait_until(
        lambda: [process.returncode is None for process in processes].count(True) == 1,
        "one HAProxy alone",
    )


def test_a_haproxy_that_dies_is_replaced(house: House, backends: Make) -> None:
    group, _, port = serving(house, backends("a"))
    first = house.ground.instance.processes[-1]
    house.loop.call_soon_threadsafe(first.kill)
    wait_until(lambda: len(house.ground.instance.processes) > 1, "a new HAProxy")
    wait_until(lambda: house.states(group) != {}, "the targets")
    assert get(port)[:2] == (200, "a")


def rows_of(house: House, table: str) -> list[dict[str, Any]]:
    return [row for row in house.recorder.rows if row["table"] == table]


def test_targets_are_recorded(house: House, backends: Make) -> None:
    group, _, _ = serving(house, backends("a"))
    wait_until(
        lambda: any(row["healthy"] == 1 for row in rows_of(house, "targets")), "a healthy row"
    )
    assert rows_of(house, "targets")[0] | {"t": 0} == {
        "table": "targets", "t": 0, "target_group": group,
        "healthy": 0, "unhealthy": 0, "initial": 1, "draining": 0,
    }  # fmt: skip


def test_counters_of_each_target_and_of_the_group_are_recorded(
    house: House, backends: Make
) -> None:
    slow, other = backends("slow"), backends("other")
    group, _, port = serving(house, slow, other)
    assert {get(port)[1] for _ in range(4)} == {"slow", "other"}
    threads = [threading.Thread(target=get, args=(port, "/wait")) for _ in range(6)]
    for thread in threads:
        thread.start()

    def at_work(target: str | None) -> list[int]:
        return [r["at_work"] for r in rows_of(house, "balancer") if r["target"] == target]

    names = [f"127.0.0.1:{backend.port}" for backend in (slow, other)]
    try:
        wait_until(lambda: at_work(None)[-1:] == [6], "a row with six at work")
        assert [at_work(name)[-1] for name in names] == [3, 3]
    finally:
        for backend in (slow, other):
            backend.gate.set()
        for thread in threads:
            thread.join(10)
    wait_until(lambda: at_work(None)[-1] == 0, "a row with none at work")
    last = [row for row in rows_of(house, "balancer") if row["target"] is None][-1]
    assert (last["target_group"], last["responses"], last["queued"]) == (group, 10, 0)
