"""Random and hostile requests against a local region's API: no 500, no HTML, no leak, no hang.

    python bench/fuzz_front.py [--seconds 60] [--seed N] [--url http://127.0.0.1:4566]

Without --url a region is started and ended. Requests are half well-formed calls with hostile values
(made from botocore's models), half broken ones: wrong types, unknown actions, huge bodies, ten
thousand container definitions, path traversal in names, broken JSON and forms, odd methods and
headers. Exit code 1 and the offending request if an answer is a 5xx other than 501 (or 503 with
words of AWS), is not AWS-shaped, or if the region holds more descriptors or threads than before.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel

SERVICES = {
    "ecs": "AmazonEC2ContainerServiceV20141113",
    "application-autoscaling": "AnyScaleFrontendService",
    "elbv2": "",
    "rds": "",
}
SIGNING = {"elbv2": "elasticloadbalancing"}
HOSTILE: list[Any] = [
    None, True, False, 0, -1, 2**31, 2**63, 2**70, 1e308, 0.1, "", " ", "\0", "x" * 10_000,
    "../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "a/b/c", "arn:aws:ecs:::cluster/../x",
    "arn:aws:ecs:ap-northeast-1:123456789012:task/a/b", "arn:", ":::::", "{{7*7}}", "'; --",
    "<script>alert(1)</script>", "\ud83d\ude80", "\u202e", "%s%n", "${jndi:ldap://x}", [], {}, [[]],
    [None], {"a": {"b": {}}}, ["x"] * 2000, {"": ""}, "NaN", "1e999", "2026-99-99",
]  # fmt: skip


class Maker:
    """Requests from a seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._hostility = 0.0
        loader = Loader()
        self._models = {
            name: ServiceModel(loader.load_service_model(name, "service-2"), name)
            for name in SERVICES
        }

    def request(self) -> tuple[str, str, bytes, dict[str, str]]:
        """(method, path, body, headers)."""
        kind = self._rng.random()
        service = "ecs" if self._rng.random() < 0.6 else self._rng.choice(list(SERVICES))
        # Half of the calls are hostile nowhere, so that they come past the checks of their shape.
        self._hostility = self._rng.choice((0.0, 0.02, 0.12))
        if kind < 0.7:
            return self._call(service)
        if kind < 0.72:
            return self._huge()
        if kind < 0.77:
            return self._private()
        return self._broken(service)

    def _call(self, service: str) -> tuple[str, str, bytes, dict[str, str]]:
        model = self._models[service]
        name = self._rng.choice(list(model.operation_names))
        shape = model.operation_model(name).input_shape
        value = self._value(shape, 0) if shape is not None else {}
        if not isinstance(value, dict):
            value = {}
        return self._send(service, name, value)

    def _send(
        self, service: str, name: str, value: dict[str, Any]
    ) -> tuple[str, str, bytes, dict[str, str]]:
        headers = {"Authorization": _scope(SIGNING.get(service, service))}
        target = SERVICES[service]
        if target:
            headers["X-Amz-Target"] = f"{target}.{name}"
            headers["Content-Type"] = "application/x-amz-json-1.1"
            return "POST", "/", json.dumps(value).encode("utf-8", "replace"), headers
        form = {"Action": name, "Version": self._models[service].api_version}
        _flatten("", value, form)
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return "POST", "/", urllib.parse.urlencode(form, errors="replace").encode(), headers

    def _value(self, shape: Any, depth: int) -> Any:
        rng = self._rng
        if depth > 5 or rng.random() < self._hostility:
            return rng.choice(HOSTILE)
        kind = shape.type_name
        if kind == "structure":
            required = set(shape.required_members)
            return {
                member: self._value(inner, depth + 1)
                for member, inner in shape.members.items()
                if (member in required and rng.random() < 0.95) or rng.random() < 0.3
            }
        if kind == "list":
            return [self._value(shape.member, depth + 1) for _ in range(rng.choice((0, 1, 1, 2)))]
        if kind == "map":
            return {str(rng.choice(HOSTILE))[:50]: self._value(shape.value, depth + 1)}
        if kind == "boolean":
            return rng.random() < 0.5
        if kind in ("integer", "long"):
            return rng.choice((0, 1, 2, 5, 80, 256, 512, -1, 2**31, 2**63))
        if kind in ("float", "double"):
            return rng.choice((0.0, 1.5, -1.0, 1e300))
        if kind == "timestamp":
            return rng.choice((0, 1e12, -1, "2026-01-01T00:00:00Z", "soon"))
        if getattr(shape, "enum", None):
            return rng.choice(shape.enum)
        known = (
            "default",
            "web",
            "app",
            "256",
            "512",
            "awsvpc",
            "FARGATE",
            "web:1",
            "tcp",
            "latest",
        )
        return rng.choice(known) if rng.random() < 0.7 else str(rng.choice(HOSTILE))

    def _huge(self) -> tuple[str, str, bytes, dict[str, str]]:
        rng = self._rng
        container = {"name": "c", "image": "i"}
        pick = rng.randrange(4)
        if pick == 0:
            many = [{**container, "name": f"c{n}"} for n in range(10_000)]
            value: dict[str, Any] = {"family": "many", "containerDefinitions": many}
            return self._send("ecs", "RegisterTaskDefinition", value)
        if pick == 1:
            deep = '{"a":' * 20_000 + "1" + "}" * 20_000
            method, path, _, headers = self._send("ecs", "CreateCluster", {})
            return method, path, deep.encode(), headers
        if pick == 2:
            method, path, _, headers = self._send("ecs", "CreateCluster", {})
            return method, path, b'{"clusterName": "' + b"x" * (5 << 20) + b'"}', headers
        names = [f"t{n}" for n in range(5000)]
        return self._send("ecs", "DescribeTasks", {"tasks": names})

    def _private(self) -> tuple[str, str, bytes, dict[str, str]]:
        # Not reset: the leak check wants what was made.
        name = self._rng.choice(
            (
                "status",
                "doors",
                "execute",
                "crash",
                "interrupt",
                "events",
                "mark",
                "nosuch",
                "",
                "../x",
            )
        )
        asked = ({}, [], None, {"task": "x", "command": ["ls"]}, {"task": 3, "command": 3},
                 {"name": "../../x"})  # fmt: skip
        body = json.dumps(self._rng.choice(asked))
        method = self._rng.choice(("GET", "POST", "PUT"))
        headers = {"Content-Type": self._rng.choice(("application/json", "text/plain"))}
        query = self._rng.choice(("", "?after=x", "?after=-1&limit=0", "?name=%00"))
        return (
            method,
            f"/_hikkoshi/{name}{query}",
            b"" if method == "GET" else body.encode(),
            headers,
        )

    def _broken(self, service: str) -> tuple[str, str, bytes, dict[str, str]]:
        rng = self._rng
        method, path, body, headers = self._call(service)
        match rng.randrange(8):
            case 0:
                body = body[: rng.randrange(len(body) + 1)]
            case 1:
                body = bytes(rng.randrange(256) for _ in range(rng.randrange(200)))
            case 2:
                headers["X-Amz-Target"] = (
                    str(rng.choice(HOSTILE[20:]))[:500]
                    .encode("latin-1", "replace")
                    .decode("latin-1")
                    .replace("\n", " ")
                    .replace("\0", " ")
                )
            case 3:
                headers["X-Amz-Target"] = "AmazonEC2ContainerServiceV20141113.NoSuchThing"
            case 4:
                method = rng.choice(("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW"))
            case 5:
                path = rng.choice(("/../../etc/passwd", "//", "/%2e%2e/%2e%2e/", "/" + "a" * 3000))
            case 6:
                headers["Authorization"] = rng.choice(
                    ("", "x", _scope("nosuch"), _scope("s3"), "AWS4")
                )
            case _:
                headers["Content-Type"] = rng.choice(
                    ("text/xml", "", "application/cbor", "x" * 300)
                )
        return method, path, body, headers


