"""Services that nobody here wrote, all the way: surveyed on their own disk, planned, built, run in
a local region with their own configuration, and asked on their port.

usage: python bench/move_packages.py TREE [UNIT …]

TREE: a Debian root with the packages installed, such as
    debootstrap --variant=minbase bookworm TREE
    chroot TREE apt-get install -y --no-install-recommends systemd nginx redis-server …
Nothing in it is started. Each service that the survey finds enabled is planned (`application`
answers which), its image built, deployed with `hikkoshi deploy --local`, and asked: what speaks
HTTP through the load balancer, the rest by TCP from a second task of the region.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")
STAGES = ("surveyed", "planned", "built", "running", "answered")
# What each is sent, and what its protocol says that it answers; b"": a connection is all.
GREETINGS: dict[int, tuple[bytes, bytes]] = {
    6379: (b"PING\r\n", b"+PONG"), 11211: (b"version\r\n", b"VERSION"), 4222: (b"", b"INFO"),
    11300: (b"stats\r\n", b"OK "),
    1883: (b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01h", b"\x20"),
    4730: (b"version\r\n", b"OK "), 6667: (b"NICK h\r\nUSER h h h h\r\n", b":"),
    6432: (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"N"),
}  # fmt: skip
# What only a person knows of it: the plan asks, for neither unit nor configuration says.
ANSWERS = {
    "gearman-job-server": "port: 4730\nprotocol: tcp\n", "ngircd": "port: 6667\nprotocol: tcp\n",
    "transmission-daemon": "port: 9091\n", "privoxy": "port: 8118\n", "radicale": "port: 5232\n",
}  # fmt: skip
PROBE = """
import socket, sys
greeting, wanted = bytes.fromhex(sys.argv[3]), bytes.fromhex(sys.argv[4])
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as peer:
    peer.settimeout(5)
    peer.sendall(greeting)
    said = peer.recv(200) if wanted else b""
    print(said[:60])
    sys.exit(0 if said.startswith(wanted) else 9)
