"""The course of a fault, against a real server that is broken and mended."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.faults import chaos
from hikkoshi.faults.catalogue import CATALOGUE, Entry, find, refuse_what_lacks
from hikkoshi.faults.experiment import judge
from hikkoshi.faults.model import FaultResult, NotTried, Place, Plain
from hikkoshi.faults.network import request_body
from hikkoshi.faults.pressure import cpu_seconds
from hikkoshi.faults.run import Options, run_fault
from hikkoshi.faults.writes import EndpointSink, Exchange, Writing

NOWHERE = Access("http://127.0.0.1:9", "ap-northeast-1")


class Breaking(Plain):
    """Breaks the server; it mends by itself after a while, or by `undo`."""

    def __init__(self, server: Any, **how: Any) -> None:
        self.server = server
        self.how = how
        self.calls: list[str] = []

    def prepare(self) -> None:
        if "refuses" in self.how:
            raise NotTried(self.how["refuses"])

    def inject(self) -> None:
        self.calls.append("inject")
        self.server.is_broken = True
        if "raises" in self.how:
            raise self.how["raises"]
        if "mends_after" in self.how:
            threading.Timer(self.how["mends_after"], self.mend).start()

    def mend(self) -> None:
        self.server.is_broken = False

    def proof(self) -> str | None:
        return self.how.get("proof", "it was seen to break")

    def is_held(self) -> bool:
        return bool(self.how.get("is_held"))

    def undo(self) -> None:
        self.calls.append("undo")
        if "undo_fails" in self.how:
            raise CannotRun("the way back is gone")
        if self.how.get("is_held") or "raises" in self.how:
            self.mend()


def tried(
    server: Any, tmp_path: Path, more: dict[str, Any] | None = None, **how: Any
) -> tuple[FaultResult, Breaking]:
    fault = Breaking(server, **how)
    entry = Entry("breaking", "the server breaks", "nothing", "nothing", lambda place: fault)
    options = Options(
        probe_url=server.url, recovery_s=1.5, warm_s=0.3, cool_s=0.1, directory=tmp_path,
        **(more or {}),
    )  # fmt: skip
    place = Place(NOWHERE, hold_s=0.5)
    return run_fault(entry, place, options, lambda text: None), fault


def test_a_fault_that_is_recovered_from_is_held(breakable: Any, tmp_path: Path) -> None:
    result, fault = tried(breakable, tmp_path, mends_after=0.5)
    assert result.outcome == "held", result.reason
    assert result.detect_s is not None and result.detect_s < 0.5
    assert result.recover_s is not None and 0.4 < result.recover_s < 1.5
    assert result.is_steady_before and result.is_steady_after
    assert result.was_steady_during is not None and result.was_steady_during < 1
    assert fault.calls == ["inject", "undo"]


def test_one_that_is_not_recovered_from_broke(breakable: Any, tmp_path: Path) -> None:
    result, fault = tried(breakable, tmp_path)
    assert result.outcome == "broke"
    assert "steady state did not happen within 2 s" in result.reason
    assert "answers 503" in result.reason
    assert result.is_steady_after is False and fault.calls == ["inject", "undo"]


def test_a_held_fault_lasts_and_is_then_undone(breakable: Any, tmp_path: Path) -> None:
    result, fault = tried(breakable, tmp_path, is_held=True)
    assert result.outcome == "held", result.reason
    assert result.details["recovery_counts_from"] == "undo"
    assert fault.calls == ["inject", "undo"]


def test_without_proof_it_was_not_tried(breakable: Any, tmp_path: Path) -> None:
    result, fault = tried(breakable, tmp_path, proof=None, mends_after=0.1)
    assert (result.outcome, result.proof) == ("not tried", None)
    assert "nothing shows that it happened" in result.reason
    assert fault.calls == ["inject", "undo"]


def test_what_cannot_be_tried_says_why(breakable: Any, tmp_path: Path) -> None:
    result, fault = tried(breakable, tmp_path, refuses="there is nothing to break")
    assert (result.outcome, result.reason) == ("not tried", "there is nothing to break")
    assert fault.calls == []
    late, fault = tried(breakable, tmp_path, raises=NotTried("it did not take"))
    assert (late.outcome, late.reason) == ("not tried", "it did not take")
    assert fault.calls == ["inject", "undo"]


def test_nothing_is_broken_that_is_not_steady(breakable: Any, tmp_path: Path) -> None:
    breakable.is_broken = True
    result, fault = tried(breakable, tmp_path)
    assert result.outcome == "not tried" and "not steady before" in result.reason
    assert fault.calls == []


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), SystemExit(143), ZeroDivisionError()])
def test_undo_runs_whatever_the_end_is(breakable: Any, tmp_path: Path, ending: Any) -> None:
    fault = Breaking(breakable, raises=ending)
    entry = Entry("breaking", "", "", "", lambda place: fault)
    said: list[str] = []
    options = Options(probe_url=breakable.url, warm_s=0, directory=tmp_path)
    with pytest.raises(type(ending)):
        run_fault(entry, Place(NOWHERE), options, said.append)
    assert fault.calls == ["inject", "undo"]
    assert said[-1] == "interrupted; undone; steady"


def test_an_undo_that_fails_broke(breakable: Any, tmp_path: Path) -> None:
    result, _ = tried(breakable, tmp_path, undo_fails=True, mends_after=0.1)
    assert result.outcome == "broke"
    assert result.undo == "FAILED: the way back is gone"


def writing(server: Any) -> Writing:
    write = Exchange.parse(f"POST {server.url}/notes note-{{n}}", "--write")
    return Writing(EndpointSink(write, Exchange.parse(f"GET {server.url}/notes?{{n}}", "--read")))


def test_writes_that_are_kept_are_counted(breakable: Any, tmp_path: Path) -> None:
    result, _ = tried(breakable, tmp_path, {"writing": writing(breakable)}, mends_after=0.4)
    writes = result.writes
    assert result.outcome == "held" and writes is not None, result.reason
    assert writes.acknowledged == len(breakable.notes) > 5
    assert writes.retried > 0 and writes.missing == ()
    assert writes.longest_gap_s is not None and writes.longest_gap_s > 0.3


def test_a_write_that_was_acknowledged_and_is_missing_is_told(
    breakable: Any, tmp_path: Path
) -> None:
    breakable.loses = 4
    result, _ = tried(breakable, tmp_path, {"writing": writing(breakable)}, mends_after=0.1)
    assert result.writes is not None
    assert len(result.writes.missing) == breakable.count // 4
    assert result.outcome == "broke"
    assert "writes were acknowledged and are missing" in result.reason


def test_requests_under_load_are_counted(breakable: Any, tmp_path: Path) -> None:
    targets = tmp_path / "targets.http"
    targets.write_text(f"GET {breakable.url}/\n")
    load = {"targets": targets, "rate": 40.0, "most_failed": 0.01}
    result, _ = tried(breakable, tmp_path, load, mends_after=0.5)
    requests = result.requests
    assert requests is not None and requests.sent > 20
    assert 5 < requests.failed < requests.sent and requests.failed_before == 0
    assert requests.causes == ((("HTTP 503"), requests.failed),)
    assert result.outcome == "broke" and "the limit is 1 %" in result.reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("POST /notes {n}", "not METHOD URL"),
        ("post http://a/{n}", "not METHOD URL"),
        ("POST http://a/b", "no {n}"),
    ],
)
def test_a_write_that_cannot_be_made_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Exchange.parse(text, "--write")


def test_names_are_found_or_guessed() -> None:
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE) >= 17
    assert find("stop-task").title == "one task is stopped"
    with pytest.raises(BadInput) as error:
        find("stop-tsak")
    assert error.value.fix == "did you mean stop-task?"


@pytest.mark.parametrize(
    ("name", "has", "words"),
    [
        ("stop-task", {}, "stop-task needs: service"),
        ("cpu-pressure", {"database": "d"}, "needs: service"),
        ("failover-database", {"service": "s"}, "needs: database"),
    ],
)
def test_a_fault_without_what_it_needs_is_wrong_use(
    name: str, has: dict[str, str], words: str
) -> None:
    with pytest.raises(BadInput, match=words) as error:
        refuse_what_lacks(find(name), Place(NOWHERE, **has))
    assert error.value.fix and error.value.exit_code == 2
    refuse_what_lacks(find(name), Place(NOWHERE, service="s", database="d"))


def test_an_action_of_the_chaos_toolkit_is_journalled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    kept: list[list[str]] = []

    class Lasting(Plain):
        def __init__(self, place: Place) -> None:
            self.place = place

        def inject(self) -> None:
            self.place.keep("lasting", {"bad": "x:2"})
            kept.append([path.suffix for path in (tmp_path / "hikkoshi" / "faults").iterdir()])

        def proof(self) -> str | None:
            return "it is broken"

    entry = Entry("lasting", "", "", "", Lasting)  # type: ignore[arg-type]
    monkeypatch.setattr(chaos, "find", lambda name: entry)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert chaos.inject("lasting") == {"fault": "lasting", "proof": "it is broken"}
    assert kept == [[".json"]]
    assert list((tmp_path / "hikkoshi" / "faults").iterdir()) == []


def test_the_agent_is_asked_in_its_own_words() -> None:
    place = Place(NOWHERE, delay_ms=300, loss_percent=7)
    assert request_body("network-latency", place, "10.0.0.0/16", 5432) == {
        "DelayMilliseconds": 300, "JitterMilliseconds": 0, "Sources": ["10.0.0.0/16"],
    }  # fmt: skip
    assert request_body("network-packet-loss", place, "10.0.1.2", None) == {
        "LossPercent": 7, "Sources": ["10.0.1.2"],
    }  # fmt: skip
    assert request_body("network-blackhole-port", place, "db", 5432) == {
        "Port": 5432, "Protocol": "tcp", "TrafficType": "egress",
    }  # fmt: skip
    with pytest.raises(NotTried, match="of a port"):
        request_body("network-blackhole-port", place, "db", None)


def test_the_cpu_that_was_burnt_is_read_from_the_shell() -> None:
    assert cpu_seconds("0m0.01s 0m0.02s\n1m3.50s 0m0.25s\n") == pytest.approx(63.75)
    assert cpu_seconds("0m0.010s 0m0.020s\r\n0m1.500s 0m0.250s\r\n") == pytest.approx(1.75)
    assert cpu_seconds("nothing") == 0


MET = {"steady_state_met": True, "probes": []}
DONE = {"activity": {"name": "a"}, "status": "succeeded"}
FAILED = {"activity": {"name": "a"}, "status": "failed", "exception": ["…", "it broke\n"]}


@pytest.mark.parametrize(
    ("journal", "outcome", "words"),
    [
        ({"status": "completed", "run": [DONE], "steady_states": {"after": MET}}, "held", "1 act"),
        ({"status": "completed", "run": [FAILED]}, "broke", "a: it broke"),
        ({"status": "completed", "run": [DONE], "rollbacks": [FAILED]}, "broke", "a: it broke"),
        ({"status": "completed", "run": [DONE], "deviated": True}, "broke", "deviated"),
        ({"status": "interrupted", "run": [DONE]}, "broke", "interrupted"),
        ({"status": "completed", "run": []}, "not tried", "no activity"),
        ({"status": "failed", "steady_states": {"before": {"steady_state_met": False,
          "probes": [{**DONE, "tolerance_met": False, "output": 500}]}}},
         "not tried", "a: succeeded, 500"),
    ],
)  # fmt: skip
def test_an_experiments_journal_is_judged(journal: Any, outcome: str, words: str) -> None:
    told, reason = judge(journal)
    assert told == outcome
    assert words in reason
