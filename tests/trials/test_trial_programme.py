"""The programme: its order and names, and what becomes of a trial that breaks down."""

from __future__ import annotations

from pathlib import Path

import pytest

from hikkoshi.base.errors import AwsRefused, BadInput, CannotRun, DeadlinePassed
from hikkoshi.model.project import Database, Load, LoadBalancer, OldHome, Project, Settings
from hikkoshi.model.trials import Outcome
from hikkoshi.trials import programme
from hikkoshi.trials.context import Context, result
from hikkoshi.trials.home import NewHome
from hikkoshi.trials.names import NAMES, choose
from hikkoshi.trials.overload import _say_knee
from hikkoshi.trials.pace import Pace
from hikkoshi.trials.programme import PROGRAMME, Trial, run_programme, trials_named

WHOLE = {
    "deployments": [{"rolloutState": "COMPLETED"}],
    "runningCount": 1,
    "desiredCount": 1,
}


class SteadyEcs:
    """Not a region: ECS that says of the service that it is whole, or refuses to say anything."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def client(self, service: str) -> SteadyEcs:
        return self

    def describe_services(self, **_: object) -> dict[str, object]:
        if self._error is not None:
            raise self._error
        return {"services": [WHOLE]}

    def list_tasks(self, **_: object) -> dict[str, object]:
        return {"taskArns": ["arn"]}

    def describe_tasks(self, **_: object) -> dict[str, object]:
        return {"tasks": [{"lastStatus": "RUNNING"}]}


class Told:
    """Recorder and progress in one: keeps what it is told."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[str, object]]] = []
        self.told: list[tuple[str, str]] = []

    def record(self, table: str, **row: object) -> None:
        self.rows.append((table, row))

    def say(self, text: str) -> None:
        self.told.append(("say", text))

    def trial_started(self, name: str, title: str, expected_s: float) -> None:
        self.told.append(("started", name))

    def live(self, name: str, live: object) -> None: ...

    def trial_ended(self, done) -> None:
        self.told.append(("ended", done.name))


def project_of(*, containers=(), service=None, **settings) -> Project:
    definition = {"containerDefinitions": list(containers) or [{"name": "app"}]}
    return Project(Path("."), Settings(**settings), definition, service or {}, "app")


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def context(tmp_path, told):
    project = project_of()
    access = SteadyEcs()
    home = NewHome(
        access, project, "c", "app", project.task_definition, "arn", "app", None, None, (), tmp_path
    )
    return Context(home, project, Pace.quick(), told, told, tmp_path)


def trial(name, run, why_not=None):
    return Trial(name, f"title of {name}", run, lambda pace: 1.0, lambda project: why_not)


def held(name):
    return lambda context: result(name, name, 0.0, Outcome.HELD, "well")


def breaking(error):
    def run(context):
        raise error

    return run


def test_the_programme_has_the_names_in_their_order():
    assert tuple(each.name for each in PROGRAMME) == NAMES
    assert len(set(NAMES)) == len(NAMES)


def test_every_trial_has_a_title_and_expects_some_time():
    assert all(each.title for each in PROGRAMME)
    for pace in (Pace.full(), Pace.quick()):
        assert all(each.expected_s(pace) > 0 for each in PROGRAMME)


@pytest.mark.parametrize(
    ("only", "skip", "expected"),
    [
        ((), (), NAMES),
        (("soak", "steady"), (), ("steady", "soak")),
        ((), NAMES[1:], NAMES[:1]),
        (("soak", "steady"), ("soak",), ("steady",)),
    ],
)
def test_trials_are_chosen_in_the_programmes_order(only, skip, expected):
    assert choose(only, skip) == expected
    assert tuple(each.name for each in trials_named(choose(only, skip))) == expected


@pytest.mark.parametrize(
    ("only", "skip", "words"),
    [
        (("no-such",), (), "there is no trial 'no-such'"),
        ((), ("Steady",), "there is no trial 'Steady'"),
        ((), NAMES, "no trial is left"),
        (("steady",), ("steady",), "no trial is left"),
    ],
)
def test_what_cannot_be_chosen_is_refused(only, skip, words):
    with pytest.raises(BadInput, match=words) as caught:
        choose(only, skip)
    assert caught.value.fix


