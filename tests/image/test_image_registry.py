"""To a registry and back. The registry is Debian's `docker-registry`, which we did not write."""

from __future__ import annotations

import base64
import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from urllib.parse import quote

import boto3
import pytest
from command import Command

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import BadInput
from hikkoshi.image.registry import Reference, docker_login
from hikkoshi.region.boot.docker_socket import ask_docker, docker_socket
from two_engines import need

REGISTRY = shutil.which("docker-registry")
CONFIGURATION = """
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {where}/store}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}", secret: test}}
{auth}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.fixture
def registry(tmp_path, request):
    if REGISTRY is None:
        pytest.skip("docker-registry (Debian's package) is not installed: nothing to push to")
    port, auth = free_port(), ""
    if getattr(request, "param", None):
        # bcrypt of "secret", as htpasswd -B makes it.
        (tmp_path / "htpasswd").write_text(request.param + "\n")
        auth = f"auth: {{htpasswd: {{realm: test, path: {tmp_path}/htpasswd}}}}"
    file = tmp_path / "registry.yml"
    file.write_text(CONFIGURATION.format(where=tmp_path, port=port, auth=auth))
    with subprocess.Popen(
        [REGISTRY, "serve", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the registry never listened"
                assert process.poll() is None, "the registry ended"
                time.sleep(0.05)
        yield f"127.0.0.1:{port}"
        process.terminate()


@pytest.fixture
def hikkoshi(tmp_path):
    return Command(tmp_path / "home")


@pytest.fixture
def built(tmp_path, hikkoshi):
    said = hikkoshi("image", "build", "--program", "/bin/true", "-t", "t:1", "-o",
                    tmp_path / "t.tar", "--json")  # fmt: skip
    assert said.code == 0, said.err
    return tmp_path / "t.tar", json.loads(said.out)["built"][0]["digest"]


def test_what_is_pushed_can_be_pulled(tmp_path, hikkoshi, registry, built):
    archive, digest = built
    said = hikkoshi("image", "push", archive, f"{registry}/team/t:1")
    assert said.out == f"{registry}/team/t@{digest}\n", said.err
    url = f"http://{registry}/v2/team/t/tags/list"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert json.load(answer)["tags"] == ["1"]
    again = hikkoshi("image", "push", archive, f"{registry}/team/t:2")
    assert again.code == 0
    said = hikkoshi("image", "pull", f"{registry}/team/t:1", "--oci", tmp_path / "back")
    assert said.out == f"{digest}\n", said.err
    by_digest = hikkoshi("image", "pull", f"{registry}/team/t@{digest}", "--oci", tmp_path / "b2")
    assert by_digest.out == f"{digest}\n", by_digest.err
    seen = json.loads(hikkoshi("image", "inspect", tmp_path / "back", "--json").out)
    assert seen[0]["digest"] == digest
    assert seen[0]["config"]["Entrypoint"] == ["/bin/true"]


@pytest.mark.region
def test_what_is_pushed_runs_on_docker(tmp_path, hikkoshi, registry):
    """Docker pulls the true image: its own root and settings, nothing of the machine's."""
    need("docker")
    name = f"{registry}/team/sleep:1"
    said = hikkoshi("image", "build", "--program", "/bin/sleep", "--shell", "-t", name, "-o",
                    tmp_path / "s.tar", "--json")  # fmt: skip
    assert said.code == 0, said.err
    assert hikkoshi("image", "push", tmp_path / "s.tar", name).code == 0
    up = hikkoshi("up", "-d", "--port", "0", "--fast", "--engine", "docker", "--json")
    assert up.code == 0, up.err
    url = json.loads(up.out)["api_url"]
    try:
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
        ecs, ec2 = (
            boto3.client(one, endpoint_url=url, region_name="ap-northeast-1", **keys)
            for one in ("ecs", "ec2")
        )
        ecs.create_cluster(clusterName="default")
        subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        ecs.register_task_definition(
            family="true", networkMode="awsvpc", requiresCompatibilities=["FARGATE"],
            cpu="256", memory="512",
            containerDefinitions=[{"name": "app", "image": name, "command": ["600"]}],
        )  # fmt: skip
        arn = ecs.run_task(
            taskDefinition="true", launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
        )["tasks"][0]["taskArn"]  # fmt: skip
        ecs.get_waiter("tasks_running").wait(
            tasks=[arn], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        (container,) = ecs.describe_tasks(tasks=[arn])["tasks"][0]["containers"]
        script = (
            "test -e /usr/bin/python3 || echo none; while read l; do echo $l; done < /etc/hosts"
        )
        body = {"task": arn, "container": "app", "command": ["/bin/sh", "-c", script]}
        said = Access(url, "ap-northeast-1").ask("execute", body, timeout_s=60)
    finally:
        hikkoshi("down")
        socket_path = docker_socket(os.environ) or ""
        ask_docker(socket_path, "DELETE", f"/images/{quote(name, safe='')}?force=1")
    assert container["imageDigest"].startswith("sha256:")
    address = container["networkInterfaces"][0]["privateIpv4Address"]
    assert said["output"].splitlines()[0] == "none", said
    assert address in said["output"]


def test_what_is_not_there(tmp_path, hikkoshi, registry):
    said = hikkoshi("image", "pull", f"{registry}/team/none:1", "--oci", tmp_path / "x")
    assert said.code == 3
    assert f"{registry}/team/none has no '1'" in said.err


@pytest.mark.parametrize(
    "registry",
    ["user:$2y$05$4.Rce79bcZ0qpgGgzAO/OuHC8.xoAyGQBn5VyUwzjZnQ32Rr6nO6."],
    indirect=True,
)
def test_a_registry_that_lets_nobody_in(tmp_path, hikkoshi, registry, built):
    archive, _ = built
    said = hikkoshi("image", "push", archive, f"{registry}/t:1")
    assert said.code == 3
    assert "does not let us in (401)" in said.err
    assert "docker login" in said.err


class Guarded(http.server.BaseHTTPRequestHandler):
    """Asks for a token, gives it for the right name, and notes what was shown to it."""

    shown: list[tuple[str, str | None]]

    def do_GET(self):
        given = self.headers.get("Authorization")
        type(self).shown.append((self.path.partition("?")[0], given))
        if self.path.startswith("/token"):
            expected = "Basic " + base64.b64encode(b"me:secret").decode()
            return self.answer(200 if given == expected else 401, b'{"token": "T"}')
        if given != "Bearer T":
            self.send_response(401)
            here = f"http://{self.headers['Host']}/token"
            self.send_header("WWW-Authenticate", f'Bearer realm="{here}",service="s",scope="x"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        return self.answer(404, b"{}")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_a_token_is_fetched_with_what_docker_login_kept(tmp_path, hikkoshi):
    Guarded.shown = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guarded) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_address[1]}"
        docker = hikkoshi.home / ".docker"
        docker.mkdir()
        kept = base64.b64encode(b"me:secret").decode()
        (docker / "config.json").write_text(json.dumps({"auths": {host: {"auth": kept}}}))
        said = hikkoshi("image", "pull", f"{host}/t:1", "--oci", tmp_path / "x")
        server.shutdown()
    assert "has no '1'" in said.err, said.all
    assert "secret" not in said.all
    paths = [path for path, _ in Guarded.shown]
    assert paths == ["/v2/t/manifests/1", "/token", "/v2/t/manifests/1"]


