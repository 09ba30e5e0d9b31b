"""nginx before the application: what becomes of its configuration, and that it serves in a task."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest

from hikkoshi.plan.front import in_a_task
from hikkoshi.plan.front_nginx import NGINX as SERVER
from hikkoshi.plan.front_server import Served
from hikkoshi.project.load import load_project

HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin")
MAIN = """user www-data;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events { worker_connections 64; }
http {
    access_log /var/log/nginx/access.log;
    include /etc/nginx/conf.d/*.conf;
}
"""
SITE = """upstream app { server 127.0.0.1:8123; }
server { listen 80; return 301 https://$host$request_uri; }
server {
    listen 8443 ssl http2;
    listen [::]:8443 ssl;
    ssl_certificate /etc/ssl/site.pem;
    # proxy_pass http://127.0.0.1:9;
    location / { proxy_pass http://app; add_header X-Front nginx; }
    location /old { return 410; }
}
"""
APP = """import http.server
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"the application")
http.server.ThreadingHTTPServer(("127.0.0.1", 8123), H).serve_forever()
"""


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("  access_log /var/log/nginx/a.log main;", "  access_log /dev/stdout main;"),
        ("error_log /var/log/e.log warn;", "error_log /dev/stderr warn;"),
        ("access_log off;", "access_log off;"),
        ("listen 443 ssl http2 default_server;", "listen 443 default_server;"),
        ("listen [::]:80;", "# listen [::]:80;"),
        ("ssl_certificate /x.pem;", "# ssl_certificate /x.pem;"),
        ("include /etc/letsencrypt/options-ssl-nginx.conf;",
         "# include /etc/letsencrypt/options-ssl-nginx.conf;"),
        ("# listen 443 ssl;", "# listen 443 ssl;"),
        ("proxy_pass http://127.0.0.1:8000;", "proxy_pass http://127.0.0.1:8000;"),
    ],
)  # fmt: skip
def test_a_line_in_a_task(line: str, changed: str) -> None:
    text, told = in_a_task(SERVER, f"a;\n{line}\n", "/etc/nginx/x")
    assert text == f"a;\n{changed}\n"
    assert [words.partition(" ")[0] for words in told] == (
        ["/etc/nginx/x:2:"] if line != changed else []
    )


@pytest.mark.parametrize(
    ("text", "port", "expected"),
    [
        (SITE, 8123, 8443),
        (SITE, 9, None),
        ("server { location / { proxy_pass http://localhost:7/x; } }", 7, 80),
        ("server { listen 127.0.0.1:81 default; location / { proxy_pass http://127.0.0.1:7; } }",
         7, 81),
        ("server { listen *:82; if ($x) { set $y 1; } proxy_pass http://127.0.0.1:7; }", 7, 82),
        ("upstream u { server unix:/run/a.sock; } server { proxy_pass http://u; }", 7, None),
        ("server { listen 80", 7, None),
    ],
)  # fmt: skip
def test_the_server_that_hands_requests_to_it(text: str, port: int, expected: int | None) -> None:
    texts = {"/etc/nginx/a": "", "/etc/nginx/b": text}
    found = SERVER.serves(texts, frozenset({str(port)}))
    assert found == (None if expected is None else Served("/etc/nginx/b", expected))


def run(*words: object, cwd: Path) -> str:
    kept = {key: os.environ[key] for key in ("PATH", "TMPDIR") if key in os.environ}
    environment = {**kept, "HOME": str(cwd), "XDG_STATE_HOME": str(cwd / "state")}
    done = subprocess.run([HIKKOSHI, *map(str, words)], cwd=cwd, env=environment, timeout=100,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def surveyed(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    unit = "[Service]\nExecStart={}\n[Install]\nWantedBy=multi-user.target\n"
    for name, text in {
        "etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n',
        "etc/nginx/nginx.conf": MAIN,
        "etc/nginx/conf.d/site.conf": SITE,
        "etc/systemd/system/nginx.service": unit.format("/usr/sbin/nginx"),
        "etc/systemd/system/app.service": unit.format("/usr/bin/python3 /opt/app/app.py"),
        "opt/app/app.py": APP,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    for name in ("nginx", "app"):
        (wants / f"{name}.service").symlink_to(f"/etc/systemd/system/{name}.service")
    run("survey", "--root", "root", cwd=tmp_path)
    return tmp_path


def planned(place: Path, answer: str) -> Path:
    (place / "a.yaml").write_text(f"application: app.service\ntasks: 1\n{answer}")
    run("plan", "survey.json", "-o", "home", "--answers", "a.yaml", cwd=place)
    return place / "home"


def test_unless_it_is_asked_for_the_load_balancer_does_its_work(surveyed: Path) -> None:
    home = planned(surveyed, "")
    project = load_project(home)
    names = [c["name"] for c in project.task_definition["containerDefinitions"]]
    assert names == ["app", "log-router"]
    choices = {c["key"]: c for c in json.loads((home / "plan.json").read_text())["choices"]}
    assert choices["nginx"]["answer"] == "load balancer" and choices["nginx"]["by"] == "assumed"
    assert "/etc/nginx/conf.d/site.conf" in choices["nginx"]["question"]
    assert "`nginx: sidecar`" in (home / "MOVING.md").read_text()


def test_kept_it_stands_before_the_application(surveyed: Path) -> None:
    home = planned(surveyed, "nginx: sidecar\n")
    project = load_project(home)
    (nginx,) = [c for c in project.task_definition["containerDefinitions"] if c["name"] == "nginx"]
    assert nginx["portMappings"] == [{"containerPort": 8443, "protocol": "tcp"}]
    assert {"containerName": "app", "condition": "START"} in nginx["dependsOn"]
    service = json.loads((home / "ecs-service-def.json").read_text())
    (balancer,) = service["loadBalancers"]
    assert (balancer["containerName"], balancer["containerPort"]) == ("nginx", 8443)
    assert "listen 8443;" in (home / "nginx/etc/nginx/conf.d/site.conf").read_text()
    assert "COPY etc/nginx/ /etc/nginx/" in (home / "nginx/Dockerfile").read_text()
    moving = (home / "MOVING.md").read_text()
    assert "conf.d/site.conf:4" in moving and "loopback alone" not in moving
    run("check", "home", cwd=surveyed)


@pytest.mark.region
@pytest.mark.skipif(NGINX is None, reason="NOT TRIED: no nginx here (apt-get install nginx-light)")
@pytest.mark.skipif(
    os.geteuid() != 0,
    reason="NOT TRIED: without root a task has one user, and nginx gives files to another",
)
def test_it_serves_in_a_task(surveyed: Path) -> None:
    planned(surveyed, "nginx: sidecar\nhealth_check: /\n")
    up = run("up", "home", "-d", "--port", 0, "--fast", cwd=surveyed)
    endpoint = up.strip().rpartition("=")[2]
    try:
        boto3.client("ecs", endpoint_url=endpoint, region_name="ap-northeast-1",
                     aws_access_key_id="x", aws_secret_access_key="x",
                     ).create_cluster(clusterName="app")  # fmt: skip
        run("deploy", "home", "--local", "--timeout", "90s", cwd=surveyed)
        doors = json.loads(urllib.request.urlopen(f"{endpoint}/_hikkoshi/doors", timeout=10).read())
        door = next(d for kind, found in doors.items() if "listener" in kind or "elb" in kind
                    for d in found.values())  # fmt: skip
        with answered(f"http://{door}/") as answer:
            assert answer.read() == b"the application"
            assert answer.headers["X-Front"] == "nginx"
        with pytest.raises(urllib.error.HTTPError, match="410"):
            urllib.request.urlopen(f"http://{door}/old", timeout=10)
    finally:
        run("down", "home", cwd=surveyed)


def answered(url: str, deadline_s: float = 30.0):  # type: ignore[no-untyped-def]
    """The first answer that is not the load balancer's own 503."""
    deadline = time.monotonic() + deadline_s
    while True:
        try:
            return urllib.request.urlopen(url, timeout=10)
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() > deadline:
                raise
        time.sleep(0.2)
