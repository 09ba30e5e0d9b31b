"""hikkoshi cutover, a real process against a real load balancer, killed at 20 random moments.

CUTOVER_SEED=n tries other moments, CUTOVER_KILLS=n more of them.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass

from between import Moment, killing
from cutover_house import Load, Sides, wait
from zygote import Command

from hikkoshi.cutover.actions import are_same, say
from hikkoshi.cutover.journal import Journal
from hikkoshi.cutover.state import Phase, State

SEED = int(os.environ.get("CUTOVER_SEED", "2011"))
KILLS = int(os.environ.get("CUTOVER_KILLS", "20"))

START = ("start", "--from", "web-old", "--to", "web-new", "--abort-on", "errors>1%",
         "--least-requests", "1", "--hold-at-most", "60s")  # fmt: skip
STEPS = (*START, "--steps", "10,30,60,100", "--hold", "0.1s")
HELD = (*START, "--steps", "10,100", "--hold", "60s")
RESTING = (*START, "--steps", "10,50,100", "--hold", "0s", "--stepwise")
WHOLE = (*START, "--steps", "100", "--hold", "0s")


@dataclass(frozen=True)
class Scene:
    """before: what is carried through first; killed: the command that is; calls: at which of its
    calls at the latest; told: what another process asks of it meanwhile."""

    name: str
    before: tuple[tuple[str, ...], ...]
    killed: tuple[str, ...]
    calls: int
    told: str | None = None


SCENES = (
    Scene("start", (), STEPS, 44),
    Scene("start, held", (), HELD, 34, "hold"),
    Scene("start, told to advance", (), HELD, 34, "advance"),
    Scene("start, told to go back", (), HELD, 30, "back"),
    Scene("advance", (RESTING,), ("advance",), 10),
    Scene("back while it rests", (RESTING,), ("back",), 5),
    Scene("back after the cutover", (WHOLE,), ("back",), 5),
    Scene("finish", (WHOLE,), ("finish", "--warm", "0"), 5),
)
FIRST_STEP = 21
"""By this call of a start the first step is set: the checklist takes some ten."""


def moments(seed: int) -> Iterator[tuple[Scene, Moment, str]]:
    """Each scene once, then the longer ones; and with which command one goes on."""
    dice = random.Random(seed)
    for number in itertools.count():
        scene = SCENES[number] if number < len(SCENES) else dice.choice(SCENES[:5])
        first = FIRST_STEP if scene.told else 1
        moment = Moment(
            dice.randint(first, scene.calls),
            dice.choice(("before", "after", "later")),
            dice.uniform(0.0, 0.05),
        )
        yield scene, moment, dice.choice(("status", "back", "start"))


def test_killed_at_20_random_moments_the_next_command_ends_it_well(sides: Sides) -> None:
    print(f"CUTOVER_SEED={SEED}")
    top, kills = sides.project, 0
    with Load(sides, rate=40) as load:
        for number, (scene, moment, following) in enumerate(moments(SEED)):
            if kills == KILLS:
                break
            assert number < 3 * KILLS, "too many were through before they could be killed"
            said = f"seed {SEED}, {number}: {scene.name}, {moment}, then {following}"
            print(said)
            sides.project = top / str(number)
            sides.project.mkdir()
            for words in scene.before:
                code, out, err = sides.run(*words)
                assert code == 0, (said, out, err)
            kills += kill_in(sides, scene, moment)
            look_at_what_is_left(sides, said)
            go_on(sides, following, said)
            assert load.failed == [], said
            sides.as_it_was()
    assert len(load.statuses) > KILLS


def kill_in(sides: Sides, scene: Scene, moment: Moment) -> bool:
    """Whether it was killed. A command may be through before its moment comes; what it leaves has
    to be in order all the same."""
    victims: list[Command] = []
    with killing(sides.url, moment, lambda: victims[0].kill()) as proxy:
        # The first call comes long after the fork has answered with its pid, but not for sure.
        with proxy.lock:
            victims.append(sides.start(*scene.killed, url=proxy.url))
        if scene.told is not None:
            wait(lambda: proxy.calls >= FIRST_STEP - 1 or proxy.has_killed.is_set(), "the watch")
            asker = sides.start(scene.told)
        wait(lambda: proxy.has_killed.is_set() or victims[0].poll() is not None, str(moment), 60.0)
        wait(lambda: victims[0].poll() is not None, "its end")
        if scene.told is not None:
            # `back` outlives the one that it asked, and does it itself.
            asker.communicate()
            assert asker.returncode in (0, 1, 2), asker.said()
        return victims[0].returncode == -signal.SIGKILL


def state_of(sides: Sides) -> State:
    return Journal(sides.project / ".hikkoshi" / "cutover").state()


def live_of(sides: Sides) -> list:
    found = sides.elb.describe_listeners(ListenerArns=[sides.listener])["Listeners"][0]
    return list(found["DefaultActions"])


def look_at_what_is_left(sides: Sides, said: str) -> None:
    """Each line of the journal can be read but for a last one that was cut short; and the rule is
    what one of them was about to set, or as it was."""
    live = live_of(sides)
    journal = Journal(sides.project / ".hikkoshi" / "cutover")
    if journal.file is None:
        assert say(live) == "forward web-old 1", said
        return
    *whole, last = journal.file.read_bytes().split(b"\n")
    for line in whole:
        json.loads(line)
    assert len(journal.events()) >= len(whole), (said, last)
    known = [e["actions"] for e in journal.events() if "actions" in e]
    assert any(are_same(live, each) for each in known) or not known, (said, say(live))


def go_on(sides: Sides, following: str, said: str) -> None:
    """The next command undoes what needs to be, and leaves what is meant to stay."""
    before = state_of(sides)
    words = WHOLE if following == "start" else (following,)
    code, out, err = sides.run(*words)
    after = state_of(sides)
    said = f"{said}: {before.phase} -> {after.phase}: {code} {out} {err}"
    assert not after.needs_somebody, said
    assert "Traceback" not in err, said
    if before.needs_somebody:
        assert after.phase is Phase.BACK, said
        assert code == (0 if following == "back" else 1), said
    elif before.phase in (Phase.NONE, Phase.BACK) and following == "start":
        assert after.phase is Phase.CUT_OVER, said
    elif not before.is_over and following == "back":
        assert (after.phase, code) == (Phase.BACK, 0), said
    else:
        assert after.phase is before.phase, said
    if after.phase in (Phase.BACK, Phase.NONE):
        assert say(live_of(sides)) == "forward web-old 1", said
    elif not after.unsure:
        assert are_same(live_of(sides), after.live), said
    else:
        assert after.expects(live_of(sides)), said
        assert sides.run("finish", "--warm", "0")[0] == 0, said
        assert state_of(sides).phase is Phase.FINISHED, said
