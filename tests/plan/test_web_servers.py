"""Apache httpd and HAProxy before the application, and a Unix socket between them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hikkoshi.plan.front import in_a_task
from hikkoshi.plan.front_apache import APACHE
from hikkoshi.plan.front_haproxy import HAPROXY
from hikkoshi.plan.front_nginx import NGINX
from hikkoshi.plan.front_server import Served, Server, normal, share
from hikkoshi.project.load import load_project

HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")
SITE = """<VirtualHost *:80>
    ServerName example.com
    ErrorLog ${APACHE_LOG_DIR}/error.log
    CustomLog ${APACHE_LOG_DIR}/access.log combined
    Header always set X-Front apache
    ProxyPass /static !
    DocumentRoot /var/www/site
    ProxyPass / unix:/run/app.sock|http://localhost/
</VirtualHost>
"""
PROXY_PASS = "<VirtualHost *:443>\nProxyPass / {}\n</VirtualHost>"
CLUSTER = """<Proxy "balancer://app">
    BalancerMember http://127.0.0.1:8001 loadfactor=1
    BalancerMember http://127.0.0.1:8002
</Proxy>
ProxyPass "/" "balancer://app/"
"""
HAPROXY_CFG = """global
    log /dev/log local0
    daemon
defaults
    mode http
frontend web
    bind *:80
    bind *:443 ssl crt /etc/haproxy/site.pem alpn h2,http/1.1
    use_backend other if { path_beg /x }
    default_backend app # the usual
backend app
    server a 127.0.0.1:8001 check
    server b 127.0.0.1:8002 check
backend other
    server c unix@/var/run/other.sock
listen old 0.0.0.0:8080
    server d localhost:9001
