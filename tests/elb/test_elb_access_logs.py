"""Access logs: what AWS would write to S3 of real requests, and that `hikkoshi load` reads it."""

from __future__ import annotations

import gzip
import http.client
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import botocore.exceptions
import pytest
from elb_house import QUICK, Backend, House, wait_until

from hikkoshi.load.formats.alb_log import parse_alb_log

LINE = re.compile(
    r'(?P<type>\S+) (?P<time>\S+) (?P<elb>\S+) (?P<client>\S+) (?P<target>\S+) '
    r'(?P<request_s>\S+) (?P<target_s>\S+) (?P<response_s>\S+) (?P<status>\S+) '
    r'(?P<target_status>\S+) (?P<received>\d+) (?P<sent>\d+) "(?P<request>[^"]*)" '
    r'"(?P<agent>[^"]*)" (?P<cipher>\S+) (?P<protocol>\S+) (?P<group>\S+) "(?P<trace>[^"]*)" '
    r'"(?P<domain>[^"]*)" "(?P<certificate>[^"]*)" (?P<rule>\S+) (?P<created>\S+) '
    r'"(?P<actions>[^"]*)" "(?P<redirect>[^"]*)" "(?P<error>[^"]*)" "(?P<targets>[^"]*)" '
    r'"(?P<statuses>[^"]*)" "(?P<classification>[^"]*)" "(?P<reason>[^"]*)" (?P<tid>\S+)'
)  # fmt: skip
ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