def _flatten(prefix: str, value: Any, form: dict[str, str]) -> None:
    """As the query protocol writes lists and structures."""
    if isinstance(value, dict):
        for name, member in value.items():
            _flatten(f"{prefix}.{name}" if prefix else str(name), member, form)
    elif isinstance(value, list):
        for index, member in enumerate(value, 1):
            _flatten(f"{prefix}.member.{index}", member, form)
    else:
        form[prefix] = str(value)


def _scope(service: str) -> str:
    return (
        f"AWS4-HMAC-SHA256 Credential=any/20261124/ap-northeast-1/{service}/aws4_request, "
        "SignedHeaders=host, Signature=00"
    )


def complaint(method: str, status: int, kind: str, body: bytes) -> str | None:
    """What is wrong with an answer."""
    if status >= 500 and status not in (501, 503):
        return f"status {status}"
    if status == 501 and b"implemented by the local region" not in body and method != "HEAD":
        return "501 without its words"
    if "html" in kind or re.match(rb"\s*<(!doctype|html)", body, re.I):
        return "HTML"
    if b"Traceback (most recent call last)" in body:
        return "a traceback"
    if "json" in kind and body:
        try:
            json.loads(body)
        except ValueError:
            return "broken JSON"
    return None


def state_of(pid: int) -> tuple[int, int, int]:
    """(descriptors, threads, resident KiB) of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = {name: int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("Threads", "VmRSS")}
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), found["Threads"], found["VmRSS"]


def region_process(port: int) -> int | None:
    """The process that has the region's interpreter: the one that listens on the API's port."""
    done = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True)
    pids = [int(pid) for pid in re.findall(r"pid=(\d+)", done.stdout)]
    return max(pids, key=lambda pid: state_of(pid)[1], default=None)


def attack(url: str, seconds: float, seed: int) -> int:
    host, port = urllib.parse.urlsplit(url).hostname, urllib.parse.urlsplit(url).port
    assert host is not None and port is not None
    maker, statuses, slowest, count = Maker(random.Random(seed)), {}, 0.0, 0
    pid = region_process(port)
    for _ in range(50):  # what is imported with the first use is no leak
        _one(host, port, *maker.request())
    before = state_of(pid) if pid else None
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        method, path, body, headers = maker.request()
        began = time.monotonic()
        status, kind, answer = _one(host, port, method, path, body, headers)
        slowest = max(slowest, time.monotonic() - began)
        statuses[status] = statuses.get(status, 0) + 1
        count += 1
        wrong = complaint(method, status, kind, answer)
        if wrong is not None:
            print(f"FAILED after {count} requests (seed {seed}): {wrong}")
            print(f"  {method} {path} {headers}\n  {body[:1500]!r}\n-> {status} {answer[:1000]!r}")
            return 1
    print(f"{count} requests in {seconds:g} s, seed {seed}; slowest {slowest:.2f} s")
    print("statuses: " + ", ".join(f"{status}: {n}" for status, n in sorted(statuses.items())))
    if pid and before:
        time.sleep(2)
        after = state_of(pid)
        names = ("descriptors", "threads", "resident KiB")
        print("; ".join(f"{n} {a} -> {b}" for n, a, b in zip(names, before, after, strict=True)))
        if after[0] > before[0] + 20 or after[1] > before[1] + 10:
            print("FAILED: it leaks")
            return 1
    return 0


def _one(
    host: str, port: int, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=70)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Content-Type") or "", answer.read()
    except (BrokenPipeError, ConnectionResetError):
        return 0, "", b""  # it refused to read on, as a server may with a body too large
    finally:
        connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--url")
    asked = parser.parse_args()
    if asked.url:
        return attack(asked.url, asked.seconds, asked.seed)
    with tempfile.TemporaryDirectory() as home:
        line = [sys.executable, "-m", "hikkoshi.cli.main"]
        environment = {
            "XDG_STATE_HOME": home,
            "HOME": home,
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        }
        up = subprocess.run(
            [*line, "up", "-d", "--port", "0", "--fast"], env=environment,
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        try:
            return attack(up.stdout.strip().partition("=")[2], asked.seconds, asked.seed)
        finally:
            subprocess.run([*line, "down"], env=environment, capture_output=True, timeout=120)


if __name__ == "__main__":
    sys.exit(main())