"""


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("127.0.0.1:8000", "8000"), ("http://localhost:8000/x", "8000"), ("[::1]:80", "80"),
        ("unix:/run/a.sock", "/run/a.sock"), ("http://unix:/var/run/a.sock:/uri", "/run/a.sock"),
        ("unix:///run/a.sock", "/run/a.sock"), ("unix@/run/a.sock", "/run/a.sock"),
        ("unix:/run/a.sock|fcgi://localhost", "/run/a.sock"), ("/run/a.sock", "/run/a.sock"),
        ("10.0.0.7:8000", ""), ("http://backend/", ""), ("http://example.com:8000", ""),
    ],
)  # fmt: skip
def test_addresses_however_they_are_written(address: str, name: str) -> None:
    assert normal(address) == name


@pytest.mark.parametrize(
    ("server", "line", "changed"),
    [
        (APACHE, "  ErrorLog ${APACHE_LOG_DIR}/e.log", "  ErrorLog /proc/self/fd/2"),
        (APACHE, 'CustomLog "logs/access_log" combined', "CustomLog /proc/self/fd/1 combined"),
        (APACHE, 'CustomLog "|/usr/bin/rotatelogs /x 86400" common',
         "CustomLog /proc/self/fd/1 common"),
        (APACHE, "SSLEngine on", "# SSLEngine on"),
        (APACHE, "SSLProxyEngine on", "SSLProxyEngine on"),
        (APACHE, "Listen 443 https", "Listen 443"),
        (APACHE, "Listen 10.0.0.1:80", "Listen 80"),
        (APACHE, "<VirtualHost 10.0.0.1:80>", "<VirtualHost *:80>"),
        (APACHE, "<VirtualHost *:80>", "<VirtualHost *:80>"),
        (APACHE, "Include /etc/letsencrypt/options-ssl-apache.conf",
         "# Include /etc/letsencrypt/options-ssl-apache.conf"),
        (APACHE, "#SSLEngine on", "#SSLEngine on"),
        (APACHE, 'LogFormat "%h" common', 'LogFormat "%h" common'),
        (HAPROXY, "\tlog /dev/log\tlocal0", "\tlog stdout format raw local0"),
        (HAPROXY, " log 127.0.0.1 local2", " log stdout format raw local2"),
        (HAPROXY, "log global", "log global"),
        (HAPROXY, "  bind :::80 v4v6", "  bind *:80"),
        (HAPROXY, "  bind 10.0.0.1:80,10.0.0.2:81 maxconn 9", "  bind *:80,*:81 maxconn 9"),
        (HAPROXY, " bind *:443 ssl crt /x.pem alpn h2,http/1.1", " bind *:443"),
        (HAPROXY, " bind /run/x.sock mode 600", " bind /run/x.sock mode 600"),
        (HAPROXY, "redirect scheme https if !{ ssl_fc }",
         "# redirect scheme https if !{ ssl_fc }"),
        (HAPROXY, "daemon", "# daemon"),
        (HAPROXY, "  server a 127.0.0.1:1 check", "  server a 127.0.0.1:1 check"),
    ],
)  # fmt: skip
def test_a_line_in_a_task(server: Server, line: str, changed: str) -> None:
    text, told = in_a_task(server, f"x\n{line}\n", "/etc/x")
    assert text == f"x\n{changed}\n"
    assert len(told) == (line != changed)


@pytest.mark.parametrize(
    ("server", "text", "name", "expected"),
    [
        (APACHE, SITE, "/run/app.sock", (80, "http", ())),
        (APACHE, SITE, "/run/other.sock", None),
        (APACHE, PROXY_PASS.format("http://127.0.0.1:8000/"), "8000", (443, "http", ())),
        (APACHE, PROXY_PASS.format("uwsgi://127.0.0.1:3031/"), "3031", (443, "uwsgi", ())),
        (APACHE, "#ProxyPass / http://127.0.0.1:8000/", "8000", None),
        (APACHE, "Listen 8088\n<Location /a>\nProxyPass http://localhost:8000/\n</Location>",
         "8000", (8088, "http", ())),
        (APACHE, "RewriteRule ^/(.*) http://127.0.0.1:8000/$1 [P,L]", "8000", (80, "http", ())),
        (APACHE, "RewriteRule ^/(.*) http://127.0.0.1:8000/$1 [R]", "8000", None),
        (APACHE, 'SetHandler "proxy:unix:/run/php/php8.2-fpm.sock|fcgi://localhost"',
         "/run/php/php8.2-fpm.sock", (80, "fastcgi", ())),
        (APACHE, CLUSTER, "8001", (80, "http", ("8002",))),
        (HAPROXY, HAPROXY_CFG, "8001", (80, "http", ("8002",))),
        (HAPROXY, HAPROXY_CFG, "/run/other.sock", (80, "http", ())),
        (HAPROXY, HAPROXY_CFG, "9001", (8080, "http", ())),
        (HAPROXY, HAPROXY_CFG, "7", None),
        (HAPROXY, "backend lonely\n server a 127.0.0.1:7\n", "7", None),
        (NGINX, "server { location / { fastcgi_pass unix:/var/run/php/x.sock; } }",
         "/run/php/x.sock", (80, "fastcgi", ())),
        (NGINX, "upstream u { server unix:///run/a.sock fail_timeout=0; server 127.0.0.1:9; }\n"
         "server { listen 81; location / { uwsgi_pass u; } }", "/run/a.sock",
         (81, "uwsgi", ("9",))),
    ],
)  # fmt: skip
def test_what_hands_requests_to_it(
    server: Server, text: str, name: str, expected: tuple[int, str, tuple[str, ...]] | None
) -> None:
    found = server.serves({"/etc/a": "", "/etc/b": text}, frozenset({name}))
    assert found == (None if expected is None else Served("/etc/b", *expected))


def test_a_location_that_amazon_linux_includes() -> None:
    texts = {
        "/etc/nginx/nginx.conf": "server { listen 80; include /etc/nginx/default.d/*.conf; }",
        "/etc/nginx/default.d/php.conf": "location ~ [.]php$ { fastcgi_pass php-fpm; }",
        "/etc/nginx/conf.d/php-fpm.conf": "upstream php-fpm { server unix:/run/php-fpm/www.sock; }",
    }
    found = NGINX.serves(texts, frozenset({"/run/php-fpm/www.sock"}))
    assert found == Served("/etc/nginx/nginx.conf", 80, "fastcgi")


@pytest.mark.parametrize(
    ("was", "now"),
    [("/run/app/a.sock", "/run/app/a.sock"), ("/run/app.sock", "/run/app/app.sock"),
     ("/tmp/x", "/run/x/x"), ("/opt/app/tmp/s", "/opt/app/tmp/s")],
)  # fmt: skip
def test_a_socket_straight_in_a_directory_of_the_system_moves(was: str, now: str) -> None:
    shared = share(was)
    assert shared.now == now
    text = f"unix:{was}; x{was}y; /var{was}; {was}.bak"
    if was == "/run/app.sock":
        assert shared.in_text(text) == f"unix:{now}; x{was}y; {now}; {now}.bak"
    else:
        assert now in shared.in_text(text)


# -- as their users run it -------------------------------------------------------------------------

APP = """import http.server, os, socketserver, sys
class H(http.server.BaseHTTPRequestHandler):
    address_string = lambda self: "front"
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"the application")
class S(socketserver.ThreadingMixIn, socketserver.UnixStreamServer): pass
s = S(sys.argv[sys.argv.index("--socket") + 1], H)
os.chmod(s.server_address, 0o666)
s.serve_forever()
"""
UNIT = "[Service]\nExecStart={}\n[Install]\nWantedBy=multi-user.target\n"
MODULES = ("mpm_event", "authz_core", "proxy", "proxy_http", "headers")


def run(*words: object, cwd: Path) -> str:
    kept = {key: os.environ[key] for key in ("PATH", "TMPDIR") if key in os.environ}
    environment = {**kept, "HOME": str(cwd), "XDG_STATE_HOME": str(cwd / "state")}
    done = subprocess.run([HIKKOSHI, *map(str, words)], cwd=cwd, env=environment, timeout=200,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def surveyed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host with Apache, as Debian lays it, before a program that listens on a Unix socket."""
    place = tmp_path_factory.mktemp("apache")
    root = place / "root"
    files = {
        "etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n',
        "etc/apache2/apache2.conf": "ServerRoot /etc/apache2\nPidFile ${APACHE_PID_FILE}\n"
        "DefaultRuntimeDir ${APACHE_RUN_DIR}\n"
        "User ${APACHE_RUN_USER}\nGroup ${APACHE_RUN_GROUP}\nServerName localhost\n"
        "ErrorLog ${APACHE_LOG_DIR}/error.log\nLogFormat \"%h %r\" combined\nServerTokens Prod\n"
        "IncludeOptional mods-enabled/*.load\nIncludeOptional mods-enabled/*.conf\n"
        "Include ports.conf\n"
        "IncludeOptional sites-enabled/*.conf\n",
        "etc/apache2/ports.conf": "Listen 80\n",
        "etc/apache2/envvars": "unset HOME\nexport APACHE_RUN_DIR=/var/run/apache2$SUFFIX\n"
        "export APACHE_RUN_USER=www-data\n",
        "etc/apache2/sites-enabled/site.conf": SITE,
        **{f"etc/apache2/mods-enabled/{name}.load":
           f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
           for name in MODULES},
        "var/www/site/static/a.txt": "a static file\n",
        "etc/systemd/system/apache2.service": UNIT.format("/usr/sbin/apachectl start"),
        "etc/systemd/system/app.service":
            UNIT.format("/usr/bin/python3 /opt/app/app.py --socket /run/app.sock"),
        "opt/app/app.py": APP,
    }  # fmt: skip
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    for name in ("apache2", "app"):
        (wants / f"{name}.service").symlink_to(f"/etc/systemd/system/{name}.service")
    run("survey", "--root", "root", cwd=place)
    return place


