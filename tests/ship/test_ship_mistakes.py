"""The likeliest mistakes at the command line: what is said, and what is to be done."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner
from ship_house import called

from hikkoshi.cli.cutover import cutover
from hikkoshi.cutover.account import put_back
from hikkoshi.cutover.reading import read_limits, read_steps


class Refusing(ThreadingHTTPServer):
    """Answers every call with one error, as AWS does. On an address that is no local region's."""

    daemon_threads = True

    def __init__(self, code: str, message: str) -> None:
        super().__init__(("127.0.0.2", 0), _Handler)
        self.error = (code, message)


class _Handler(BaseHTTPRequestHandler):
    server: Refusing

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        code, message = self.server.error
        is_json = "json" in self.headers.get("Content-Type", "")
        body = json.dumps({"__type": code, "message": message}) if is_json else (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}"
            "</Message></Error><RequestId>r</RequestId></ErrorResponse>"
        )  # fmt: skip
        self.send_response(400)
        kind = "application/x-amz-json-1.1" if is_json else "text/xml"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


def said(tmp_path, *words: str, error: tuple[str, str] | None = None):
    """The command, by somebody whose calls all end in that error; without one: who has no keys."""
    kept = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "TMPDIR")
    environment = {k: os.environ[k] for k in kept if k in os.environ} | {
        "HOME": str(tmp_path), "AWS_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    if error is None:
        return called([*words], environment)
    server = Refusing(*error)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        url = f"http://127.0.0.2:{server.server_address[1]}"
        return called([*words], environment | keys | {"AWS_ENDPOINT_URL": url})
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


START = ("--from", "web-ec2", "--to", "web")
DENIED = "User: arn:aws:iam::1:user/ana is not authorized to perform this operation"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (None, 3, ["Unable to locate credentials", "aws sso login"]),
        (("ExpiredToken", "it is expired"), 3, ["the credentials have expired", "aws sso login"]),
        (("InvalidClientTokenId", "invalid"), 3, ["does not know these credentials"]),
        (("AccessDenied", DENIED), 3,
         ["arn:aws:iam::1:user/ana may not call elasticloadbalancing:DescribeTargetGroups",
          '"Action": "elasticloadbalancing:DescribeTargetGroups"']),
        (("TargetGroupNotFound", "One or more target groups not found"), 2,
         ["there is no target group 'web' in eu-west-1", "are --profile and --region right?"]),
    ],
)  # fmt: skip
def test_a_cutover_of_somebody_who_is_not_let(tmp_path, error, code, words):
    found = said(tmp_path, "cutover", "start", str(tmp_path), *START, error=error)
    assert found.code == code, found.all
    assert found.err.count("fix:") == 1
    for word in words:
        assert word in found.err
    assert list((tmp_path / ".hikkoshi" / "cutover").glob("2*.jsonl")) == []


@pytest.mark.parametrize("command", ["advance", "hold", "back", "finish"])
def test_where_no_cutover_was_ever_begun(tmp_path, command):
    found = said(tmp_path, "cutover", command, str(tmp_path))
    assert found.code == 2, found.all
    assert "none was ever begun here" in found.err
    assert "name the directory in which it was begun" in found.err


@pytest.mark.parametrize(
    ("option", "text", "words"),
    [
        ("--steps", "50,5,100", "must rise"),
        ("--steps", "5,50", "would never be cut over"),
        ("--abort-on", "errors>0.5", "is that 0.5%? Write the sign"),
        ("--abort-on", "p99>2", "is that 2x, 2ms or 2s? Write the unit"),
        ("--abort-on", "latency>2x", "not known"),
        ("--hold", "ten", "write 30s"),
    ],
)
def test_what_cannot_be_meant_is_asked_back(tmp_path, option, text, words):
    found = said(tmp_path, "cutover", "start", str(tmp_path), *START, option, text)
    assert found.code == 2 and words in found.err, found.all
    assert option in found.err


def test_what_can_be_meant_is_taken():
    assert read_limits("errors>0").errors == 0
    assert read_steps("100") == (100,)


def test_the_dead_mans_stack_as_json():
    document = json.loads(CliRunner().invoke(cutover, ["dead-man", "--json"]).stdout)
    code = document["Resources"]["Function"]["Properties"]["Code"]["ZipFile"]
    with open(put_back.__file__) as source:
        assert code.strip() == source.read().strip()
    assert document["Outputs"]["FunctionArn"] == {"Value": {"Fn::GetAtt": ["Function", "Arn"]}}
    assert document["Conditions"]["Notifies"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "NotifyTopicArn"}, ""]}]
    }
