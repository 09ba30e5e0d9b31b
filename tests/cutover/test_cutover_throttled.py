"""A cutover whose every second API call AWS refuses as asked too often, looks and changes alike."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from cutover_house import Load, Sides, wait

from hikkoshi.cutover.journal import Journal
from hikkoshi.cutover.state import Phase

sys.path.insert(0, str(Path(__file__).parents[1] / "ship"))
from throttling import throttling

START = ("start", "--from", "web-old", "--to", "web-new", "--abort-on", "errors>1%")
BACK_WITHIN_S = 10.0


def test_on_and_back_in_time_while_every_second_call_is_throttled(sides: Sides) -> None:
    with throttling(sides.url, seed=11) as proxy, Load(sides) as load:
        process = sides.start(*START, "--steps", "10,25,100", "--hold", "60s", url=proxy.url)
        wait(lambda: sides.weights() == {"old": 90, "new": 10}, "the first step", 60.0)
        assert sides.run("advance")[0] == 0
        wait(lambda: sides.weights() == {"old": 75, "new": 25}, "the second step", 60.0)
        looks = proxy.passed + 10
        wait(lambda: proxy.passed > looks, "some looks", 60.0)
        sides.backends["new"].status = 500
        t_fault = time.time()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, out + err
        assert proxy.refused > 10
    state = Journal(sides.project / ".hikkoshi" / "cutover").state()
    assert state.phase is Phase.BACK and "no target" in state.why
    assert state.t_back is not None
    print(f"back {state.t_back - t_fault:.1f} s after the fault, {proxy.refused} calls refused")
    assert state.t_back - t_fault < BACK_WITHIN_S
    assert sides.weights() == {"old": 1}
    assert load.failed == []