class Bucket:
    """S3, as far as the load balancer asks for it."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], bytes] = {}

    async def put(self, region: str, bucket: str, key: str, content: bytes) -> str | None:
        if bucket != "logs":
            return "NoSuchBucket"
        self.objects[region, bucket, key] = content
        return None

    def files(self) -> dict[str, str]:
        return {
            key: gzip.decompress(content).decode()
            for (_, _, key), content in self.objects.items()
            if key.endswith(".gz")
        }


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def logging(tmp_path: Path, bucket: Bucket) -> Iterator[House]:
    built = House(tmp_path, QUICK, put_object=bucket.put)
    try:
        yield built
    finally:
        built.close()


def enable(house: House, balancer: str, name: str = "logs", prefix: str = "web") -> None:
    house.client.modify_load_balancer_attributes(
        LoadBalancerArn=balancer,
        Attributes=[
            {"Key": "access_logs.s3.enabled", "Value": "true"},
            {"Key": "access_logs.s3.bucket", "Value": name},
            {"Key": "access_logs.s3.prefix", "Value": prefix},
        ],
    )


def get(port: int, path: str, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def fields(house: House, bucket: Bucket, count: int) -> list[dict[str, str]]:
    def lines() -> list[str]:
        house.run(house.service.flush())
        return [line for text in bucket.files().values() for line in text.splitlines()]

    wait_until(lambda: len(lines()) >= count, f"{count} lines")
    found = [LINE.fullmatch(line) for line in lines()]
    assert all(found), lines()
    return [match.groupdict() for match in found if match is not None]


def test_a_request_is_a_line_of_aws(
    logging: House, bucket: Bucket, backends: Callable[[str], Backend]
) -> None:
    house, backend = logging, backends("a")
    balancer, group = house.create_balancer(), house.create_group("app")
    listener = house.create_listener(balancer, [{"Type": "forward", "TargetGroupArn": group}])
    house.client.create_rule(
        ListenerArn=listener, Priority=7,
        Conditions=[{"Field": "path-pattern", "Values": ["/old"]}],
        Actions=[{"Type": "redirect", "RedirectConfig": {
            "Path": "/new", "StatusCode": "HTTP_301"}}],
    )  # fmt: skip
    house.register(group, backend)
    house.wait_for(group, healthy=1)
    port = house.door(listener)
    get(port, "/before")
    enable(house, balancer)
    agent = 'curl/8 "quoted" \\ end'
    assert get(port, "/a?b=c%20d", Host="shop.example:81", **{"User-Agent": agent}) == 200
    assert get(port, "/old", Host="shop.example") == 301
    by_path = {line["request"]: line for line in fields(house, bucket, 2)}
    assert len(by_path) == 2, "nothing of before the logs were enabled"
    line = by_path["GET http://shop.example:8000/a?b=c%20d HTTP/1.1"]
    target = f"127.0.0.1:{backend.port}"
    assert re.fullmatch(r"127\.0\.0\.1:\d+", line.pop("client"))
    assert re.fullmatch(ISO, line.pop("time")) and re.fullmatch(ISO, line.pop("created"))
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}", line.pop("trace"))
    assert re.fullmatch(r"TID_[0-9a-f]{32}", line.pop("tid"))
    for name in ("request_s", "target_s", "response_s"):
        assert 0 <= float(line.pop(name)) < 20
    assert int(line.pop("received")) > 80 and int(line.pop("sent")) > 80
    del line["request"]
    assert line == {
        "type": "http", "elb": balancer.partition(":loadbalancer/")[2], "target": target,
        "status": "200", "target_status": "200",
        "agent": "curl/8 \\x22quoted\\x22 \\x5C end", "cipher": "-", "protocol": "-",
        "group": group, "domain": "-", "certificate": "-", "rule": "0", "actions": "forward",
        "redirect": "-", "error": "-", "targets": target, "statuses": "200",
        "classification": "-", "reason": "-",
    }  # fmt: skip
    redirected = by_path["GET http://shop.example:8000/old HTTP/1.1"]
    assert redirected["redirect"] == "http://shop.example:8000/new"
    assert [redirected[name] for name in ("status", "target", "target_s", "rule", "actions")] == [
        "301", "-", "-1", "7", "redirect",
    ]  # fmt: skip
    # The counters and the evidence go on as without logs.
    assert any(row["table"] == "balanced" and row["path"] == "/old" for row in house.recorder.rows)


def test_the_files_lie_where_aws_puts_them_and_load_reads_them(
    logging: House, bucket: Bucket
) -> None:
    house, balancer = logging, logging.create_balancer()
    enable(house, balancer)
    answer = {"StatusCode": "200", "MessageBody": "x"}
    listener = house.create_listener(
        balancer, [{"Type": "fixed-response", "FixedResponseConfig": answer}]
    )
    for path in ("/a", "/a", "/b?c=1"):
        assert get(house.door(listener), path, Host="shop.example") == 200
    fields(house, bucket, 3)
    trial = ("ap-northeast-1", "logs", "web/AWSLogs/123456789012/ELBAccessLogTestFile")
    assert trial in bucket.objects
    day = time.strftime("%Y/%m/%d", time.gmtime())
    name = balancer.partition(":loadbalancer/")[2].replace("/", ".")
    for key in bucket.files():
        assert re.fullmatch(
            rf"web/AWSLogs/123456789012/elasticloadbalancing/ap-northeast-1/{day}/123456789012_"
            rf"elasticloadbalancing_ap-northeast-1_{re.escape(name)}_\d{{8}}T\d{{4}}Z_"
            r"127\.\d+\.\d+\.\d+_[a-z0-9]{8}\.log\.gz",
            key,
        )
    found = parse_alb_log("".join(bucket.files().values()), "the bucket")
    assert {(each.method, each.url): each.weight for each in found.targets} == {
        ("GET", "http://shop.example:8000/a"): 2,
        ("GET", "http://shop.example:8000/b?c=1"): 1,
    }


def test_a_bucket_that_is_not_there_is_refused(logging: House) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match="Access Denied for bucket: nope"):
        enable(logging, logging.create_balancer(), "nope")
    with pytest.raises(botocore.exceptions.ClientError, match="AWSLogs"):
        enable(logging, logging.create_balancer(), prefix="x/AWSLogs")


def test_without_s3_there_are_no_logs(house: House) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match="without S3"):
        enable(house, house.create_balancer())