@pytest.mark.parametrize(
    ("name", "host", "repository", "version", "is_local"),
    [
        ("nginx", "registry-1.docker.io", "library/nginx", "latest", False),
        ("localhost:5000/a/b:1", "localhost:5000", "a/b", "1", True),
        ("[::1]:5000/a:1", "[::1]:5000", "a", "1", True),
        ("x.example/a:1@sha256:00", "x.example", "a", "sha256:00", False),
    ],
)
def test_references(name, host, repository, version, is_local):
    found = Reference.parse(name)
    assert (found.host, found.repository, found.version) == (host, repository, version)
    assert found.is_on_loopback is is_local


@pytest.mark.parametrize("name", ["a/../b", "x.example/A:1", "x.example/a b", "x.example/a?b=1"])
def test_names_that_are_none(name):
    with pytest.raises(BadInput):
        Reference.parse(name)


@pytest.mark.parametrize("text", ["", "[]", '{"auths": {"h": {"auth": "!"}}}', '{"auths": null}'])
def test_a_login_file_that_says_nothing(text):
    assert docker_login("h", text) is None


def test_wrong_use(tmp_path, hikkoshi):
    (tmp_path / "x.tar").write_bytes(b"none")
    assert hikkoshi("image", "push", tmp_path / "x.tar", "localhost:1/t:1").code == 3
    (tmp_path / "empty").mkdir()
    said = hikkoshi("image", "push", tmp_path / "empty", "localhost:1/t:1")
    assert (said.code, "is no OCI layout" in said.err) == (2, True)
    said = hikkoshi("image", "pull", f"localhost:{free_port()}/t:1", "--oci", tmp_path / "y")
    assert (said.code, "cannot be reached" in said.err) == (3, True)