"""


class Failed(Exception):
    pass


def hikkoshi(*words: object, cwd: Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [HIKKOSHI, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=timeout
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise Failed(" / ".join(lines[-6:]) or done.stdout[-300:])
    return done


def move(unit: str, survey: Path, place: Path) -> list[str]:
    """A row of the table."""
    reached, how = ["surveyed"], ""
    try:
        more = ANSWERS.get(unit.removesuffix(".service"), "")
        (place / "a.yaml").write_text(f"application: {unit}\ntasks: 1\n{more}")
        plan = json.loads(
            hikkoshi(
                "plan", survey, "-o", "home", "--answers", "a.yaml", "--json", cwd=place
            ).stdout
        )
        choices = {choice["key"]: choice["answer"] for choice in plan["choices"]}
        hikkoshi("check", "home", cwd=place)
        reached.append("planned")
        image = next(n for n in json_of_images(place / "home") if "log-router" not in n)
        built = hikkoshi("image", "build", "home", "--image", image, "-o", "image.tar", "--json",
                         cwd=place)  # fmt: skip
        size = json.loads(built.stdout)["built"][0]["size"]
        how = f"{size / 1e6:.0f} MB"
        reached.append("built")
        try:
            up = hikkoshi("up", "home", "-d", "--port", 0, "--fast", cwd=place)
            endpoint = up.stdout.strip().rpartition("=")[2]
            os.environ["AWS_ENDPOINT_URL"] = endpoint
            client(endpoint, "ecs", choices).create_cluster(clusterName=choices["cluster"])
            hikkoshi("deploy", "home", "--local", "--timeout", "60s", cwd=place)
            reached.append("running")
            how += "; " + ask(endpoint, choices, place / "home")
            reached.append("answered")
        finally:
            os.environ.pop("AWS_ENDPOINT_URL", None)
            subprocess.run([HIKKOSHI, "down", "home"], cwd=place, capture_output=True, timeout=60)
    except (Failed, subprocess.TimeoutExpired, OSError) as error:
        how = f"{how} {error}".strip()
    return [unit.removesuffix(".service"), *("yes" if s in reached else "–" for s in STAGES), how]


def client(endpoint: str, service: str, choices: dict[str, str]) -> Any:
    import boto3

    return boto3.client(
        service, endpoint_url=endpoint, region_name=choices["region"],
        aws_access_key_id="x", aws_secret_access_key="x",
    )  # type: ignore[call-overload]  # fmt: skip


def json_of_images(home: Path) -> list[str]:
    import yaml

    return list(yaml.safe_load((home / "hikkoshi.yaml").read_text())["images"])


def ask(endpoint: str, choices: dict[str, str], home: Path) -> str:
    port = int(choices["port"])
    if choices.get("protocol") == "tcp":
        return ask_from_a_task(endpoint, choices, port)
    doors = json.loads(urllib.request.urlopen(f"{endpoint}/_hikkoshi/doors", timeout=10).read())
    door = next(d for kind, found in doors.items() if "listener" in kind or "elb" in kind
                for d in found.values())  # fmt: skip
    url = f"http://{door}{choices.get('health_check', '/')}"
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                server = answer.headers.get("Server", "")
                return f"GET {choices.get('health_check', '/')}: {answer.status} {server}".strip()
        except urllib.error.HTTPError as error:
            server = error.headers.get("Server", "")
            if error.code < 500:  # Its own answer: the load balancer's are 502, 503 and 504.
                path = choices.get("health_check", "/")
                return f"GET {path}: {error.code} {server}".strip()
            if time.monotonic() > deadline:
                raise Failed(f"HTTP {error.code}") from error
        time.sleep(0.5)


def ask_from_a_task(endpoint: str, choices: dict[str, str], port: int) -> str:
    """As another service of the account would: a second task connects to the first."""
    ecs, ec2 = client(endpoint, "ecs", choices), client(endpoint, "ec2", choices)
    cluster = choices["cluster"]
    arn = ecs.list_tasks(cluster=cluster, desiredStatus="RUNNING")["taskArns"][0]
    task = ecs.describe_tasks(cluster=cluster, tasks=[arn])["tasks"][0]
    address = task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
    greeting, wanted = GREETINGS.get(port, (b"", b""))
    ecs.register_task_definition(
        family="probe", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256",
        memory="512", containerDefinitions=[{
            "name": "probe", "image": "localhost/python",
            "command": ["python3", "-c", PROBE, address, str(port), greeting.hex(), wanted.hex()],
        }],
    )  # fmt: skip
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    started = ecs.run_task(
        cluster=cluster, taskDefinition="probe", launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
    )["tasks"][0]["taskArn"]  # fmt: skip
    ecs.get_waiter("tasks_stopped").wait(
        cluster=cluster, tasks=[started], WaiterConfig={"Delay": 1, "MaxAttempts": 40}
    )
    ended = ecs.describe_tasks(cluster=cluster, tasks=[started])["tasks"][0]
    code = ended["containers"][0].get("exitCode")
    if code != 0:
        raise Failed(f"a second task that connects to {address}:{port} ended with {code}: "
                     f"{ended.get('stoppedReason', '')}")  # fmt: skip
    said = f", answered `{wanted.decode('ascii', 'backslashreplace').strip()}`" if wanted else ""
    return f"TCP {port} from a second task{said}"


def main(tree: Path, wanted: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        hikkoshi("survey", "--root", tree.resolve(), "-o", "survey.json", cwd=here)
        survey = here / "survey.json"
        found = [a["unit"] for a in json.loads(survey.read_text())["host"]["applications"]]
        print("| service | " + " | ".join(STAGES) + " | image, answer |\n|" + "---|" * 7)
        answered = 0
        for unit in [u for u in found if not wanted or u.removesuffix(".service") in wanted]:
            place = here / unit
            place.mkdir()
            row = move(unit, survey, place)
            answered += row[-2] == "yes"
            print("| " + " | ".join(row) + " |", flush=True)
        print(f"\n{answered} answered of {len(found)} that were found enabled")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
