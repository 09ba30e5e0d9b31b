"""A control plane that was killed, and the one that comes after it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from ecs_house import BALANCED, NETWORK, House, definition

from hikkoshi.region import journal as journals


async def killed(path: Path, count: int = 3) -> House:
    """It is simply left, as SIGKILL leaves it."""
    house = House(journal=path)
    await house.open()
    await house.call("PutAccountSetting", name="containerInsights", value="enabled")
    await house.call("PutAccountSetting", name="awsvpcTrunking", value="enabled")
    await house.call("DeleteAccountSetting", name="awsvpcTrunking")
    await house.create(desired=count, loadBalancers=BALANCED, tags=[{"key": "team", "value": "a"}])
    await house.call(
        "RunTask", cluster="genba", taskDefinition="web", launchType="FARGATE",
        networkConfiguration=NETWORK,
    )  # fmt: skip
    await house.settle()
    return house


def lasting(service: dict) -> dict:
    """What of a service's description is not about its tasks of the moment."""
    of_the_moment = {"runningCount", "pendingCount", "events", "deployments",
                     "currentServiceRevisions", "currentServiceDeployment"}  # fmt: skip
    return {k: v for k, v in service.items() if k not in of_the_moment}


def test_all_comes_back_and_the_service_returns_to_its_desired_count(tmp_path):
    async def story() -> None:
        path = tmp_path / "journal"
        old = await killed(path)
        before, tasks = await old.service(), await old.tasks()
        house = House(journal=path)
        house.clock.advance(old.clock.now() - house.clock.now())
        assert lasting(await house.service()) == lasting(before)
        assert (await house.events())[-1] == (await old.events())[-1]
        (cluster,) = (await house.call("DescribeClusters", clusters=["genba"]))["clusters"]
        assert cluster["status"] == "ACTIVE"
        told = await house.call("DescribeTaskDefinition", taskDefinition="web")
        assert told["taskDefinition"]["revision"] == 1
        settings = (await house.call("ListAccountSettings"))["settings"]
        assert [(s["name"], s["value"]) for s in settings] == [("containerInsights", "enabled")]
        tags = await house.call("ListTagsForResource", resourceArn=before["serviceArn"])
        assert tags["tags"] == [{"key": "team", "value": "a"}]
        # Tasks did not outlive the region: they say so, and are replaced.
        gone = await house.tasks("STOPPED")
        assert {t["taskArn"] for t in gone} == {t["taskArn"] for t in tasks}
        assert {t["stopCode"] for t in gone} == {"TerminationNotice"}
        assert "was killed" in gone[0]["stoppedReason"]
        assert await house.tasks() == []
        await house.settle()
        fresh = await house.tasks()
        assert len(fresh) == 3
        assert not {t["taskArn"] for t in fresh} & {t["taskArn"] for t in tasks}
        service = await house.service()
        assert service["deployments"][0]["id"] == before["deployments"][0]["id"]
        assert service["deployments"][0]["failedTasks"] == 0
        # Revisions go on from where they were, and a new deployment works.
        made = await house.call("RegisterTaskDefinition", **definition())
        assert made["taskDefinition"]["revision"] == 2
        await house.call("UpdateService", cluster="genba", service="web", taskDefinition="web")
        await house.settle()
        # A second kill is as good as the first.
        again = House(journal=path)
        assert (await again.service())["taskDefinition"].endswith("web:2")

    asyncio.run(story())


def test_a_rollout_that_was_under_way_goes_on(tmp_path):
    async def story() -> None:
        path = tmp_path / "journal"
        old = await killed(path, 2)
        await old.call("RegisterTaskDefinition", **definition(image="web:next"))
        await old.call("UpdateService", cluster="genba", service="web", taskDefinition="web")
        await old.turn()
        assert len((await old.service())["deployments"]) == 2
        house = House(journal=path)
        await house.settle()
        tasks = await house.tasks()
        assert [t["taskDefinitionArn"].rpartition(":")[2] for t in tasks] == ["2", "2"]

    asyncio.run(story())


def test_a_deleted_service_does_not_come_back_and_an_end_in_order_leaves_nothing(tmp_path):
    async def story() -> None:
        path = tmp_path / "journal"
        old = await killed(path, 1)
        await old.call("DeleteService", cluster="genba", service="web", force=True)
        await old.turns(5)
        house = House(journal=path)
        assert (await house.service())["status"] == "INACTIVE"
        assert (await house.call("ListServices", cluster="genba"))["serviceArns"] == []
        await house.ecs.close()
        assert not path.exists()

    asyncio.run(story())


@pytest.mark.parametrize(
    "tail", [b'{"t": 1, "kind": "cluster", "key": "x", "rec', b"\xff\xfe\n", b"[]\n", b"{}\n",
             b'{"t":1,"kind":"cluster","key":"x","record":{"arn":3}}\n',
             b'{"t":1,"kind":"of a later version","key":"x","record":{}}\n'],
    ids=range(6),
)  # fmt: skip
def test_a_line_that_is_not_whole_is_left_out(tmp_path, tail):
    async def story() -> None:
        path = tmp_path / "journal"
        await killed(path, 1)
        path.write_bytes(path.read_bytes() + tail)
        house = House(journal=path)
        assert (await house.service())["desiredCount"] == 1

    asyncio.run(story())


def test_a_long_journal_is_written_anew_with_what_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "COMPACT_AFTER", 50)

    async def story() -> None:
        path = tmp_path / "journal"
        old = await killed(path, 2)
        for count in (5, 1, 4, 2):
            await old.call("UpdateService", cluster="genba", service="web", desiredCount=count)
            await old.settle()
        lines = path.read_bytes().splitlines()
        assert len(lines) < 100
        assert all(json.loads(line)["key"] for line in lines)
        house = House(journal=path)
        assert lasting(await house.service()) == lasting(await old.service())

    asyncio.run(story())


def test_lines_that_are_written_together_are_with_the_kernel_when_the_block_is_left(tmp_path):
    journal = journals.Journal(tmp_path / "journal")
    with pytest.raises(ZeroDivisionError), journal.together():
        for number in range(3):
            journal.write(0.0, "task", "a", number)
            with journal.together():
                journal.write(0.0, "task", "b", None)
        assert (tmp_path / "journal").read_bytes() == b""
        raise ZeroDivisionError
    kept = [json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()]
    assert [(line["key"], line["record"]) for line in kept] == [("a", 2), ("b", None)]
    with journal.together():
        journal.write(0.0, "task", "c", 1)
        journal.rewrite(0.0, [("task", "c", 2)])
    journal.write(0.0, "task", "d", 3)
    assert journal.read() == [("task", "c", 2), ("task", "d", 3)]


def test_a_journal_of_many_records_is_not_written_anew_at_each_change(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "COMPACT_AFTER", 10)
    journal = journals.Journal(tmp_path / "journal")
    journal.rewrite(0.0, [("task", str(number), number) for number in range(20)])
    grown = 0
    while not journal.is_long:
        journal.write(0.0, "task", "0", grown)
        grown += 1
    assert grown == 40
