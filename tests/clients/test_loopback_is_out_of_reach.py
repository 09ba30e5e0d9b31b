"""What a task cannot reach: the machine's loopback, and another region beside its own."""

from __future__ import annotations

import http.server
import threading
import time

import pytest
from clients_house import Region
from test_events_and_spot import ask

pytestmark = [pytest.mark.region, pytest.mark.slow]

TRY = (
    "import socket, sys\n"
    "for place in sys.argv[1:]:\n"
    "    host, _, port = place.rpartition(':')\n"
    "    try:\n"
    "        socket.create_connection((host, int(port)), 2).close(); print('open', place)\n"
    "    except OSError: print('closed', place)\n"
)


@pytest.fixture
def secret():
    """A service of the machine's own on loopback; its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def tried(region, task, *places):
    said = ask(region, "execute", {"task": task, "command": ["python3", "-c", TRY, *places]})
    assert said["code"] == 0, said
    return said["output"].splitlines()


def wait_until_open(region, task, place):
    deadline = time.monotonic() + 20
    while tried(region, task, place) != [f"open {place}"]:
        assert time.monotonic() < deadline, f"{place} did not open"
        time.sleep(0.1)


def test_a_task_reaches_neither_the_machine_nor_another_region(region, secret, tmp_path):
    other = Region(tmp_path)
    other.up()
    try:
        other.register("far", command="exec python3 -m http.server 8099")
        far = other.start("far", "far")
        (described,) = other.client("ecs").describe_tasks(cluster="far", tasks=[far])["tasks"]
        details = {d["name"]: d["value"] for d in described["attachments"][0]["details"]}
        wait_until_open(other, far, f"{details['privateIPv4Address']}:8099")
        region.register("near")
        near = region.start("near", "near")
        machine = [f"127.0.0.1:{secret}", f"10.0.0.1:{secret}"]
        apis = [f"127.0.0.1:{each.url.rpartition(':')[2]}" for each in (region, other)]
        places = [*machine, *apis, f"{details['privateIPv4Address']}:8099", "10.0.0.1:4566"]
        *closed, own_api = tried(region, near, *places)
        assert own_api == "open 10.0.0.1:4566", "its own region's API is there"
        assert all(line.startswith("closed ") for line in closed), closed
        assert len(closed) == 5
    finally:
        other.down()
