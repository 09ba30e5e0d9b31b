"""Target tracking and schedules, as tables."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.region.autoscaling.decisions import Policy, Scaling, Target, decide
from hikkoshi.region.autoscaling.schedule import BadSchedule, read_schedule

NOW = 10_000.0


def cpu(*points, **more):
    return Policy("cpu", 50.0, points, **more)


def low(value, **more):
    return cpu(*[value] * 15, **more)


@pytest.mark.parametrize(
    ("changes", "desired", "why"),
    [
        ({"policies": (cpu(80, 80, 80),)}, 7, "4 tasks at 80 % of 50 % want 6.4"),
        ({"policies": (cpu(80, 80),)}, None, "two datapoints are no alarm"),
        ({"policies": (cpu(80, None, 80),)}, None, "a missing one is none"),
        ({"policies": (cpu(80, 50, 80),)}, None, "at the target is not above it"),
        ({"policies": (cpu(50.1, 50.1, 50.1),)}, 5, "a little above is one more"),
        ({"policies": (cpu(500, 500, 500),)}, 10, "never above the maximum"),
        ({"policies": (cpu(80, 80, 80),), "is_scale_out_suspended": True}, None, "suspended"),
        ({"policies": (cpu(80, 80, 80), Policy("rpt", 10, (30.0,) * 3))}, 10, "the larger wins"),
        ({"policies": (cpu(80, 80, 80), Policy("rpt", 10, (1.0,) * 15))}, 7, "one is enough"),
        ({"policies": (low(10),)}, 2, "4 tasks at 10 % need 0.8, the minimum is 2"),
        ({"policies": (low(30),)}, 3, "4 tasks at 30 % need 2.4"),
        ({"policies": (low(46),)}, None, "not below 90 % of the target"),
        ({"policies": (cpu(*[10] * 14),)}, None, "14 datapoints are no alarm"),
        ({"policies": (low(10, is_scale_in_disabled=True),)}, None, "scale-in is disabled"),
        ({"policies": (low(10),), "is_scale_in_suspended": True}, None, "suspended"),
        ({"policies": (low(10), Policy("rpt", 10, (9.5,) * 15))}, None, "in only if all agree"),
        ({"policies": (low(10), Policy("rpt", 10, (7.0,) * 15))}, 3, "the hungrier decides"),
        ({"policies": (low(10), Policy("x", 10, (99.0,) * 15, is_scale_in_disabled=True))},
         10, "a policy without scale-in still scales out"),
        ({"policies": (low(10),), "scaled_in_at": NOW - 299}, None, "in the cooldown"),
        ({"policies": (low(10),), "scaled_in_at": NOW - 300}, 2, "after it"),
        ({"policies": (low(10),), "scaled_out_at": NOW - 100}, None, "a scale-out cools too"),
        ({"policies": (cpu(80, 80, 80),), "scaled_in_at": NOW - 1}, 7, "out at once after in"),
        ({"policies": (cpu(80, 80, 80),), "scaled_out_at": NOW - 1, "running": 3}, None,
         "the last scale-out is still on its way"),
        ({"policies": (cpu(80, 80, 80),), "scaled_out_at": NOW - 1}, 7, "beyond the last one"),
        ({"policies": (cpu(80, 80, 80),), "running": 0}, None, "no task, no average"),
        ({"desired": 1, "running": 1}, 2, "below the minimum"),
        ({"desired": 12, "running": 12}, 10, "above the maximum"),
        ({}, None, "nothing to do"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_how_many(changes, desired, why):
    target = Target(**{"minimum": 2, "maximum": 10, "desired": 4, "running": 4, **changes})
    found = decide(target, NOW)
    assert (found.desired if found else None) == desired, why


def test_a_bound_says_which():
    assert decide(Target(3, 9, 1, 1), NOW) == Scaling(3, "minimum capacity was set to 3")
    assert decide(Target(3, 9, 11, 1), NOW) == Scaling(9, "maximum capacity was set to 9")


POINTS = st.lists(st.none() | st.floats(0, 1e6), max_size=20).map(tuple)
POLICIES = st.lists(
    st.builds(
        Policy, st.just("p"), st.floats(0.1, 1e4), POINTS, st.booleans(),
        st.floats(0, 600), st.floats(0, 600),
    ),
    max_size=3,
).map(tuple)  # fmt: skip


@given(
    bounds=st.tuples(st.integers(0, 50), st.integers(0, 50)).map(sorted),
    desired=st.integers(0, 60), running=st.integers(0, 60), policies=POLICIES,
    at=st.none() | st.floats(0, NOW),
)  # fmt: skip
def test_whatever_is_measured_the_bounds_hold_and_it_comes_to_rest(
    bounds, desired, running, policies, at
):
    minimum, maximum = bounds
    target = Target(minimum, maximum, desired, running, policies, scaled_out_at=at)
    found = decide(target, NOW)
    if found is None:
        assert minimum <= desired <= maximum
        return
    assert minimum <= found.desired <= maximum
    assert found.desired != desired
    # With its tasks there and the metrics unchanged in sum, a second look asks for no more than
    # the bounds, and never goes back the way it came.
    again = decide(Target(minimum, maximum, found.desired, running, policies), NOW)
    if again is not None:
        assert (again.desired > found.desired) == (found.desired > desired)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "zone", "after", "now", "due"),
    [
        ("at(2026-11-24T10:00:00)", None, "2026-11-24T09:59:00", "2026-11-24T10:00:00", True),
        ("at(2026-11-24T10:00:00)", None, "2026-11-24T10:00:00", "2026-11-24T11:00:00", False),
        ("at(2026-11-24T10:00)", "Asia/Tokyo", "2026-11-24T00:59:00", "2026-11-24T01:00:00", True),
        ("rate(5 minutes)", None, "2026-11-24T00:04:00", "2026-11-24T00:05:00", True),
        ("rate(5 minutes)", None, "2026-11-24T00:05:00", "2026-11-24T00:09:59", False),
        ("cron(0 9 ? * MON-FRI *)", None, "2026-11-24T08:59:30", "2026-11-24T09:00:01", True),
        ("cron(0 9 ? * SUN *)", None, "2026-11-24T08:59:30", "2026-11-24T09:00:01", False),
        ("cron(*/15 * * * ? *)", None, "2026-11-24T08:44:59", "2026-11-24T08:45:00", True),
        ("cron(*/15 * * * ? *)", None, "2026-11-24T08:45:00", "2026-11-24T08:59:59", False),
        ("cron(0 18 * * ? *)", "Asia/Tokyo", "2026-11-24T08:59:00", "2026-11-24T09:00:00", True),
        ("cron(0 0 1 JAN ? 2027)", None, "2026-12-31T23:59:00", "2027-01-01T00:00:00", True),
    ],
)  # fmt: skip
def test_when_a_schedule_is_due(text, zone, after, now, due):
    schedule = read_schedule(text, zone)
    assert schedule.is_due(at(after), at(now), at("2026-11-24T00:00:00")) is due


@pytest.mark.parametrize(
    "text",
    ["", "every day", "at(tomorrow)", "at(2026-13-01T00:00:00)", "rate(0 minutes)", "rate(1 week)",
     "cron(* * *)", "cron(61 * * * ? *)", "cron(0 9 L * ? *)", "cron(0 9 ? * 2#1 *)"],
)  # fmt: skip
def test_a_schedule_that_is_none_is_refused(text):
    with pytest.raises(BadSchedule):
        read_schedule(text)


def test_a_timezone_that_is_none_is_refused():
    with pytest.raises(BadSchedule, match="no timezone"):
        read_schedule("rate(1 minute)", "Mars/Olympus")
