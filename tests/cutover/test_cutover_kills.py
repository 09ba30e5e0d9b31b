"""A process that is killed before or after each single thing it does, and the one after it, too.

The thing done is a call of the rule or a line of the journal; the real journal, on the disk. How a
real process fares against a real load balancer is in test_cutover_moments.py.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from hikkoshi.base.errors import AwsRefused, CannotRun
from hikkoshi.base.signals import signals_wait
from hikkoshi.cutover.actions import Actions, are_same, weights_of
from hikkoshi.cutover.journal import Journal
from hikkoshi.cutover.metrics import Pace
from hikkoshi.cutover.mover import CannotGoBack, Mover
from hikkoshi.cutover.place import Place
from hikkoshi.cutover.rounds import Rounds
from hikkoshi.cutover.state import Phase
from hikkoshi.cutover.values import Asked, ClockHome, Limits, Plan, Side, Window

GROUP = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/{}/0123456789abcdef"
PLACE = Place("arn:lb", "arn:listener", None, GROUP.format("old"), GROUP.format("new"))
ORIGINAL: Actions = [{"Type": "forward", "TargetGroupArn": PLACE.old}]
PLAN = Plan((25, 100), 0.0, 10.0, Limits(errors=0.01), least_requests=1)
PACE = Pace(0.0, 10.0, 1, 1.0, 10.0)
FOREVER = 10**9


class Killed(BaseException):
    """As SIGKILL: from then on nothing that the process does has an effect."""


class Life:
    """Ends at the `end`th moment at which it could."""

    def __init__(self, end: int = FOREVER) -> None:
        self.end = end
        self.moments = 0

    def goes_on(self) -> None:
        self.moments += 1
        if self.moments >= self.end:
            raise Killed


class World:
    """The rule, as the load balancer has it; refuses as many calls as it is told to. The account's
    clock runs, or does not."""

    def __init__(self) -> None:
        self.actions = ORIGINAL
        self.refuses = 0
        self.clock = False


class MortalRule:
    place = PLACE

    def __init__(self, life: Life, world: World) -> None:
        self.life = life
        self.world = world

    def _answers(self) -> None:
        self.life.goes_on()
        if self.world.refuses > 0:
            self.world.refuses -= 1
            raise AwsRefused("elbv2 was refused: Throttling: Rate exceeded")

    def read(self) -> Actions:
        self._answers()
        return self.world.actions

    def write(self, actions: Actions) -> None:
        self._answers()
        self.world.actions = actions
        self.life.goes_on()

    def command(self, actions: Actions) -> str:
        return f"aws elbv2 modify-listener {actions}"


class MortalJournal(Journal):
    life: Life

    def append(self, event, **fields):
        self.life.goes_on()
        super().append(event, **fields)
        self.life.goes_on()


class MortalClock:
    home = ClockHome("group", "function", "role")

    def __init__(self, life: Life, world: World) -> None:
        self.life = life
        self.world = world

    def start(self, name, place, original):
        self.life.goes_on()
        self.world.clock = True
        self.life.goes_on()

    def push(self):
        self.life.goes_on()

    def stop(self, name):
        self.life.goes_on()
        self.world.clock = False
        self.life.goes_on()


class Sight:
    def between(self, start, end):
        return Window(Side(1000, 0, 0.1), Side(1000, 0, 0.1))

    def healthy(self):
        return 1


def process(directory: Path, world: World, life: Life) -> tuple[Mover, Journal]:
    journal = MortalJournal(directory)
    journal.life = life
    rule = MortalRule(life, world)
    seconds = itertools.count()
    mover = Mover(
        rule, Sight(), journal, PACE, Rounds(None, 1.0), clock=MortalClock(life, world),
        now=lambda: time.time() + next(seconds), pause=lambda s: None,
    )  # fmt: skip
    return mover, journal


def start(mover: Mover, journal: Journal, is_stepwise: bool = False) -> None:
    with mover.watched():
        mover.begin(PLAN, is_stepwise=is_stepwise)
        mover.show_new_side(10.0)
        mover.next_step()
        mover.run()


def stepwise(mover: Mover, journal: Journal) -> None:
    start(mover, journal, is_stepwise=True)


def advance(mover: Mover, journal: Journal) -> None:
    with mover.watched():
        mover.next_step()
        mover.run()


def back(mover: Mover, journal: Journal) -> None:
    mover.go_back("as asked")


def finish(mover: Mover, journal: Journal) -> None:
    mover.finish()


def status(mover: Mover, journal: Journal) -> None:
    mover.recover()


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """That a line is on the disk is not what is tried here."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


def killed(directory, world, script, end) -> bool:
    """Whether it was, before it was through."""
    mover, journal = process(directory, world, Life(end))
    try:
        script(mover, journal)
    except Killed:
        return True
    return False


def copied(directory: Path, world: World, to: Path) -> tuple[Path, World]:
    shutil.copytree(directory, to)
    copy = World()
    copy.actions, copy.clock = world.actions, world.clock
    return to, copy


@pytest.mark.parametrize(
    ("before", "script"),
    [
        ((), start),
        ((), stepwise),
        ((stepwise,), advance),
        ((stepwise, advance), back),
        ((stepwise,), back),
        ((start,), back),
        ((start,), finish),
    ],
    ids=lambda each: each.__name__ if callable(each) else "+".join(x.__name__ for x in each),
)
def test_killed_at_every_moment_and_once_more_while_that_is_undone(tmp_path, before, script):
    ready = tmp_path / "ready", World()
    ready[0].mkdir()
    for each in before:
        each(*process(*ready, Life()))
    for first in range(1, FOREVER):
        left = copied(*ready, tmp_path / f"{first}")
        if not killed(*left, script, first):
            break
        look_that_the_account_does_it_too(*copied(*left, tmp_path / f"{first}-alone"))
        for second in range(1, FOREVER):
            again = copied(*left, tmp_path / f"{first}-{second}")
            is_killed_again = killed(*again, status, second)
            look_that_it_is_undone(script, *again)
            if not is_killed_again:
                break
    assert first > 5


