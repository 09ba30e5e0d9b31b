"""The account's region, found as AWS's own CLI finds it."""

from __future__ import annotations

import http.server
import threading

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


@pytest.mark.parametrize("config", ["[profile moving\n", "\x00"])
def test_a_broken_configuration_is_told(profile, tmp_path, config):
    (tmp_path / "config").write_text(config)
    with pytest.raises(BadInput, match="config"):
        Access.to_account("moving", "us-east-1").client("ecs")


@pytest.mark.parametrize(
    ("region", "endpoint"), [("us-east-1", "nonsense"), ("us east", "http://127.0.0.1:9")]
)
def test_what_no_client_can_be_made_of(profile, region, endpoint):
    profile.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(BadInput, match="no client of ecs can be made"):
        Access.to_account("moving", region).client("ecs")


def test_a_local_region_is_reached_past_the_proxy(profile):
    """An office's proxy answers for the world; this machine's ports it cannot reach."""
    seen = []

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            body = b'{"clusterArns": [], "region": "us-east-1"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY"):
            profile.setenv(name, "http://127.0.0.1:9")
        profile.delenv("no_proxy", raising=False)
        access = Access(f"http://127.0.0.1:{server.server_port}", "us-east-1")
        assert access.client("ecs").list_clusters()["clusterArns"] == []
        assert access.ask("status")["region"] == "us-east-1"
    finally:
        server.shutdown()
        server.server_close()
    assert seen == ["/", "/_hikkoshi/status"]
