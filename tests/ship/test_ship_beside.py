"""A cutover and a blue/green deployment of one service: each keeps away while the other acts."""

from __future__ import annotations

import json

import pytest
from ship_house import Files, called
from test_ship_blue_green import Home, until

from hikkoshi.base.errors import CannotRun
from hikkoshi.model.cutover_mark import TAG
from hikkoshi.ship import deploy as deploying

pytestmark = pytest.mark.region
QUICK = (
    "--stepwise", "--steps", "10,100", "--hold", "0s", "--hold-at-most", "0.1s", "--too-few",
    "advance", "--abort-on", "errors>1%", "--despite-checklist",
)  # fmt: skip


def cutover(files: Files, command: str, *more: str):
    words = ["cutover", command, str(files.directory), *more]
    return called(words, files.region.environment)


class Weights:
    """Of the production rule, by the name of the target group."""

    def __init__(self, home: Home) -> None:
        self._elb = home.files.region.client("elbv2")
        self._rule = home.advanced["productionListenerRule"]
        listener = self._elb.describe_rules(RuleArns=[self._rule])["Rules"][0]
        assert listener["IsDefault"]
        self._listener = self._rule.replace(":listener-rule/", ":listener/").rpartition("/")[0]

    def read(self) -> dict[str, int]:
        groups = self._elb.describe_rules(RuleArns=[self._rule])["Rules"][0]["Actions"][0][
            "ForwardConfig"
        ]["TargetGroups"]
        return {g["TargetGroupArn"].split("/")[1]: g["Weight"] for g in groups}

    def set(self, **weights_of_arns: int) -> None:
        groups = [{"TargetGroupArn": arn, "Weight": w} for arn, w in weights_of_arns.items()]
        action = {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}
        self._elb.modify_listener(ListenerArn=self._listener, DefaultActions=[action])


def marks(files: Files, groups: list[str]) -> list[str]:
    found = files.region.client("elbv2").describe_tags(ResourceArns=groups)["TagDescriptions"]
    return [t["Value"] for each in found for t in each["Tags"] if t["Key"] == TAG]


def test_each_refuses_while_the_other_is_under_way(files, monkeypatch):
    home = Home(files, "beside")
    weights = Weights(home)
    blue, green = home.groups
    home.write("one")
    assert files.hikkoshi("deploy").code == 0
    elb = files.region.client("elbv2")
    vpc = elb.describe_target_groups(TargetGroupArns=[blue])["TargetGroups"][0]["VpcId"]
    old = elb.create_target_group(
        Name="beside-old", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip"
    )["TargetGroups"][0]["TargetGroupArn"]

    # A deployment is in progress: no cutover begins, and nothing is written.
    weights.set(**{old: 1, blue: 0, green: 0})
    home.write("never healthy", shell="sleep 600")
    assert files.hikkoshi("deploy", "--no-wait").code == 0
    refused = cutover(files, "start", "--from", "beside-old", *QUICK)
    assert refused.code == 3, refused.all
    assert "the BLUE_GREEN deployment ecs-svc/" in refused.err
    assert "hikkoshi rollback" in refused.err
    assert weights.read() == {"beside-old": 1, "beside-blue": 0, "beside-green": 0}
    assert marks(files, [old, blue, green]) == []
    assert files.hikkoshi("rollback").code == 0

    # A cutover is under way: no deployment begins.
    began = cutover(files, "start", "--from", "beside-old", *QUICK)
    assert began.code == 0, began.all
    assert weights.read() == {"beside-old": 90, "beside-blue": 10, "beside-green": 0}
    home.write("two")
    (files.directory / ".hikkoshi" / "cutover").rename(files.directory / "elsewhere")
    refused = files.hikkoshi("deploy")
    assert refused.code == 3, refused.all
    for words in ("'s cutover 20", "is under way since", "cutover back", "remove-tags"):
        assert words in refused.err
    assert files.deployed() == "1"
    refused = files.hikkoshi("rollback", "--to", "2")
    assert refused.code == 3 and "'s cutover 20" in refused.err
    (files.directory / "elsewhere").rename(files.directory / ".hikkoshi" / "cutover")
    refused = files.hikkoshi("deploy")
    assert refused.code == 3 and "the cutover of this project is resting" in refused.err

    # One that another tool has begun: the cutover takes no further step.
    ecs = files.region.client("ecs")
    family = f"{files.cluster}-web"
    ecs.update_service(cluster=files.cluster, service="web", taskDefinition=f"{family}:2")
    refused = cutover(files, "advance")
    assert refused.code == 3, refused.all
    assert "deployment ecs-svc/" in refused.err
    assert json.loads(cutover(files, "status", "--json").out)["phase"] == "resting"
    assert files.hikkoshi("rollback").code == 0
    assert cutover(files, "back").code == 0
    assert weights.read() == {"beside-old": 1, "beside-blue": 0, "beside-green": 0}
    assert marks(files, [old, blue, green]) == []

    # The new side is the group that the tasks are in now.
    assert files.hikkoshi("deploy").code == 0
    began = cutover(files, "start", "--from", "beside-old", *QUICK)
    assert began.code == 0, began.all
    assert weights.read() == {"beside-old": 90, "beside-blue": 0, "beside-green": 10}
    assert cutover(files, "back").code == 0
    home.write("three")

    # A cutover that is marked after the deploy has looked: the deploy is stopped.
    looks = []

    def second_look(*_):
        looks.append(1)
        if len(looks) == 2:
            raise CannotRun("ana@laptop's cutover is under way")

    monkeypatch.setattr(deploying, "refuse_beside_a_cutover", second_look)
    stopped = files.hikkoshi("deploy")
    assert stopped.code == 3 and "ana@laptop" in stopped.err, stopped.all
    until("it is rolled back", lambda: files.deployed() == "3")
    assert files.hikkoshi("wait").code == 4
