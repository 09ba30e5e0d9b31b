"""The image that `hikkoshi image build` makes, beside the one that Docker builds from the plan's
Dockerfile: do both answer alike?

usage: DOCKER_HOST=unix://… python bench/two_images.py TREE BASE UNIT …

TREE: a Debian root with the services installed (see move_packages.py). BASE: a minbase root of the
same release, imported as what the Dockerfiles are FROM, for no registry is asked: the official
image is such a root with less documentation. `apt-get install` in the Dockerfile asks Debian's own
mirror. Both images are run by Docker and asked the same; what they answer is set side by side.
Exit code 1 when some pair does not answer alike.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")
CHANGES = {"date", "last-modified", "etag", "expires"}
"""Headers that say when, not what."""


def run(*words: object, cwd: Path | None = None, timeout: float = 600) -> str:
    done = subprocess.run([*map(str, words)], cwd=cwd, capture_output=True, text=True,
                          timeout=timeout)  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{words[0]} {words[1]}: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout.strip()


def answer(image: str, port: int, path: str) -> tuple[str, ...]:
    """(status, headers, a digest of the body) of a container of this image; it is removed. A body
    that is another at each request (figures, times) is not compared: its digest is `changes`."""
    container = run("docker", "run", "-d", image)
    try:
        shape = "{{.NetworkSettings.IPAddress}}"
        url = f"http://{run('docker', 'inspect', '-f', shape, container)}:{port}{path}"
        deadline = time.monotonic() + 60
        while True:
            try:
                got = urllib.request.urlopen(url, timeout=10)
            except urllib.error.HTTPError as error:
                got = error
            except OSError as error:
                if time.monotonic() > deadline:
                    logs = run("docker", "logs", container)
                    raise RuntimeError(f"{image}: {error}; {logs[-300:]}") from error
                time.sleep(0.3)
                continue
            with got:
                headers = sorted(
                    f"{name.lower()}: {value}"
                    for name, value in got.headers.items()
                    if name.lower() not in CHANGES
                )
                digest = hashlib.sha256(got.read()).hexdigest()[:12]
            return (str(got.status), "; ".join(headers), again(url, digest))
    finally:
        run("docker", "rm", "-f", container)


def again(url: str, digest: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as got:
            second = hashlib.sha256(got.read()).hexdigest()[:12]
    except urllib.error.HTTPError as error:
        second = hashlib.sha256(error.read()).hexdigest()[:12]
    return digest if second == digest else "changes"


def compare(survey: Path, base: Path, unit: str, here: Path) -> bool:
    """Prints a row; whether both answered alike."""
    (here / "a.yaml").write_text(f"application: {unit}.service\n")
    planned = json.loads(
        run(HIKKOSHI, "plan", survey, "-o", "home", "--answers", "a.yaml", "--json", cwd=here)
    )
    choices = {choice["key"]: choice["answer"] for choice in planned["choices"]}
    start = next(line for line in (here / "home/Dockerfile").read_text().splitlines()
                 if line.startswith("FROM "))  # fmt: skip
    with subprocess.Popen(["tar", "-C", base, "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(["docker", "import", "-", start.split()[1]], stdin=tar.stdout, check=True,
                       capture_output=True)  # fmt: skip
    theirs = f"two-images/{unit}:docker"
    run("docker", "build", "--network", "host", "-t", theirs, "home", cwd=here)
    ours = f"two-images/{unit}:hikkoshi"
    name = next(n for n in planned_images(here / "home") if not n.endswith("-log-router:1"))
    run(HIKKOSHI, "image", "build", "home", "--image", name, "-t", ours, "-o", "ours.tar", cwd=here)
    run("docker", "load", "-i", "ours.tar", cwd=here)
    sizes = [int(run("docker", "inspect", "-f", "{{.Size}}", image)) / 1e6
             for image in (ours, theirs)]  # fmt: skip
    path = choices.get("health_check", "/")
    got = [answer(image, int(choices["port"]), path) for image in (ours, theirs)]
    is_alike = got[0] == got[1]
    print(f"| {unit} | {sizes[0]:.0f} MB | {sizes[1]:.0f} MB | GET {path}: {got[0][0]}, "
          f"{got[1][0]} | {'yes' if is_alike else 'no'} |", flush=True)  # fmt: skip
    if not is_alike:
        print(f"  ours:   {got[0]}\n  docker: {got[1]}", file=sys.stderr)
    return is_alike


def planned_images(home: Path) -> list[str]:
    return list(yaml.safe_load((home / "hikkoshi.yaml").read_text())["images"])


def main(tree: Path, base: Path, units: list[str]) -> int:
    run("docker", "version")
    alike = []
    with tempfile.TemporaryDirectory(prefix="two-images-") as scratch:
        here = Path(scratch)
        run(HIKKOSHI, "survey", "--root", tree.resolve(), "-o", "survey.json", cwd=here)
        print("| service | hikkoshi's image | Docker's | answers | alike |\n|---|---|---|---|---|")
        for unit in units:
            place = here / unit
            place.mkdir()
            try:
                alike.append(compare(here / "survey.json", base, unit, place))
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                alike.append(False)
                print(f"| {unit} | | | {error} | no |", flush=True)
    print(f"\n{sum(alike)} of {len(alike)} answer alike")
    return 0 if all(alike) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
