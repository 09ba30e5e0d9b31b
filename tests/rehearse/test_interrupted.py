"""A rehearsal that is interrupted at ten moments leaves nothing on the machine."""

from __future__ import annotations

import json
import random
import selectors
import signal
import subprocess
import time

import pytest
from rehearsing import Home, copy_genba
from traces import left_of, take, wait_gone

pytestmark = [pytest.mark.region, pytest.mark.slow, pytest.mark.timeout(300)]

# The line of progress that is awaited (None: the start of the process), and how long after it, at
# most, the signal comes. Together they lie over start-up, bringing up, trials and judging.
MOMENTS = (
    (None, 0.6),
    ("starting the local region", 0.4),
    ("starting the local region", 1.0),
    ("bringing up: load balancer", 0.5),
    ("bringing up: database cluster", 1.0),
    ("bringing up: schema and data", 0.5),
    ("bringing up: service", 1.0),
    ("synthetic: ", 0.5),
    ("kill-task: ", 1.5),
    ("judging the evidence", 0.3),
)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
DEADLINE_S = 15.0
SEED = 20201123


def plan():
    """Ten moments with their delay and signal; the same at each run."""
    dice = random.Random(SEED)
    for number, (line, most_s) in enumerate(MOMENTS):
        only = "synthetic,kill-task" if line and line.startswith("kill") else "synthetic"
        yield number, line, dice.uniform(0, most_s), SIGNALS[number % 3], only


def wait_line(process, wanted, deadline_s=60.0):
    """Read the progress up to that line; what was read."""
    seen = ""
    deadline = time.monotonic() + deadline_s
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while wanted not in seen:
            assert selector.select(max(0.0, deadline - time.monotonic())), f"{wanted!r} never came"
            piece = process.stderr.buffer.raw.read(65536).decode()
            assert piece, f"it ended before {wanted!r}: {seen}"
            seen += piece
    return seen


@pytest.mark.parametrize(
    ("number", "line", "delay_s", "kind", "only"),
    [pytest.param(*each, id=f"{each[3].name}-{each[0]}-{each[1]}") for each in plan()],
)
def test_nothing_is_left_whenever_it_is_interrupted(tmp_path, number, line, delay_s, kind, only):
    home = Home(tmp_path / "home")
    project = copy_genba(tmp_path / "genba") / "after"
    state = project / ".hikkoshi" / "region"
    # With --json the progress goes to stderr.
    process = home.start(
        "rehearse", project, "--quick", "--only", only, "--json",
        out=subprocess.DEVNULL, err=subprocess.PIPE,
    )  # fmt: skip
    with process:
        if line is not None:
            wait_line(process, line)
        # The moment itself is what is wanted here, not something that it would wait for.
        time.sleep(delay_s)
        before = take(process.pid, state)
        process.send_signal(kind)
        process.wait(DEADLINE_S)
        said = process.stderr.read()
    try:
        if kind is not signal.SIGKILL:
            # Before Python has come to `main`, the signal's own default is the answer.
            early = {-kind} if line is None else set()
            assert process.returncode in {128 + kind} | early, said
            if line is not None:
                assert "Traceback" not in said
                assert left_of(before, home.path, project) == [], "its own undo was not enough"
        assert home.run("down", project)[0] == 0
        wait_gone(before, DEADLINE_S)
        assert left_of(before, home.path, project) == []
    finally:
        before.close()


def test_the_search_finds_what_is_there(tmp_path):
    """Without this an empty list would prove nothing."""
    home = Home(tmp_path / "home")
    project = tmp_path
    code, _, err = home.run("up", "-d", "--port", "0")
    assert code == 0, err
    try:
        state = home.path / "state" / "hikkoshi" / "region"
        (row,) = json.loads(home.run("status", "--json")[1])
        before = take(row["pid"], state)
        left = "\n".join(left_of(before, home.path, project))
        for kind in ("process", "network namespace", "listening socket", "state", "index entry"):
            assert kind in left
    finally:
        assert home.run("down")[0] == 0
    assert left_of(before, home.path, project) == []
    before.close()
