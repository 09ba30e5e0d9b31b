"""Which region a cutover goes to: what is given, else what hikkoshi.yaml names."""

from __future__ import annotations

import pytest

from hikkoshi.cli.cutover_setup import reach


@pytest.mark.parametrize(
    ("given", "written", "expected"),
    [
        (None, "region: eu-west-1\n", "eu-west-1"),
        ("us-east-1", "region: eu-west-1\n", "us-east-1"),
        (None, "service: web\n", "ap-southeast-2"),
        (None, "region: [\n", "ap-southeast-2"),
        (None, None, "ap-southeast-2"),
    ],
)
def test_the_region(tmp_path, monkeypatch, given, written, expected):
    monkeypatch.setenv("AWS_REGION", "ap-southeast-2")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    if written is not None:
        (tmp_path / "hikkoshi.yaml").write_text(written)
    assert reach(False, None, given, tmp_path).region == expected
