"""What a packaged program is told in a container, and what only its reader is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hikkoshi.model.survey import Configuration
from hikkoshi.plan.fitting import fit, loopback_lines, ports_said
from hikkoshi.project.load import load_project

HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")


def own(text: str, path: str = "/etc/x/x.conf") -> list[Configuration]:
    return [Configuration(path, "program", text)]


@pytest.mark.parametrize(
    ("text", "is_bound"),
    [
        ("bind 127.0.0.1 -::1", True),
        ("listen_addr = localhost", True),
        ("-l 127.0.0.1", True),
        ("host: 127.0.0.1", True),
        ("# bind 127.0.0.1", False),
        ("bind 127.0.0.1 10.0.0.7", False),
        ("bind *", False),
        ("listen 80", False),
        ("Allow 127.0.0.1", False),
        ("server 127.0.0.1:8080", False),
    ],
)
def test_a_line_that_binds_the_loopback(text: str, is_bound: bool) -> None:
    found = loopback_lines(own(f"a b\n{text}\n"))
    assert [line.where for line in found] == (["/etc/x/x.conf:2"] if is_bound else [])


def test_the_port_that_a_configuration_says() -> None:
    found = ports_said(own("# port 1\nport=8200\nlisten 127.0.0.1:9000 ssl\nbind 10.0.0.1\n"))
    assert [port for port, _ in found] == [8200, 9000]
    assert "x.conf:2 says `port=8200`" in found[0][1]


@pytest.mark.parametrize(
    ("command", "text", "expected"),
    [
        ("/usr/bin/redis-server /etc/redis.conf --supervised systemd", "bind 127.0.0.1",
         "/usr/bin/redis-server /etc/redis.conf --supervised no --bind * -::* --protected-mode no"),
        ("/usr/bin/redis-server /etc/redis.conf", "bind 0.0.0.0",
         "/usr/bin/redis-server /etc/redis.conf"),
        ("/x/systemd-memcached-wrapper /etc/memcached.conf", "-d\n-m 64\n-l 127.0.0.1\n-P /run/p",
         "/usr/bin/memcached -m 64 -l 0.0.0.0"),
        ("/usr/bin/beanstalkd -l 127.0.0.1 -p 1", "", "/usr/bin/beanstalkd -l 0.0.0.0 -p 1"),
        ("/opt/app --listen=127.0.0.1:80", "", "/opt/app --listen=0.0.0.0:80"),
        ("/opt/app --database localhost", "", "/opt/app --database localhost"),
    ],
)  # fmt: skip
def test_the_command_that_serves_others(command: str, text: str, expected: str) -> None:
    fitted = fit(command.split(), {}, own(text), 80)
    assert " ".join(fitted.command) == expected
    assert bool(fitted.told) == (expected != command)


def test_a_program_without_an_option_gets_a_file_beside_its_own() -> None:
    fitted = fit(["/usr/sbin/pgbouncer", "/etc/pgbouncer/pgbouncer.ini"], {},
                 own("listen_addr = localhost"), 6432)  # fmt: skip
    assert fitted.command[1] == "/etc/pgbouncer/hikkoshi.ini"
    assert fitted.files["/etc/pgbouncer/hikkoshi.ini"].startswith(
        "%include /etc/pgbouncer/pgbouncer.ini\n"
    )
    fitted = fit(["/usr/sbin/mosquitto"], {}, own("include_dir /etc/mosquitto/conf.d"), 1883)
    assert fitted.files == {
        "/etc/mosquitto/conf.d/hikkoshi.conf": "listener 1883 0.0.0.0\nallow_anonymous true\n"
    }


def test_where_no_option_is_known_the_line_is_told() -> None:
    fitted = fit(["/usr/bin/unknown"], {}, own("listen 127.0.0.1:7000"), 7000)
    assert fitted.command == ["/usr/bin/unknown"]
    assert "/etc/x/x.conf:1 says `listen 127.0.0.1:7000`" in fitted.told[0]


def test_a_packaged_service_of_a_tree_is_planned_from_that_tree(tmp_path: Path) -> None:
    root = tmp_path / "root"
    files = {
        "etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
        "etc/passwd": "root:x:0:0::/root:/bin/sh\nredis:x:104:105::/var/lib/redis:/bin/false\n",
        "etc/group": "root:x:0:\nredis:x:105:\n",
        "etc/redis/redis.conf": "bind 127.0.0.1 -::1\nport 6379\ndir /var/lib/redis\n"
        "logfile /var/log/redis/redis.log\npidfile /var/run/redis/redis.pid\n",
        "usr/bin/redis-server": "\x7fELF, not really",
        "usr/lib/systemd/system/redis-server.service": "[Service]\nType=notify\nUser=redis\n"
        "ExecStart=/usr/bin/redis-server /etc/redis/redis.conf --supervised systemd\n"
        "RuntimeDirectory=redis\n",
        "var/lib/dpkg/info/redis-server.list": "/usr/bin/redis-server\n/etc/redis/redis.conf\n"
        "/usr/lib/systemd/system/redis-server.service\n",
        "var/lib/dpkg/status": "Package: redis-server\nStatus: install ok installed\nVersion: 1\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "redis-server.service").symlink_to("/usr/lib/systemd/system/redis-server.service")
    for words in (["survey", "--root", "root"], ["plan", "survey.json", "-o", "home"]):
        subprocess.run(
            [HIKKOSHI, *words], cwd=tmp_path, check=True, capture_output=True, timeout=60
        )
    project = load_project(tmp_path / "home")
    image = next(i.embedded for n, i in project.settings.images.items() if "log-router" not in n)
    assert image is not None
    assert (image.from_, image.root, image.user) == ("scratch", str(root.resolve()), "redis")
    assert image.system_packages == ("redis-server",)
    assert image.directories == ("/run/redis", "/var/lib/redis", "/var/log/redis")
    assert image.command[-4:] == ("*", "-::*", "--protected-mode", "no")
    assert "loadBalancers" not in project.service_definition
    assert project.settings.load_balancer is None and project.settings.load is None
    moving = (tmp_path / "home/MOVING.md").read_text()
    assert "without its protected mode" in moving and "network load balancer" in moving
    document = json.loads((tmp_path / "home/plan.json").read_text())
    assert document["is_rehearsable"], document["reasons_not"]
