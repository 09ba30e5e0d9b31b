"""The genba `before` host as a tree: what examples/genba/before lays out on an instance."""

from __future__ import annotations

import json
import random
import shutil
import zipapp
from importlib.metadata import version
from pathlib import Path

from hikkoshi.load.targets import load_targets

BEFORE = Path(__file__).parents[2] / "examples" / "genba" / "before"
PASSWORD = "k7Vd-not-in-any-file-92xQ"
API_KEY = "8f3c1d5a9b7e42608f3c1d5a9b7e4260"
DATABASE_URL = (
    f"postgresql://genba:{PASSWORD}@genba.cluster-c9aeexample.ap-northeast-1.rds.amazonaws.com"
    ":5432/genba"
)


def build(root: Path) -> Path:
    """Lay the tree under `root`; nothing in it is executable on this machine by itself."""
    files: dict[str, str] = {
        "etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12"\n',
        "etc/hostname": "genba-1\n",
        "etc/passwd": "root:x:0:0::/root:/bin/sh\ngenba:x:1000:1000::/opt/genba:/bin/false\n",
        "etc/genba/environment": f"DATABASE_URL={DATABASE_URL}\n"
        "AWS_XRAY_DAEMON_ADDRESS=127.0.0.1:2000\nPORT=8080\n",
        "etc/systemd/system/genba.service": (BEFORE / "ec2/genba.service").read_text(),
        "etc/td-agent/td-agent.conf": (BEFORE / "ec2/td-agent.conf").read_text(),
        "etc/default/td-agent": f"DD_API_KEY={API_KEY}\n",
        "usr/lib/systemd/system/td-agent.service": "[Service]\nUser=td-agent\n"
        "EnvironmentFile=-/etc/default/td-agent\nExecStart=/opt/td-agent/bin/fluentd\n",
        "etc/systemd/system/xray.service": "[Service]\nExecStart=/usr/bin/xray -o -n "
        "ap-northeast-1\n",
        "etc/logrotate.d/genba": "/var/log/genba/genba.log { daily\n rotate 7\n copytruncate }\n",
        "etc/cron.d/genba": "15 3 * * * genba /usr/bin/python3 /opt/genba/tidy.py\n",
        "var/log/genba/genba.log": "".join(access_lines()),
    }
    for name, text in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    for name, target in (
        ("genba.service", "/etc/systemd/system/genba.service"),
        ("td-agent.service", "/lib/systemd/system/td-agent.service"),
        ("xray.service", "/etc/systemd/system/xray.service"),
    ):
        (wants / name).symlink_to(target)
    home = root / "opt/genba"
    home.mkdir(parents=True)
    zipapp.create_archive(BEFORE / "app", home / "genba.pyz", "/usr/bin/env python3")
    shutil.copytree(BEFORE / "photos", home / "photos")
    shutil.copytree(BEFORE / "sql", home / "sql")
    for name in ("psycopg", "psycopg_binary"):
        info = root / f"usr/local/lib/python3.11/dist-packages/{name}-{version(name)}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: {name}\n")
    return root


def access_lines(seconds: int = 30, rate: int = 60) -> list[str]:
    """genba's own log format, with the mix of the hand-written targets."""
    chance = random.Random(7)
    targets = load_targets(BEFORE / "targets.http")
    weights = [target.weight for target in targets]
    lines = []
    for index in range(seconds * rate):
        target = chance.choices(targets, weights)[0]
        path = "/" + target.url.split("/", 3)[3]
        record = {
            "time": 1604188800 + index / rate, "event": "request", "method": target.method,
            "path": path, "status": 201 if path == "/reports" else 200,
            "ms": round(chance.uniform(3, 40), 1), "trace_id": f"1-5f9e1b80-{index:024x}",
        }  # fmt: skip
        lines.append(json.dumps(record) + "\n")
    return lines
