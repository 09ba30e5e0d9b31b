"""What Application Auto Scaling journals, and what of it a new start holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hikkoshi.region.autoscaling.holdings import Holdings, targets_again
from hikkoshi.region.autoscaling.records import ActionRecord, PolicyRecord, TargetRecord
from hikkoshi.region.journal import Journal, Ledger

POLICY = PolicyRecord("cpu", "arn:policy", {"TargetValue": 50.0}, 10.0, points=(1.0, None))
NIGHT = ActionRecord(
    "night", "arn:action", "cron(0 22 * * ? *)", "Asia/Tokyo", 1, None, 10.0, looked_at=90.0
)
TARGET = TargetRecord(
    "service/genba/web", "arn:target", 1, 4, "arn:role", 10.0, {"ScheduledScalingSuspended": True},
    policies=(POLICY,), actions=(NIGHT,), scaled_out_at=80.0, tags=(("team", "genba"),),
)  # fmt: skip


def held(path: Path) -> Holdings:
    return Holdings(Ledger(Journal(path), lambda: 100.0))


def test_a_target_returns_but_for_what_is_measured_anew(tmp_path: Path) -> None:
    held(tmp_path / "j").put(TARGET)
    again = held(tmp_path / "j")
    again.restore(now=500.0)
    expected = replace(
        TARGET,
        policies=(replace(POLICY, points=()),),
        actions=(replace(NIGHT, looked_at=500.0),),
    )
    assert again.targets == {TARGET.resource_id: expected}
    assert again.targets[TARGET.resource_id].actions[0].schedule == NIGHT.schedule


def test_a_look_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    held_now = held(tmp_path / "j")
    held_now.put(TARGET)
    size = (tmp_path / "j").stat().st_size
    held_now.change(TARGET.resource_id, policies=(replace(POLICY, points=(1.0, 2.0)),))
    held_now.change_action(TARGET.resource_id, "night", looked_at=99.0)
    assert (tmp_path / "j").stat().st_size == size
    held_now.change(TARGET.resource_id, maximum=5)
    assert (tmp_path / "j").stat().st_size > size


def test_what_was_removed_stays_away(tmp_path: Path) -> None:
    first = held(tmp_path / "j")
    first.put(TARGET)
    first.put(replace(TARGET, resource_id="service/genba/api"))
    first.remove(TARGET.resource_id)
    lines = Journal(tmp_path / "j").read()
    assert [t.resource_id for t in targets_again(lines, 1.0)] == ["service/genba/api"]


def test_only_its_owner_reads_a_journal_and_an_end_in_order_removes_it(tmp_path: Path) -> None:
    ledger = Ledger(Journal(tmp_path / "j"), lambda: 1.0)
    ledger.keep([("kind", "key", {"verifier": "SCRAM"})])
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600
    ledger.close()
    assert not (tmp_path / "j").exists()
