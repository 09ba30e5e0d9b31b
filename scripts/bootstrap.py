"""Make .venv from uv.lock, with nothing on the machine but Python 3.11.

uv is taken from the PATH, else installed by pip into .venv-uv, else (a Debian Python has no pip
and no ensurepip) its wheel is fetched from the package index and unpacked: a wheel is a zip file.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".venv-uv"
INDEX = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL")
PYPI_SIMPLE = "https://pypi.org/simple"
SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"


def main(arguments: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - this script is what tells an older Python so
        found = ".".join(map(str, sys.version_info[:3]))
        print(f"hikkoshi needs Python 3.11 or newer; {sys.executable} is {found}.", file=sys.stderr)
        print("Name another: make setup PYTHON=/path/to/python3.11", file=sys.stderr)
        return 2
    uv = find_uv() or install_uv_with_pip() or unpack_uv_wheel()
    has_extra = "--iac" in arguments
    is_for_work = has_extra or "--dev" in arguments
    what = "the tools for its tests" if is_for_work else "what it needs"
    what = "the CDK and its checks" if has_extra else what
    print(
        f"Setting up .venv with {what} (once; under a minute with an empty cache) ...", flush=True
    )
    code = sync(uv, is_for_work, has_extra)
    if code == 0:
        mark = ".ready-iac" if has_extra else ".ready-dev" if is_for_work else ".ready"
        (ROOT / ".venv" / mark).touch()
    return code


def sync(uv: str, is_for_work: bool, has_extra: bool) -> int:
    """uv's own certificates first, then the system's: a company's proxy has its own authority."""
    command = [uv, "sync", "--frozen", "--quiet", "--inexact", "--python", sys.executable]
    if not is_for_work:
        command.append("--no-dev")
    if has_extra:
        command += ["--extra", "iac"]
    env = os.environ | {
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_PROJECT_ENVIRONMENT": str(ROOT / ".venv"),
    }
    first = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if first.returncode == 0:
        return 0
    env |= {"UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true"}
    if subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=False).returncode == 0:
        return 0
    print(first.stderr, file=sys.stderr)
    print("uv could not make .venv; its reason is above.", file=sys.stderr)
    return first.returncode


def find_uv() -> str | None:
    local = TOOLS / "bin" / "uv"
    return str(local) if local.exists() else shutil.which("uv")


def install_uv_with_pip() -> str | None:
    for prelude in ([], ["ensurepip"]):
        if prelude and not has_module("ensurepip"):
            continue
        pip = [sys.executable, "-m", "pip"]
        if prelude:
            # ensurepip would install into the system; a throw-away environment keeps it out.
            made = run([sys.executable, "-m", "venv", str(TOOLS / "pip")])
            pip = [str(TOOLS / "pip" / "bin" / "python"), "-m", "pip"]
            if made != 0:
                continue
        elif not has_module("pip"):
            continue
        if (
            run(
                [*pip, "install", "--quiet", "--no-deps", "--target", str(TOOLS), "--upgrade", "uv"]
            )
            == 0
        ):
            return str(TOOLS / "bin" / "uv")
    return None


def has_module(name: str) -> bool:
    return run([sys.executable, "-c", f"import {name}"]) == 0


def run(command: list[str]) -> int:
    return subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    ).returncode


def unpack_uv_wheel() -> str:
    """The newest uv wheel for this machine, from the index's JSON form (PEP 691), by hash."""
    page = f"{(INDEX or PYPI_SIMPLE).rstrip('/')}/uv/"
    request = urllib.request.Request(
        page, headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]
    libc = "musllinux" if platform.libc_ver()[0] != "glibc" else "manylinux"
    machine = platform.machine()
    wheels = [
        file
        for file in files
        if file["filename"].endswith(f"{machine}.whl")
        and libc in file["filename"]
        and not file.get("yanked")
    ]
    if not wheels:
        raise SystemExit(
            f"no uv wheel for {libc} {machine}; install uv yourself, then run make again"
        )
    chosen = max(wheels, key=lambda file: version_key(file["filename"]))
    url = urllib.parse.urljoin(page, chosen["url"])
    with urllib.request.urlopen(url, timeout=120) as answer:
        body = answer.read()
    if hashlib.sha256(body).hexdigest() != chosen["hashes"]["sha256"]:
        raise SystemExit(f"{chosen['filename']} does not have the hash that the index states")
    target = TOOLS / "bin" / "uv"
    target.parent.mkdir(parents=True, exist_ok=True)
    wheel = TOOLS / "uv.whl"
    wheel.write_bytes(body)
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith("/scripts/uv"))
        target.write_bytes(archive.read(name))
    wheel.unlink()
    target.chmod(0o755)
    return str(target)


def version_key(filename: str) -> tuple[int, ...]:
    return tuple(int(part) for part in filename.split("-")[1].split(".") if part.isdigit())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
