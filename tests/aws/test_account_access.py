"""The account's region, found as AWS's own CLI finds it."""

from __future__ import annotations

import pytest

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import BadInput


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """A profile with a region of its own, and no variable of AWS's."""
    config = tmp_path / "config"
    config.write_text("[profile moving]\nregion = eu-west-1\n[profile bare]\noutput = json\n")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "given", "found"),
    [
        ({}, None, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "us-west-2"}, None, "us-west-2"),
        ({"AWS_REGION": "us-east-1"}, None, "us-east-1"),
        ({"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-west-2"}, None, "us-east-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-west-2"}, None, "us-west-2"),
        ({"AWS_REGION": "us-east-1"}, "ap-south-1", "ap-south-1"),
    ],
)
def test_the_region_of_an_account(profile, variables, given, found):
    for name, value in variables.items():
        profile.setenv(name, value)
    access = Access.to_account("moving", given)
    assert access.region == found
    assert access.client("ecs").meta.region_name == found


def test_no_region_is_told_with_its_cure(profile):
    with pytest.raises(BadInput, match="set AWS_REGION"):
        Access.to_account("bare")