@pytest.mark.parametrize(
    "error",
    [AwsRefused("ecs:X was refused"), CannotRun("no more"), DeadlinePassed("it did not happen")],
)
def test_a_trial_that_breaks_down_is_broke_and_the_next_still_runs(context, told, error):
    results = run_programme(context, [trial("a", breaking(error)), trial("b", held("b"))])
    assert [(r.name, r.outcome, r.reason) for r in results] == [
        ("a", Outcome.BROKE, error.what),
        ("b", Outcome.HELD, "well"),
    ]
    assert results[0].title == "title of a"
    assert told.told == [("started", "a"), ("ended", "a"), ("started", "b"), ("ended", "b")]
    assert [(t, r["name"], r["outcome"]) for t, r in told.rows] == [
        ("trials", "a", "broke"),
        ("trials", "b", "held"),
    ]


def test_bad_input_ends_the_programme(context):
    with pytest.raises(BadInput, match="that line"):
        run_programme(context, [trial("a", breaking(BadInput("that line"))), trial("b", held("b"))])


def test_what_has_nothing_to_try_is_not_tried_and_not_held_against_it(context):
    (done,) = run_programme(context, [trial("a", breaking(AssertionError), "there is no load")])
    assert (done.outcome, done.reason, done.is_applicable) == (
        Outcome.NOT_TRIED,
        "there is no load",
        False,
    )


def test_a_service_that_is_not_whole_between_trials_is_told(context, told, monkeypatch):
    monkeypatch.setattr(programme, "BETWEEN_DEADLINE_S", 0.0)
    monkeypatch.setitem(WHOLE, "runningCount", 0)
    results = run_programme(context, [trial("a", held("a"))])
    assert results[0].outcome is Outcome.HELD
    assert ("say", "the service whole did not happen within 0 s") in told.told


LOAD, DATABASE = Load("targets.http"), Database("c", "n", "u")
BEHIND = {"loadBalancers": [{"containerName": "app"}]}
ROUTER = {"name": "r", "firelensConfiguration": {"type": "fluentbit"}}
OLD = OldHome("image", ("run",), 80, "/app")
LOADED = {"load": LOAD, "service": BEHIND}


@pytest.mark.parametrize(
    ("name", "made", "why"),
    [
        ("synthetic", {}, "no `synthetic:`"),
        ("synthetic", {"synthetic": "tests.yaml"}, None),
        ("steady", {}, "no `load:`"),
        ("steady", {"load": LOAD}, "behind no load balancer"),
        ("steady", LOADED, None),
        ("one-by-one", LOADED, "no `database:`"),
        ("one-by-one", {**LOADED, "database": DATABASE}, None),
        ("failover", LOADED, "no `database:`"),
        ("failover", {"database": DATABASE}, "no `load:`"),
        ("router-crash", LOADED, "no log router"),
        ("router-crash", {**LOADED, "containers": [ROUTER]}, None),
        ("router-crash", {"containers": [ROUTER]}, "no `load:`"),
        ("scp-swap", LOADED, "no `old_home:`"),
        ("scp-swap", {**LOADED, "old_home": OLD}, None),
        ("scp-swap", {"old_home": OLD}, "no `load:`"),
        ("kill-task", {"load_balancer": LoadBalancer("t")}, "no `load:`"),
    ],
)
def test_what_a_trial_needs(name, made, why):
    (found,) = trials_named([name])
    said = found.why_not(project_of(**made))
    assert (said is None) is (why is None)
    if why is not None:
        assert why in str(said)


@pytest.mark.parametrize(
    ("knee", "broke_at", "words"),
    [
        (None, None, "nothing was learned"),
        (240.0, None, "no knee up to 240/s, the most tried"),
        (None, 120.0, "the knee lies below 120/s: no rate that was tried kept the limits"),
        (120.0, 240.0, "the knee lies between 120/s and 240/s"),
    ],
)
def test_what_overload_says_of_the_knee(knee, broke_at, words):
    assert _say_knee(knee, broke_at) == words