def look_that_the_account_does_it_too(directory, world):
    """With nobody there to run the next command: then its clock goes off."""
    mover, journal = process(directory, world, Life())
    events = [event["event"] for event in journal.events()]
    if journal.state().phase is Phase.MOVING and events[-1] in ("setting", "set"):
        assert world.clock, events
    if not world.clock:
        return
    world.actions, world.clock = ORIGINAL, False
    mover.recover()
    assert journal.state().phase is Phase.BACK, events
    assert are_same(world.actions, ORIGINAL), events


def look_that_it_is_undone(script, directory, world):
    said = [event["event"] for event in Journal(directory).events()]
    mover, journal = process(directory, world, Life())
    mover.recover()
    state = journal.state()
    assert not state.needs_somebody, said
    assert not world.clock, said
    if state.phase in (Phase.NONE, Phase.BACK):
        assert are_same(world.actions, ORIGINAL), said
    elif script is finish:
        if state.phase is not Phase.FINISHED:
            assert state.expects(world.actions), said
            mover.finish()
        assert weights_of(world.actions) == {PLACE.new: 1}, said
    else:
        assert are_same(world.actions, state.live), said
        assert weights_of(world.actions)[PLACE.new] == state.percent > 0, said


def test_a_line_that_the_kill_cut_short_had_not_happened(tmp_path):
    world = World()
    start(*process(tmp_path, world, Life()))
    journal = Journal(tmp_path)
    whole = journal.file.read_bytes()
    for length in range(0, len(whole), 11):
        journal.file.write_bytes(whole[:length])
        lines = whole[:length].count(b"\n")
        # The last line is whole as soon as its brace is there.
        assert lines <= len(journal.events()) <= lines + 1
        assert journal.state().phase in Phase


def test_a_wish_that_was_not_heard_is_not_the_next_ones(tmp_path):
    journal = Journal(tmp_path)
    with journal.locked() as is_ours:
        assert is_ours
        Journal(tmp_path).ask(Asked.ADVANCE)
    with journal.locked():
        assert journal.take_asked() is None
        Journal(tmp_path).ask(Asked.BACK)
        assert journal.take_asked() is Asked.BACK
        assert journal.take_asked() is None


# What is no kill


@pytest.mark.parametrize("refused", [1, 3, 8])
def test_calls_that_are_refused_for_a_while_are_survived(tmp_path, refused):
    """Both a look and the setting of a step: the rule refuses from the first step on."""
    world = World()
    mover, journal = process(tmp_path, world, Life())
    with mover.watched():
        mover.begin(PLAN)
        mover.show_new_side(10.0)
        mover.next_step()
        world.refuses = refused
        mover.run()
    assert journal.state().phase is Phase.CUT_OVER
    assert weights_of(world.actions)[PLACE.new] == 100


def test_refused_for_too_long_it_goes_back_as_soon_as_it_may(tmp_path):
    world = World()
    mover, journal = process(tmp_path, world, Life())
    with mover.watched():
        mover.begin(PLAN)
        mover.show_new_side(10.0)
        mover.next_step()
        world.refuses = 60
        assert mover.run().phase is Phase.BACK
    assert are_same(world.actions, ORIGINAL)
    assert "AWS has refused for" in journal.state().why


def test_refused_for_ever_it_says_what_to_type(tmp_path):
    world = World()
    mover, journal = process(tmp_path, world, Life())
    mover.begin(PLAN)
    mover.show_new_side(10.0)
    mover.next_step()
    world.refuses = FOREVER
    with pytest.raises(CannotGoBack) as raised:
        mover.run()
    assert "aws elbv2 modify-listener" in str(raised.value)
    assert journal.state().phase is Phase.RETURNING
    world.refuses = 0
    assert process(tmp_path, world, Life())[0].recover()
    assert are_same(world.actions, ORIGINAL)


@pytest.mark.parametrize("error", [RuntimeError("a defect"), BrokenPipeError(), SystemExit(143)])
def test_whatever_ends_it_sends_the_traffic_back_first(tmp_path, error):
    world = World()
    mover, journal = process(tmp_path, world, Life())

    def tell(*_):
        raise error

    mover._tell = tell
    with pytest.raises(type(error)), mover.watched():
        mover.begin(PLAN)
        mover.show_new_side(10.0)
        mover.next_step()
        mover.run()
    assert are_same(world.actions, ORIGINAL)
    assert journal.state().phase is Phase.BACK


def test_a_full_disk_does_not_keep_the_traffic_from_going_back(tmp_path, monkeypatch):
    world = World()
    mover, _ = process(tmp_path, world, Life())
    mover.begin(PLAN)
    mover.show_new_side(10.0)
    mover.next_step()

    def is_full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", is_full)
    with pytest.raises(CannotRun, match="back where it was, but the journal"):
        mover.run()
    assert are_same(world.actions, ORIGINAL)


def test_signals_wait_until_it_is_through():
    heard = []
    kept = signal.signal(signal.SIGTERM, lambda *_: heard.append(time.monotonic()))
    try:
        other = threading.Event()
        thread = threading.Thread(target=other.wait, daemon=True)
        thread.start()
        with signals_wait():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            through = time.monotonic()
            assert heard == []
        assert len(heard) == 1
        assert heard[0] > through
        other.set()
    finally:
        signal.signal(signal.SIGTERM, kept)