def planned(place: Path, answer: str, home: str) -> Path:
    (place / "a.yaml").write_text(
        f"application: app.service\ntasks: 1\nhealth_check: /\n{answer}\n"
    )
    run("plan", "survey.json", "-o", home, "--answers", "a.yaml", cwd=place)
    return place / home


def test_a_socket_that_no_load_balancer_reaches_is_to_be_decided(surveyed: Path) -> None:
    home = planned(surveyed, "", "balanced")
    project = load_project(home)
    assert "volumes" not in project.task_definition
    moving = (home / "MOVING.md").read_text()
    assert "listens on the Unix socket /run/app.sock" in moving and "0.0.0.0:8080" in moving
    choices = {c["key"]: c for c in json.loads((home / "plan.json").read_text())["choices"]}
    assert choices["apache"]["answer"] == "load balancer" and choices["apache"]["by"] == "assumed"


def test_kept_it_shares_the_socket_by_a_volume(surveyed: Path) -> None:
    home = planned(surveyed, "apache: sidecar", "kept")
    definition = load_project(home).task_definition
    by_name = {c["name"]: c for c in definition["containerDefinitions"]}
    assert definition["volumes"] == [{"name": "socket"}]
    mount = {"sourceVolume": "socket", "containerPath": "/run/app", "readOnly": False}
    assert by_name["app"]["mountPoints"] == by_name["apache"]["mountPoints"] == [mount]
    assert "portMappings" not in by_name["app"]
    assert by_name["apache"]["portMappings"] == [{"containerPort": 80, "protocol": "tcp"}]
    environment = {e["name"]: e["value"] for e in by_name["apache"]["environment"]}
    assert environment["APACHE_RUN_DIR"] == "/run/apache2"
    site = (home / "apache/etc/apache2/sites-enabled/site.conf").read_text()
    assert "unix:/run/app/app.sock|http" in site and "/proc/self/fd/1 combined" in site
    assert "ServerTokens Prod" in (home / "apache/etc/apache2/apache2.conf").read_text()
    assert (home / "apache/var/www/site/static/a.txt").read_text() == "a static file\n"
    dockerfile = (home / "Dockerfile").read_text()
    assert 'VOLUME ["/run/app"]' in dockerfile and '"/run/app/app.sock"' in dockerfile
    assert "EXPOSE" not in dockerfile
    run("check", "kept", cwd=surveyed)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.region
@pytest.mark.skipif(shutil.which("apache2", path="/usr/sbin") is None,
                    reason="NOT TRIED: no Apache here (apt-get install apache2)")  # fmt: skip
