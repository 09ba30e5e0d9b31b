"""A list in pages, of which AWS throttles one after the other."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hikkoshi.aws.access import Access
from hikkoshi.aws.pages import pages
from hikkoshi.base.errors import AwsRefused
from hikkoshi.faults.model import Place
from hikkoshi.faults.service import tasks_of

THROTTLED, DENIED = "ThrottlingException", "AccessDeniedException"


class Listing(ThreadingHTTPServer):
    """Three pages of two tasks each; `refuses` has the errors that come before a page's answer."""

    daemon_threads = True

    def __init__(self, refuses: dict[int, list[str]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refuses = refuses
        self.asked: list[int] = []


class _Handler(BaseHTTPRequestHandler):
    server: Listing

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["X-Amz-Target"].endswith("DescribeTasks"):
            tasks = [{"taskArn": arn, "createdAt": 1.0} for arn in given["tasks"]]
            return self.answer(200, {"tasks": tasks, "failures": []})
        page = int(given.get("nextToken") or 0)
        self.server.asked.append(page)
        if self.server.refuses.get(page):
            error = self.server.refuses[page].pop(0)
            return self.answer(400, {"__type": error, "message": "no"})
        more = {"nextToken": str(page + 1)} if page < 2 else {}
        return self.answer(200, {"taskArns": [f"arn:{page}/a", f"arn:{page}/b"], **more})

    def answer(self, status: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def listing(monkeypatch):
    """refuses → the server, and an access in which botocore itself tries a call once."""
    servers = []

    def start(refuses):
        server = Listing(refuses)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}",
            "AWS_MAX_ATTEMPTS": "1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        return server, Access.to_account(None, "ap-northeast-1")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "refuses",
    [
        {},
        {0: [THROTTLED]},
        {1: [THROTTLED] * 3},
        {2: [THROTTLED]},
        {n: [THROTTLED] for n in range(3)},
    ],
)
def test_every_page_is_there_though_one_was_throttled(listing, refuses):
    server, access = listing({page: list(errors) for page, errors in refuses.items()})
    found = [arn for page in pages("ecs:ListTasks", access.client("ecs"), "list_tasks")
             for arn in page["taskArns"]]  # fmt: skip
    assert found == [f"arn:{page}/{task}" for page in range(3) for task in "ab"]
    # A page that was there is not asked for again.
    again = sum(len(errors) for errors in refuses.values())
    assert len(server.asked) == 3 + again


def test_tasks_of_a_service_are_all_there(listing):
    _, access = listing({1: [THROTTLED]})
    assert len(tasks_of(Place(access, "c", "s"), "RUNNING")) == 6


def test_a_refusal_is_told_with_its_action(listing):
    _, access = listing({1: [DENIED]})
    with pytest.raises(AwsRefused, match="ecs:ListTasks"):
        list(pages("ecs:ListTasks", access.client("ecs"), "list_tasks"))
