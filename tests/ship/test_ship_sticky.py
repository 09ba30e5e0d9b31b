"""A blue/green shift under target group stickiness, with a client that keeps its cookies."""

from __future__ import annotations

import http.client
import itertools
import threading

import pytest
from test_ship_blue_green import Client, Home, until

from hikkoshi.ship.verify_traffic import stickiness_of

pytestmark = pytest.mark.region
KEPT_S = 3


class Keeping(threading.Thread):
    """Asks again and again, with the last cookie that it was given; (status, text) of each."""

    def __init__(self, door: str) -> None:
        super().__init__(daemon=True)
        self.door, self.cookie = door, ""
        self.answers: list[tuple[int, str]] = []
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(0.05):
            connection = http.client.HTTPConnection(self.door, timeout=20)
            connection.request("GET", "/", headers={"Cookie": self.cookie} if self.cookie else {})
            answer = connection.getresponse()
            self.answers.append((answer.status, answer.read().decode().strip()))
            given = answer.getheader("Set-Cookie")
            if given is not None:
                self.cookie = given.partition(";")[0]
            connection.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self.join(30)


def test_the_words_of_a_rule():
    sticky = {"TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 60}}
    assert stickiness_of([{"Type": "forward", "ForwardConfig": sticky}]) == 60
    off = {"TargetGroupStickinessConfig": {"Enabled": False}}
    assert stickiness_of([{"Type": "forward", "ForwardConfig": off}, {"Type": "forward"}]) is None


def test_who_has_a_cookie_is_not_shifted_and_is_lost_when_the_old_tasks_end(files):
    home = Home(files, "sticky")
    elb = files.region.client("elbv2")
    rule = elb.describe_rules(RuleArns=[home.advanced["productionListenerRule"]])["Rules"][0]
    listener = rule["RuleArn"].replace(":listener-rule/", ":listener/").rpartition("/")[0]
    action = {"Type": "forward", "ForwardConfig": {
        "TargetGroups": rule["Actions"][0]["ForwardConfig"]["TargetGroups"],
        "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": KEPT_S}}}  # fmt: skip
    elb.modify_listener(ListenerArn=listener, DefaultActions=[action])
    home.write("one")
    assert files.hikkoshi("deploy").code == 0
    said = files.hikkoshi("verify")
    assert said.code == 1 and f"keeps a client at one target group for {KEPT_S} s" in said.out
    with Keeping(home.door) as kept, Client(home.door) as fresh:
        until("it answers", lambda: (200, "one") in kept.answers and "one" in fresh.answers)
        home.write("two")
        assert files.hikkoshi("deploy").code == 0
        until("its cookie is over", lambda: (200, "two") in kept.answers)
    told = [status for status, _ in kept.answers]
    assert [status for status, _ in itertools.groupby(told)] == [200, 503, 200], told
    assert kept.answers[0] == (200, "one") and kept.answers[-1] == (200, "two")
    before = kept.answers[: told.index(503)]
    assert set(before) == {(200, "one")}
    # Whoever came without a cookie was shifted, and lost nothing.
    assert fresh.failed == []
    assert fresh.answers[-1] == "two"
    sticky = elb.describe_rules(RuleArns=[rule["RuleArn"]])["Rules"][0]["Actions"][0][
        "ForwardConfig"]["TargetGroupStickinessConfig"]  # fmt: skip
    assert sticky == {"Enabled": True, "DurationSeconds": KEPT_S}
