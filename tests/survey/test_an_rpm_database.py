"""rpm's own database on a disk: what it says without rpm, from a recorded one and from one that the
real rpm makes here.

recorded/rpmdb.sqlite.gz: made by rpm 4.18 (Debian 12) from SPEC, one package.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hikkoshi.survey.rpm import read_rpm

HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")
RECORDED = gzip.decompress((Path(__file__).parent / "recorded/rpmdb.sqlite.gz").read_bytes())
UNIT = "[Service]\nExecStart=/usr/bin/web --port 8081\n[Install]\nWantedBy=multi-user.target\n"
FILES = ("/etc/web/web.conf", "/usr/bin/web", "/usr/lib/systemd/system/web.service")
SPEC = """Name: web
Version: 1.4
Release: 2.amzn2023
Epoch: 3
Summary: a service
License: MIT
BuildArch: noarch
%description
A service.
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/usr/lib/systemd/system %{buildroot}/etc/web
echo '#!/bin/sh' > %{buildroot}/usr/bin/web
echo > %{buildroot}/usr/lib/systemd/system/web.service
echo x > %{buildroot}/etc/web/web.conf
%files
/usr/bin/web
/usr/lib/systemd/system/web.service
%config /etc/web/web.conf
"""


def test_the_recorded_one() -> None:
    (web,) = read_rpm(RECORDED)
    assert (web.name, web.version, tuple(sorted(web.files))) == ("web", "1.4-2.amzn2023", FILES)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no SQLite database"),
        (RECORDED[:4096], "malformed|no such table"),
        (RECORDED[:100] + bytes(len(RECORDED) - 100), "not a database|malformed|no such table"),
    ],
)
def test_a_damaged_one_is_said(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_rpm(data)


def surveyed(root: Path, cwd: Path) -> dict[str, Any]:
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/os-release").write_text('ID=amzn\nVERSION_ID="2023"\nPRETTY_NAME="Amazon Linux"\n')
    subprocess.run([HIKKOSHI, "survey", "--root", root], cwd=cwd, check=True, capture_output=True,
                   timeout=60)  # fmt: skip
    found: dict[str, Any] = json.loads((cwd / "survey.json").read_text())
    return found


def test_a_survey_of_the_tree_knows_packages_and_owners(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name, data in (("var/lib/rpm/rpmdb.sqlite", RECORDED), ("usr/bin/web", b"#!/bin/sh\n"),
                       ("usr/lib/systemd/system/web.service", UNIT.encode())):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "web.service").symlink_to("/usr/lib/systemd/system/web.service")
    host = surveyed(root, tmp_path)["host"]
    assert host["packages"] == [{"name": "web", "version": "1.4-2.amzn2023"}]
    (unit,) = [u for u in host["units"] if u["name"] == "web.service"]
    (program,) = [p for p in host["programs"] if p["path"] == "/usr/bin/web"]
    assert unit["package"] == program["package"] == "web"


def test_what_cannot_be_read_is_not_seen(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "var/lib/rpm").mkdir(parents=True)
    (root / "var/lib/rpm/rpmdb.sqlite").write_bytes(RECORDED[:5000])
    (root / "var/lib/rpm/Packages").write_bytes(b"\0" * 64)
    unseen = {u["what"]: u["why"] for u in surveyed(root, tmp_path)["not_seen"]}
    assert "cannot be read" in unseen["/var/lib/rpm/rpmdb.sqlite"]
    assert "Berkeley DB" in unseen["/var/lib/rpm/Packages"]


@pytest.mark.skipif(
    shutil.which("rpmbuild") is None, reason="NOT TRIED: no rpm here (apt-get install rpm)"
)
def test_one_that_the_real_rpm_makes(tmp_path: Path) -> None:
    (tmp_path / "web.spec").write_text(SPEC)
    quiet: dict[str, Any] = {"cwd": tmp_path, "check": True, "capture_output": True, "timeout": 60}
    subprocess.run(["rpmbuild", "--define", f"_topdir {tmp_path}/b", "-bb", "web.spec"], **quiet)
    (package,) = (tmp_path / "b").rglob("*.rpm")
    root = tmp_path / "root"
    root.mkdir()
    rpm = ["rpm", "--root", root, "--dbpath", "/var/lib/rpm", "--define", "_db_backend sqlite"]
    subprocess.run([*rpm, "--nodeps", "--noscripts", "-i", package], **quiet)
    asked = ["-qa", "--qf", "%{NAME}\t%{EPOCH}:%{VERSION}-%{RELEASE}\n"]
    said = subprocess.run([*rpm, *asked], **quiet).stdout.decode()
    (web,) = read_rpm((root / "var/lib/rpm/rpmdb.sqlite").read_bytes())
    assert f"{web.name}\t{web.version}\n" == said
    assert tuple(sorted(web.files)) == FILES
