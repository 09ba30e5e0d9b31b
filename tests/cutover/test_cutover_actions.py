"""A rule's actions: weights that always sum to 100, and what counts as someone else's change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.cutover.actions import (
    are_same,
    name_of,
    only_to,
    say,
    stickiness_of,
    to_ask,
    weights_of,
    with_weights,
)

BASE = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup"
OLD, NEW = f"{BASE}/web-old/0123456789abcdef", f"{BASE}/web-new/fedcba9876543210"

# As an account describes a rule that was made with TargetGroupArn alone.
PLAIN = [
    {
        "Type": "forward",
        "TargetGroupArn": OLD,
        "Order": 1,
        "ForwardConfig": {
            "TargetGroups": [{"TargetGroupArn": OLD, "Weight": 1}],
            "TargetGroupStickinessConfig": {"Enabled": False},
        },
    }
]
STICKY = [
    {
        "Type": "authenticate-oidc",
        "Order": 1,
        "AuthenticateOidcConfig": {"ClientId": "a", "Scope": "openid"},
    },
    {
        "Type": "forward",
        "Order": 2,
        "ForwardConfig": {
            "TargetGroups": [
                {"TargetGroupArn": OLD, "Weight": 10},
                {"TargetGroupArn": NEW, "Weight": 0},
            ],
            "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 60},
        },
    },
]


@given(st.sampled_from([PLAIN, STICKY]), st.integers(0, 100))
def test_the_weights_are_the_per_cent_and_the_rest_stays(original, percent):
    changed = with_weights(original, OLD, NEW, percent)
    weights = weights_of(changed)
    assert weights == {OLD: 100 - percent, NEW: percent}
    assert sum(weights.values()) == 100
    assert stickiness_of(changed) == stickiness_of(original)
    assert [a["Type"] for a in changed] == [a["Type"] for a in original]
    assert "TargetGroupArn" not in changed[-1]
    assert are_same(changed, with_weights(changed, OLD, NEW, percent))
    assert are_same(changed, original) is False


def test_the_original_is_not_altered():
    before = repr(STICKY)
    with_weights(STICKY, OLD, NEW, 30)
    only_to(STICKY, OLD, NEW)
    to_ask(STICKY)
    assert repr(STICKY) == before


def test_an_authentication_keeps_its_secret_which_is_never_described():
    assert to_ask(STICKY)[0]["AuthenticateOidcConfig"]["UseExistingClientSecret"] is True


def test_the_same_in_another_spelling_is_the_same():
    assert are_same(PLAIN, [{"Type": "forward", "TargetGroupArn": OLD}])
    assert not are_same(PLAIN, [{"Type": "forward", "TargetGroupArn": NEW}])
    one, other = with_weights(PLAIN, OLD, NEW, 25), with_weights(PLAIN, NEW, OLD, 75)
    assert are_same(one, other)
    off = with_weights(STICKY, OLD, NEW, 25)
    off[1]["ForwardConfig"]["TargetGroupStickinessConfig"] = {"Enabled": False}
    assert not are_same(off, with_weights(STICKY, OLD, NEW, 25))


def test_all_for_the_new_side():
    assert weights_of(only_to(STICKY, OLD, NEW)) == {NEW: 1}
    assert stickiness_of(only_to(STICKY, OLD, NEW)) == 60


def test_it_is_said_in_one_line():
    assert say(with_weights(PLAIN, OLD, NEW, 25)) == "forward web-old 75, web-new 25"
    assert say(STICKY) == (
        "authenticate-oidc then forward web-old 10, web-new 0, clients kept for 60 s"
    )
    assert name_of("arn:aws:elasticloadbalancing:r:1:loadbalancer/app/web/0a") == "web"
