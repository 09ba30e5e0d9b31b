"""An account that moto plays, and that refuses or throttles whole services when it is told to."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

SERVICE = re.compile(r"/([a-z0-9-]+)/aws4_request")
# As AWS words them. Source: the errors common to its JSON protocols.
ANSWERS = {
    "throttled": {"__type": "ThrottlingException", "message": "Rate exceeded"},
    "denied": {
        "__type": "AccessDeniedException",
        "message": "User: arn:aws:iam::123456789012:user/kenji is not authorized to perform: "
        "codepipeline:ListPipelines on resource: *",
    },
}


@dataclass
class Account:
    """hindered: service → what it answers, and how often (calls that speak JSON alone)."""

    url: str = ""
    hindered: dict[str, tuple[str, int]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def wrap(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            found = SERVICE.search(environ.get("HTTP_AUTHORIZATION", ""))
            service = found[1] if found else ""
            self.asked.append(service)
            word, times = self.hindered.get(service, ("", 0))
            if times == 0:
                return app(environ, start)
            self.hindered[service] = (word, times - 1)
            start("400 Bad Request", [("Content-Type", "application/x-amz-json-1.1")])
            return [json.dumps(ANSWERS[word]).encode()]

        return answer

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_REGION": "ap-northeast-1", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip


@contextlib.contextmanager
def hindered_account() -> Iterator[Account]:
    account = Account()
    app = account.wrap(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    account.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield account
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()
