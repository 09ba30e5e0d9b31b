"""How `survey --root` and `plan` do on Debian's own packages, each in a tree of its own.

usage: python bench/survey_packages.py DIRECTORY [PACKAGE …]

DIRECTORY holds `.deb` files (`apt-get download nginx nginx-common redis-server …`). For each
package with a service unit a tree is laid out as dpkg does (its files, its list, the unit enabled),
surveyed and planned; what the plan says of it is printed as a table. Nothing is started.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")
# What a package's files are split into besides.
WITH = {
    "nginx": ("nginx-common",), "redis-server": ("redis-tools",), "tomcat10": ("tomcat10-common",),
    "gunicorn": ("python3-gunicorn",),
}  # fmt: skip


def lay(root: Path, debs: list[Path]) -> None:
    info = root / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    status = []
    for deb in debs:
        subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
        field = ["dpkg-deb", "-f", deb, "Package", "Version"]
        lines = subprocess.run(field, check=True, capture_output=True, text=True).stdout
        fields = dict(line.split(": ", 1) for line in lines.splitlines())
        tar = subprocess.run(["dpkg-deb", "-c", deb], check=True, capture_output=True, text=True)
        names = [line.split(None, 5)[5].split(" -> ")[0] for line in tar.stdout.splitlines()]
        text = "".join(f"{name.lstrip('.').rstrip('/')}\n" for name in names)
        (info / f"{fields['Package']}.list").write_text(text)
        status.append(f"Package: {fields['Package']}\nStatus: install ok installed\n"
                      f"Version: {fields['Version']}\n")  # fmt: skip
    (root / "var/lib/dpkg/status").write_text("\n".join(status))
    release = root / "etc/os-release"
    release.parent.mkdir(exist_ok=True)
    release.write_text('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12"\n')
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    for place in ("lib/systemd/system", "usr/lib/systemd/system"):
        for unit in (root / place).glob("*.service"):
            if "@" not in unit.name and not (wants / unit.name).is_symlink():
                (wants / unit.name).symlink_to(f"/{place}/{unit.name}")


def plan(debs: list[Path]) -> list[str]:
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        lay(here / "root", debs)
        survey = [HIKKOSHI, "survey", "--root", "root"]
        done = subprocess.run(survey, cwd=here, capture_output=True, text=True)
        if done.returncode:
            return ["survey failed", done.stderr.strip().splitlines()[0]]
        argv = [HIKKOSHI, "plan", "survey.json", "-o", "home", "--json"]
        done = subprocess.run(argv, cwd=here, capture_output=True, text=True)
        if done.returncode:
            return ["plan failed", done.stderr.strip().splitlines()[0]]
        document = json.loads(done.stdout)
        choices = {choice["key"]: choice for choice in document["choices"]}
        check = [HIKKOSHI, "check", "home"]
        checked = subprocess.run(check, cwd=here, capture_output=True, text=True)
        text = (here / "home/Dockerfile").read_text().splitlines()
        command = json.loads(next(line[4:] for line in text if line.startswith("CMD ")))
        port = choices["port"]
        how = f"{port['answer']} ({port['by']}: {port['because']})"
        ok = "loads" if checked.returncode == 0 else checked.stderr.strip()
        return [choices["application"]["answer"], " ".join(command), how, ok]


def main(directory: Path, wanted: list[str]) -> None:
    debs = {deb.name.split("_")[0]: deb for deb in sorted(directory.glob("*.deb"))}
    print("| package | unit | command | port | project |\n|---|---|---|---|---|")
    for name in wanted or [n for n in debs if not any(n in also for also in WITH.values())]:
        parts = [debs[n] for n in (name, *WITH.get(name, ())) if n in debs]
        print(f"| {name} | " + " | ".join(f"`{cell}`" if i == 1 else cell
              for i, cell in enumerate(plan(parts))) + " |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