@pytest.mark.skipif(
    os.geteuid() != 0,
    reason="NOT TRIED: without root a task has one user, and Apache becomes another",
)
def test_it_serves_in_a_task_by_the_shared_socket(surveyed: Path) -> None:
    import urllib.request

    import boto3

    planned(surveyed, "apache: sidecar", "served")
    up = run("up", "served", "-d", "--port", 0, "--fast", cwd=surveyed)
    endpoint = up.strip().rpartition("=")[2]
    try:
        boto3.client("ecs", endpoint_url=endpoint, region_name="ap-northeast-1",
                     aws_access_key_id="x", aws_secret_access_key="x",
                     ).create_cluster(clusterName="app")  # fmt: skip
        run("deploy", "served", "--local", "--timeout", "180s", cwd=surveyed)
        doors = json.loads(urllib.request.urlopen(f"{endpoint}/_hikkoshi/doors", timeout=10).read())
        door = next(d for kind, found in doors.items() if "listener" in kind or "elb" in kind
                    for d in found.values())  # fmt: skip
        with urllib.request.urlopen(f"http://{door}/", timeout=10) as answer:
            assert answer.read() == b"the application"
            assert answer.headers["X-Front"] == "apache"
        with urllib.request.urlopen(f"http://{door}/static/a.txt", timeout=10) as answer:
            assert answer.read() == b"a static file\n"
    finally:
        run("down", "served", cwd=surveyed)


def test_php_fpm_behind_nginx(tmp_path: Path) -> None:
    """It speaks no HTTP: nginx is kept unless somebody says no, and both have the scripts."""
    root = tmp_path / "root"
    files = {
        "etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n',
        "etc/php/8.2/fpm/php-fpm.conf": "include=/etc/php/8.2/fpm/pool.d/*.conf\n",
        "etc/php/8.2/fpm/pool.d/www.conf": "[www]\nlisten = /run/php/php8.2-fpm.sock\n"
        "env[DB_PASSWORD] = hunter2-Zq9\n",
        "etc/nginx/nginx.conf": "events {}\nhttp { include /etc/nginx/sites-enabled/*; }\n",
        "etc/nginx/sites-enabled/app": "server { root /var/www/app/public; location ~ php$ "
        "{ fastcgi_pass unix:/var/run/php/php8.2-fpm.sock; } }\n",
        "var/www/app/public/index.php": "<?php\n",
        "var/www/app/composer.json": "{}",
        "var/www/app/vendor/a/b/c/d/e.php": "<?php\n",
        "var/www/app/.env": "APP_KEY=hunter2-Zq9\n",
        "usr/sbin/php-fpm8.2": "\x7fELF",
        "usr/sbin/nginx": "\x7fELF",
        "etc/systemd/system/php8.2-fpm.service": UNIT.format("/usr/sbin/php-fpm8.2 --nodaemonize"),
        "etc/systemd/system/nginx.service": UNIT.format("/usr/sbin/nginx"),
        "var/lib/dpkg/status": "".join(
            f"Package: {name}\nStatus: install ok installed\nVersion: 1\n\n"
            for name in ("php8.2-fpm", "php8.2-mysql", "nginx")
        ),
        "var/lib/dpkg/info/php8.2-fpm.list": "/usr/sbin/php-fpm8.2\n"
        "/etc/systemd/system/php8.2-fpm.service\n",
        "var/lib/dpkg/info/nginx.list": "/usr/sbin/nginx\n/etc/systemd/system/nginx.service\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    for name in ("php8.2-fpm", "nginx"):
        (wants / f"{name}.service").symlink_to(f"/etc/systemd/system/{name}.service")
    run("survey", "--root", "root", cwd=tmp_path)
    run("plan", "survey.json", "-o", "home", "--yes", cwd=tmp_path)
    run("check", "home", cwd=tmp_path)
    home = tmp_path / "home"
    definition = load_project(home).task_definition
    names = [c["name"] for c in definition["containerDefinitions"]]
    assert names == ["php8-2-fpm", "log-router", "nginx"]
    assert definition["containerDefinitions"][2]["mountPoints"][0]["containerPath"] == "/run/php"
    dockerfile = (home / "Dockerfile").read_text()
    assert "php8.2-fpm php8.2-mysql" in dockerfile and 'VOLUME ["/run/php"]' in dockerfile
    assert "clear_env = no" in (home / "rootfs/etc/php/8.2/fpm/pool.d/zz-hikkoshi.conf").read_text()
    for place in ("rootfs", "nginx"):
        assert (home / place / "var/www/app/vendor/a/b/c/d/e.php").is_file()
    moving = (home / "MOVING.md").read_text()
    assert "/var/www/app/.env` was not copied" in moving and "www.conf has a secret" in moving
    texts = [p for p in tmp_path.rglob("*") if p.is_file() and root not in p.parents]
    assert not [p for p in texts if b"hunter2" in p.read_bytes()]
